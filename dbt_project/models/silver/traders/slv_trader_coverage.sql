{{ config(materialized='view') }}

-- Nobody is expected to trade on a given day, so what is graded is whether a date has a cross-section to compare
-- within: traders with a record, which goes on for `trader_gone_after_days` after their last day with fills.
with days as (
    select
        date,
        lead(date) over (partition by address order by date) as next_date
    from {{ ref('slv_trader_days') }}
),

changes as (
    select
        date,
        1 as change
    from days
    union all
    select
        least(coalesce(next_date, cast('9999-12-31' as date)), date + {{ var('trader_gone_after_days') }} + 1) as date,
        -1 as change
    from days
),

changed as (
    select
        date,
        sum(change) as change
    from changes
    group by date
),

active as (
    select
        date,
        count(*) as present
    from days
    group by date
),

counted as (
    select
        calendar.date,
        cast(sum(coalesce(changed.change, 0)) over (order by calendar.date) as bigint) as expected,
        coalesce(active.present, 0) as present
    from {{ ref('slv_trader_calendar') }} as calendar
    left join changed on calendar.date = changed.date
    left join active on calendar.date = active.date
    where calendar.date <= (select max(date) from days)
),

graded as (
    select
        'trader_days' as dataset,
        expected,
        present,
        present / nullif(cast(expected as double), 0) as coverage_ratio,
        case
            when expected >= {{ var('trader_green_wallets') }} then 'GREEN'
            when expected >= 2 then 'AMBER'
            else 'RED'
        end as status,
        case
            when expected < {{ var('trader_green_wallets') }}
                then expected || ' traders have a record, {{ var('trader_green_wallets') }} are wanted'
            else ''
        end as reasons,
        date
    from counted
)

select * from graded
