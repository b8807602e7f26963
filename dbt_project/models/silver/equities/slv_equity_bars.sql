{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_from(affected_from()) }}"
) }}

with versions as (
    select * from {{ ref('slv_equity_bar_versions') }}
),

bars as (
    select * from versions
    where is_latest and date >= {{ sessions_before_affected(20) }}
),

-- Splits and dividends as known: a correction shifts the index from the session that could first know it, never before.
actions as (
    select
        symbol,
        effective_date,
        {{ to_fixed('ln(split_coefficient * (1 + dividend_amount / close))') }} as action,
        coalesce(
            lag({{ to_fixed('ln(split_coefficient * (1 + dividend_amount / close))') }})
                over (partition by symbol, date order by known_at, ingested_at),
            0
        ) as replaced_action
    from versions
    where
        split_coefficient <> 1
        or dividend_amount <> 0
        or (symbol, date) in (
            select
                revised.symbol,
                revised.date
            from versions as revised
            where not revised.is_latest
        )
),

steps as (
    select
        symbol,
        effective_date as date,
        sum(action - replaced_action) as step,
        0 as is_bar
    from actions
    group by symbol, effective_date
    union all
    select
        symbol,
        date,
        0 as step,
        1 as is_bar
    from bars
),

indexed as (
    select
        symbol,
        date,
        is_bar,
        {{ running_total('step', 'up_to_now') }} as log_factor
    from steps
    window
        up_to_now as (partition by symbol order by date, is_bar rows between unbounded preceding and current row)
),

neighboured as (
    select
        bars.*,
        lag(close) over by_symbol as previous_close,
        session_index - lag(session_index) over by_symbol as sessions_since_bar,
        coalesce(
            open = lag(open) over by_symbol
            and high = lag(high) over by_symbol
            and low = lag(low) over by_symbol
            and close = lag(close) over by_symbol,
            false
        ) as is_repeat
    from bars
    window by_symbol as (partition by symbol order by date)
),

flagged as (
    select
        *,
        sessions_since_bar > 1 as flag_gap,
        volume = 0 as flag_zero_volume,
        sum(cast(is_repeat as integer)) over (
            partition by symbol order by date rows between {{ var('stale_sessions') - 1 }} preceding and current row
        ) >= {{ var('stale_sessions') }} as flag_stale,
        sessions_since_bar <= {{ var('delisted_after_sessions') }}
        and {{ is_split_mismatch('previous_close') }} as flag_split_mismatch,
        coalesce(
            sessions_since_bar <= {{ var('delisted_after_sessions') }}
            and abs({{ log_total_return('close', 'previous_close') }}) > {{ var('jump_threshold') }},
            false
        ) as flag_jump,
        coalesce(dividend_amount > 0.15 * previous_close, false) as flag_large_distribution
    from neighboured
),

joined as (
    select
        flagged.symbol,
        sectors.sector,
        flagged.open,
        flagged.high,
        flagged.low,
        flagged.close,
        exp({{ from_fixed('indexed.log_factor') }}) as adj_factor,
        flagged.volume,
        flagged.close * flagged.volume as dollar_volume,
        flagged.dividend_amount,
        flagged.split_coefficient,
        flagged.session_index,
        members.symbol is not null or not exists (select 1 from {{ ref('slv_universe_members') }}) as is_member,
        coalesce(flagged.flag_gap, false) as flag_gap,
        flagged.flag_zero_volume,
        flagged.flag_stale,
        coalesce(flagged.flag_split_mismatch, false) as flag_split_mismatch,
        flagged.flag_jump,
        flagged.flag_large_distribution,
        flagged.flag_zero_volume
        or flagged.flag_stale
        or flagged.flag_jump
        or coalesce(flagged.flag_split_mismatch, false) as is_flagged,
        flagged.date,
        flagged.known_at,
        flagged.ingested_at
    from flagged
    inner join indexed on flagged.symbol = indexed.symbol and flagged.date = indexed.date and indexed.is_bar = 1
    inner join {{ ref('slv_calendar') }} as sessions on flagged.date = sessions.date
    left join {{ ref('slv_universe_members') }} as members
        on flagged.symbol = members.symbol and flagged.date = members.date
    left join {{ ref('slv_sectors') }} as sectors
        on
            flagged.symbol = sectors.symbol
            and sectors.known_at <= sessions.decision_at
            and (sectors.superseded_at is null or sectors.superseded_at > sessions.decision_at)
    where flagged.date >= {{ affected_from() }}
)

select * from joined
order by date, symbol
