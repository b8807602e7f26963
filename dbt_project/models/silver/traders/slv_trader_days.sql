{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_trader_rows() }}"
) }}

with days as (
    select * from {{ ref('slv_trader_epoch_days') }}
    where ends_before = cast('9999-12-31' as date) and {{ traders_have_news() }}
)

select
    address,
    source,
    {{ usd('net_pnl') }} as daily_pnl,
    {{ usd('gross_pnl') }} as gross_pnl,
    {{ usd('fees') }} as fees,
    n_trades,
    n_wins,
    n_wins / nullif(cast(n_trades as double), 0) as win_rate,
    {{ usd('volume') }} as volume_usd,
    n_long / nullif(cast(n_trades as double), 0) as long_ratio,
    case when n_closed > 0 then held_seconds / cast(3600 as double) / n_closed end as avg_hold_hours,
    concentration as coin_concentration,
    date,
    known_at
from days
order by date, address
