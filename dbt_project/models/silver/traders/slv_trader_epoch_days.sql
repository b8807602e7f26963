{{ config(
    materialized='incremental',
    incremental_strategy='append',
    schema='work',
    pre_hook="{{ delete_trader_rows() }}"
) }}

-- One row per trader, epoch and day with fills: from the fills where they are whole, else from the account-day.
with coins as (
    select
        address,
        starts_at,
        ends_before,
        date,
        coin,
        count(*) as n_trades,
        count_if(closed_pnl > 0) as n_wins,
        count_if(position_side = 'long') as n_long,
        cast(sum(closed_pnl) as bigint) as gross_pnl,
        cast(sum(fee) as bigint) as fees,
        sum(volume) as volume,
        max(known_at) as known_at
    from {{ ref('slv_trader_epoch_fills') }}
    where {{ traders_have_news() }}
    group by address, starts_at, ends_before, date, coin
),

held as (
    select
        address,
        starts_at,
        date,
        count(held_seconds) as n_closed,
        cast(sum(held_seconds) as bigint) as held_seconds
    from {{ ref('slv_trader_epoch_trades') }}
    where {{ traders_have_news() }}
    group by address, starts_at, date
),

filled as (
    select
        address,
        starts_at,
        ends_before,
        date,
        cast(sum(n_trades) as bigint) as n_trades,
        cast(sum(n_wins) as bigint) as n_wins,
        cast(sum(n_long) as bigint) as n_long,
        cast(sum(gross_pnl) as bigint) as gross_pnl,
        cast(sum(fees) as bigint) as fees,
        cast(sum(volume) as bigint) as volume,
        -- Herfindahl index of the day's volume over coins. Squares of cents: those of millionths would not fit.
        cast(sum(cast(volume // 10000 as hugeint) * (volume // 10000)) as double)
        / nullif(cast(sum(volume // 10000) as double) * cast(sum(volume // 10000) as double), 0) as concentration,
        max(known_at) as known_at
    from coins
    group by address, starts_at, ends_before, date
),

reported as (
    select
        days.*,
        epochs.starts_at,
        epochs.ends_before,
        row_number() over (
            partition by days.address, days.date, epochs.starts_at order by days.ingested_at desc
        ) as version_from_latest
    from {{ ref('brz_traders__days') }} as days
    inner join {{ ref('slv_trader_epochs') }} as epochs on days.address = epochs.address
    where
        {{ traders_have_news() }}
        and (
            {{ trader_effective_date('days.known_at') }} <= days.date
            or {{ trader_effective_date('days.known_at') }} <= epochs.starts_at
        )
),

accounts as (
    select
        address,
        starts_at,
        ends_before,
        date,
        cast(n_trades as bigint) as n_trades,
        cast(round(win_rate * n_trades) as bigint) as n_wins,
        cast(round(long_ratio * n_trades) as bigint) as n_long,
        {{ usd_fixed('daily_pnl') }} as gross_pnl,
        {{ usd_fixed('fees') }} as fees,
        {{ usd_fixed('volume_usd') }} as volume,
        known_at
    from reported
    where version_from_latest = 1
),

-- Fills are whole when they are at least as many as the account-day counts.
chosen as (
    select
        coalesce(filled.address, accounts.address) as address,
        coalesce(filled.starts_at, accounts.starts_at) as starts_at,
        coalesce(filled.ends_before, accounts.ends_before) as ends_before,
        coalesce(filled.date, accounts.date) as date,
        filled.address is not null and coalesce(filled.n_trades >= accounts.n_trades, true) as is_filled,
        filled.n_trades as filled_n_trades,
        filled.n_wins as filled_n_wins,
        filled.n_long as filled_n_long,
        filled.gross_pnl as filled_gross_pnl,
        filled.fees as filled_fees,
        filled.volume as filled_volume,
        filled.concentration,
        accounts.n_trades,
        accounts.n_wins,
        accounts.n_long,
        accounts.gross_pnl,
        accounts.fees,
        accounts.volume,
        greatest(filled.known_at, accounts.known_at) as known_at
    from filled
    full join accounts
        on
            filled.address = accounts.address
            and filled.starts_at = accounts.starts_at
            and filled.date = accounts.date
),

days as (
    select
        chosen.address,
        case when chosen.is_filled then 'fills' else 'days' end as source,
        case when chosen.is_filled then chosen.filled_gross_pnl else chosen.gross_pnl end as gross_pnl,
        case when chosen.is_filled then chosen.filled_fees else chosen.fees end as fees,
        case when chosen.is_filled then chosen.filled_n_trades else chosen.n_trades end as n_trades,
        case when chosen.is_filled then chosen.filled_n_wins else chosen.n_wins end as n_wins,
        case when chosen.is_filled then chosen.filled_n_long else chosen.n_long end as n_long,
        case when chosen.is_filled then chosen.filled_volume else chosen.volume end as volume,
        case when chosen.is_filled then chosen.concentration end as concentration,
        case when chosen.is_filled then coalesce(held.n_closed, 0) else 0 end as n_closed,
        case when chosen.is_filled then coalesce(held.held_seconds, 0) else 0 end as held_seconds,
        chosen.starts_at,
        chosen.ends_before,
        chosen.date,
        chosen.known_at
    from chosen
    left join held
        on
            chosen.address = held.address
            and chosen.starts_at = held.starts_at
            and chosen.date = held.date
)

select
    address,
    source,
    gross_pnl,
    fees,
    gross_pnl - coalesce(fees, 0) as net_pnl,
    n_trades,
    n_wins,
    n_long,
    volume,
    concentration,
    n_closed,
    held_seconds,
    starts_at,
    ends_before,
    date,
    known_at
from days
order by address, starts_at, date
