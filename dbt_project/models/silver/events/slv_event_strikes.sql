{{ config(materialized='table') }}

-- Strikes that a session watches: those near the underlying with the most gamma, of the chain that it knows.
with ranked as (
    select
        symbol,
        strike,
        cast(call_gamma_cents + put_gamma_cents as double) / 1e2 as gamma_usd,
        open_interest,
        cast(row_number() over (
            partition by symbol, date order by call_gamma_cents + put_gamma_cents desc, strike
        ) as integer) as strike_rank,
        chain_date,
        date,
        known_at
    from {{ ref('slv_option_strikes') }}
    where
        abs(strike / underlying_price - 1) <= {{ var('events_strike_reach') }}
        and call_gamma_cents + put_gamma_cents > 0
),

watched as (
    select
        symbol,
        strike as level_price,
        gamma_usd,
        open_interest,
        strike_rank,
        chain_date,
        date,
        known_at
    from ranked
    where strike_rank <= {{ var('events_strike_levels') }}
)

select * from watched
order by symbol, date, level_price
