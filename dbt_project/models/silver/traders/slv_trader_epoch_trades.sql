{{ config(
    materialized='incremental',
    incremental_strategy='append',
    schema='work',
    pre_hook="{{ delete_trader_rows() }}"
) }}

-- Fills to closed trades. A fill against the position closes as much of it as there is; what is left over opens a
-- position on the other side: such a fill has two legs, and its fee is shared by size.
with fills as (
    select
        *,
        not is_flat_before and (position_before > 0) <> (signed_size > 0) as is_closing,
        not is_flat_before and not is_flat_after and (position_before > 0) <> (position_after > 0) as is_flip
    from {{ ref('slv_trader_epoch_fills') }}
    where {{ traders_have_news() }}
),

sized as (
    select
        *,
        case when not is_closing then 0 when is_flip then abs(position_before) else size end as closed_size
    from fills
),

legs as (
    select
        *,
        0 as leg,
        closed_size as leg_size,
        position_before > 0 as is_long,
        closed_pnl as leg_pnl,
        cast(round(fee * (closed_size / size)) as bigint) as leg_fee,
        false as is_opening,
        is_flat_after or is_flip as is_ending
    from sized
    where is_closing
    union all
    select
        *,
        1 as leg,
        size - closed_size as leg_size,
        signed_size > 0 as is_long,
        case when is_closing then 0 else closed_pnl end as leg_pnl,
        fee - case when is_closing then cast(round(fee * (closed_size / size)) as bigint) else 0 end as leg_fee,
        is_flat_before or is_flip as is_opening,
        false as is_ending
    from sized
    where not is_closing or is_flip
),

-- A trade whose opening nobody saw has number 0.
numbered as (
    select
        *,
        {{ usd_fixed('price * leg_size') }} as leg_value,
        (signed_size > 0) = is_long as is_entry,
        cast(sum(case when is_opening then 1 else 0 end) over so_far as bigint) as trade_number
    from legs
    window
        so_far as (
            partition by address, starts_at, coin
            order by sequence_number, leg
            rows between unbounded preceding and current row
        )
),

trades as (
    select
        address,
        coin,
        case when bool_and(is_long) then 'long' else 'short' end as side,
        trade_number,
        sum(case when is_entry then leg_value else 0 end) as entry_notional,
        sum(case when is_entry then 0 else leg_value end) as exit_notional,
        sum(leg_pnl) as pnl,
        sum(leg_fee) as fees,
        count(distinct fill_id) as n_fills,
        bool_or(is_ending) as is_closed,
        starts_at,
        ends_before,
        max(date) as date,
        case when trade_number > 0 then min(filled_at) end as opened_at,
        max(filled_at) as closed_at,
        max(known_at) as known_at
    from numbered
    group by address, starts_at, ends_before, coin, trade_number
)

select
    address,
    coin,
    side,
    trade_number,
    cast(entry_notional as bigint) as entry_notional,
    cast(exit_notional as bigint) as exit_notional,
    cast(pnl as bigint) as pnl,
    cast(fees as bigint) as fees,
    n_fills,
    date_diff('second', opened_at, closed_at) as held_seconds,
    starts_at,
    ends_before,
    date,
    opened_at,
    closed_at,
    known_at
from trades
where is_closed
order by address, starts_at, coin, trade_number
