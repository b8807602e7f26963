{{ config(materialized='table', schema='work') }}

-- Every day of a trader's record that this build needs, days without fills included. A record goes on for
-- `trader_gone_after_days` after the last day with fills; one that is silent for longer ends there, and what comes
-- after is a new spell.
{%- set reach = 2 * 90 + var('trader_gone_after_days') + 8 %}

with days as (
    select
        *,
        lag(date) over history as previous_date,
        lead(date) over history as next_date
    from {{ ref('slv_trader_epoch_days') }}
    where
        date >= {{ trader_panel_from() }} - {{ reach }}
        and date >= greatest(starts_at, cast('1901-01-01' as date)) - {{ reach }}
        and ends_before >= {{ trader_panel_from() }} - 7
    window history as (partition by address, starts_at order by date)
),

horizon as (
    select max(date) as last_date from {{ ref('slv_trader_epoch_days') }}
),

spells as (
    select
        days.*,
        cast(
            sum(
                case when date - previous_date <= {{ var('trader_gone_after_days') }} + 1 then 0 else 1 end
            ) over (partition by address, starts_at order by date rows between unbounded preceding and current row)
            as bigint
        ) as spell,
        cast(
            sum(net_pnl) over (
                partition by address, starts_at order by date rows between unbounded preceding and current row
            ) as bigint
        ) as total_pnl,
        least(
            coalesce(next_date, cast('9999-12-31' as date)),
            date + {{ var('trader_gone_after_days') }} + 1,
            horizon.last_date + 1
        ) - date as n_days
    from days
    cross join horizon
),

repeated as (
    select
        *,
        unnest(range(n_days)) as idle_days
    from spells
)

select
    address,
    spell,
    cast(idle_days as integer) as idle_days,
    case when idle_days = 0 then net_pnl else 0 end as net_pnl,
    total_pnl,
    case when idle_days = 0 then volume end as volume,
    case when idle_days = 0 then concentration end as concentration,
    case when idle_days = 0 then n_trades else 0 end as n_trades,
    case when idle_days = 0 then n_wins end as n_wins,
    case when idle_days = 0 then n_long end as n_long,
    case when idle_days = 0 then n_closed else 0 end as n_closed,
    case when idle_days = 0 then held_seconds else 0 end as held_seconds,
    starts_at,
    ends_before,
    date + cast(idle_days as integer) as date,
    known_at
from repeated
