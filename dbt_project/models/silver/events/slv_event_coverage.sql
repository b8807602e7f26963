{{ config(materialized='table') }}

-- A symbol is expected on a session when it had regular bars on one of the five sessions before. It is present when it
-- has at least a share of the bars that it had on average in those: a thin symbol is judged by its own days. The first
-- session of a symbol expects it, and judges nothing.
with shares as (
    select
        days.symbol,
        days.bars
        / ((epoch(sessions.close_at) - epoch(sessions.open_at)) / 60 / {{ var('events_bar_minutes') }}) as share,
        days.session_index,
        days.date
    from {{ ref('slv_event_days') }} as days
    inner join {{ ref('slv_calendar') }} as sessions on days.date = sessions.date
),

days as (
    select
        *,
        coalesce(share >= {{ var('events_bars_present') }} * avg(share) over before_day, true) as is_present
    from shares
    window before_day as (partition by symbol order by session_index range between 5 preceding and 1 preceding)
),

dates as (
    select
        date,
        session_index
    from {{ ref('slv_calendar') }}
    where date between (select min(date) from days) and (select max(date) from days)
),

expected as (
    select
        dates.date,
        count(distinct days.symbol) as expected,
        count(distinct days.symbol) filter (
            where days.date = dates.date and days.is_present
        ) as present
    from dates
    inner join days on days.session_index between dates.session_index - 5 and dates.session_index
    group by dates.date
),

graded as (
    select
        'intraday_bars' as dataset,
        expected,
        present,
        present / nullif(cast(expected as double), 0) as coverage_ratio,
        case
            when present >= {{ var('events_coverage_green') }} * expected then 'GREEN'
            when present >= {{ var('events_coverage_amber') }} * expected then 'AMBER'
            else 'RED'
        end as status,
        case
            when present < {{ var('events_coverage_green') }} * expected
                then present || ' of ' || expected || ' symbols have the bars that they use to have'
            else ''
        end as reasons,
        date
    from expected
)

select * from graded
