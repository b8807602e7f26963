{{ config(materialized='table', schema='work') }}

-- Averages of two-minute bars (of one bar where bars are longer), over 400 and 800 minutes of regular trading. A jump
-- over night as of a split begins a new history: nothing is averaged, or compared, across it.
{%- set minutes = [2, var('events_bar_minutes') | int] | max -%}
{%- set short = (400 / minutes) | int -%}
{%- set long = (800 / minutes) | int %}

with bars as (
    select
        symbol,
        date,
        ends_at,
        minute_of_session // {{ minutes }} as bucket,
        {{ price_units('close') }} as close
    from {{ ref('slv_intraday_bars') }}
    where session_part = 'regular'
),

buckets as (
    select
        bars.symbol,
        bars.date,
        histories.history,
        sessions.open_at + to_minutes(cast((bars.bucket + 1) * {{ minutes }} as bigint)) as ends_at,
        max_by(bars.close, bars.ends_at) as close
    from bars
    inner join {{ ref('slv_event_days') }} as histories on bars.symbol = histories.symbol and bars.date = histories.date
    inner join {{ ref('slv_calendar') }} as sessions on bars.date = sessions.date
    group by bars.symbol, bars.date, histories.history, bars.bucket, sessions.open_at
),

summed as (
    select
        symbol,
        history,
        ends_at,
        close,
        count(*) over over_short as bars_short,
        count(*) over over_long as bars_long,
        {{ exact_sum('close', 'over_short') }} as total_short,
        {{ exact_sum('close', 'over_long') }} as total_long,
        sum(cast(close as hugeint) * close) over over_short as squares_short,
        sum(cast(close as hugeint) * close) over over_long as squares_long
    from buckets
    window
        over_short as (
            partition by symbol, history order by ends_at rows between {{ short - 1 }} preceding and current row
        ),
        over_long as (
            partition by symbol, history order by ends_at rows between {{ long - 1 }} preceding and current row
        )
),

averaged as (
    select
        symbol,
        history,
        ends_at,
        case when bars_short = {{ short }} then total_short / {{ short }} end as sma_200,
        case when bars_long = {{ long }} then total_long / {{ long }} end as sma_400,
        case
            when bars_short = {{ short }}
                then {{ fixed_variance(short, 'cast(total_short as hugeint)', 'squares_short') }}
        end as variance_200,
        case
            when bars_long = {{ long }}
                then {{ fixed_variance(long, 'cast(total_long as hugeint)', 'squares_long') }}
        end as variance_400
    from summed
),

sloped as (
    select
        *,
        sma_200 - lag(sma_200, 10) over history_of_symbol as sma_slope_short,
        sma_400 - lag(sma_400, 10) over history_of_symbol as sma_slope_long
    from averaged
    window history_of_symbol as (partition by symbol, history order by ends_at)
)

select * from sloped
order by symbol, ends_at
