{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_trader_rows() }}"
) }}

with trades as (
    select * from {{ ref('slv_trader_epoch_trades') }}
    where ends_before = cast('9999-12-31' as date) and {{ traders_have_news() }}
)

select
    address,
    coin,
    trade_number,
    side,
    held_seconds / cast(3600 as double) as hold_hours,
    {{ usd('entry_notional') }} as entry_notional,
    {{ usd('exit_notional') }} as exit_notional,
    {{ usd('pnl') }} as pnl,
    {{ usd('fees') }} as fees,
    {{ usd('pnl - fees') }} as net_pnl,
    n_fills,
    date,
    opened_at,
    closed_at,
    known_at
from trades
order by address, closed_at, coin, trade_number
