{{ config(materialized='table') }}

-- The chain that a session knows: the last one quoted before it, not more than `events_chain_sessions` sessions ago, by
-- strike. Gamma is computed from the vendor's implied volatility, whose printed gamma has too few digits; a contract
-- without a usable one (0, or beyond 5) counts in open interest only.
with quotes as (
    select
        *,
        row_number() over (partition by symbol, date, contract order by known_at, ingested_at) as version_from_first,
        case when implied_vol > 0.01 and implied_vol <= 5 then implied_vol end as volatility,
        (expiration - date) / 365.0 as years
    from {{ ref('brz_options__quotes') }}
    where expiration > date
),

contracts as (
    select
        *,
        (ln(underlying_price / strike) + 0.5 * volatility * volatility * years) / (volatility * sqrt(years)) as d1
    from quotes
    where version_from_first = 1
),

chains as (
    select
        symbol,
        date as chain_date,
        strike,
        max(underlying_price) as underlying_price,
        coalesce(sum({{ gamma_usd_units() }}) filter (where option_type = 'call'), 0) as call_gamma_cents,
        coalesce(sum({{ gamma_usd_units() }}) filter (where option_type = 'put'), 0) as put_gamma_cents,
        cast(sum(cast(round(open_interest) as bigint)) as bigint) as open_interest,
        count(*) as contracts,
        count(volatility) as contracts_with_gamma,
        max(known_at) as known_at
    from contracts
    group by symbol, date, strike
),

dates as (
    select
        chains.symbol,
        chains.chain_date,
        max(chains.known_at) as known_at,
        any_value(sessions.session_index) as session_index
    from chains
    inner join {{ ref('slv_calendar') }} as sessions on chains.chain_date = sessions.date
    group by chains.symbol, chains.chain_date
),

served as (
    select
        dates.symbol,
        dates.chain_date,
        sessions.date
    from dates
    inner join {{ ref('slv_calendar') }} as sessions
        on
            sessions.session_index > dates.session_index
            and sessions.session_index <= dates.session_index + {{ var('events_chain_sessions') }}
            and sessions.open_at >= dates.known_at
    qualify row_number() over (partition by dates.symbol, sessions.date order by dates.chain_date desc) = 1
),

strikes as (
    select
        chains.symbol,
        chains.strike,
        chains.underlying_price,
        cast(chains.call_gamma_cents as hugeint) as call_gamma_cents,
        cast(chains.put_gamma_cents as hugeint) as put_gamma_cents,
        chains.open_interest,
        chains.contracts,
        chains.contracts_with_gamma,
        chains.chain_date,
        served.date,
        chains.known_at
    from served
    inner join chains on served.symbol = chains.symbol and served.chain_date = chains.chain_date
)

select * from strikes
order by symbol, date, strike
