{{ config(materialized='table') }}

-- One row per symbol and session with regular bars: what the next session calls yesterday, and where a history ends.
with bars as (
    select
        symbol,
        date,
        session_index,
        session_part,
        ts,
        {{ price_units('open') }} as open,
        {{ price_units('high') }} as high,
        {{ price_units('low') }} as low,
        {{ price_units('close') }} as close
    from {{ ref('slv_intraday_bars') }}
),

days as (
    select
        symbol,
        date,
        session_index,
        count(*) as bars,
        min_by(open, ts) as open,
        max(high) as high,
        min(low) as low,
        max_by(close, ts) as close
    from bars
    where session_part = 'regular'
    group by symbol, date, session_index
),

premarket as (
    select
        symbol,
        date,
        max(high) as pmh,
        min(low) as pml
    from bars
    where session_part = 'pre'
    group by symbol, date
),

followed as (
    select
        *,
        lag(session_index) over sessions_of_symbol as previous_index,
        lag(high) over sessions_of_symbol as previous_high,
        lag(low) over sessions_of_symbol as previous_low,
        lag(close) over sessions_of_symbol as previous_close
    from days
    window sessions_of_symbol as (partition by symbol order by date)
),

-- A gap in the sessions leaves yesterday unknown; a jump as of a split makes it another price scale.
judged as (
    select
        *,
        previous_index = session_index - 1 as has_yesterday,
        coalesce(abs(ln(open / cast(previous_close as double))) > {{ var('jump_threshold') }}, true) as begins_history
    from followed
),

dated as (
    select
        judged.symbol,
        judged.bars,
        judged.open,
        judged.high,
        judged.low,
        judged.close,
        case when judged.has_yesterday and not judged.begins_history then judged.previous_high end as pdh,
        case when judged.has_yesterday and not judged.begins_history then judged.previous_low end as pdl,
        case when judged.has_yesterday and not judged.begins_history then judged.previous_close end as pdc,
        premarket.pmh,
        premarket.pml,
        cast(
            sum(cast(judged.begins_history as integer)) over (partition by judged.symbol order by judged.date)
            as integer
        ) as history,
        judged.session_index,
        judged.date
    from judged
    left join premarket on judged.symbol = premarket.symbol and judged.date = premarket.date
)

select * from dated
order by symbol, date
