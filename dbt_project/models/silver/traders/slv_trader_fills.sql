{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_trader_rows() }}"
) }}

with versions as (
    select
        *,
        row_number() over (partition by address, fill_id order by ingested_at desc) as version_from_latest
    from {{ ref('brz_traders__fills') }}
    where {{ traders_have_news() }}
),

latest as (
    select
        address,
        fill_id,
        coin,
        side,
        direction,
        position_side,
        venue,
        price,
        size,
        price * size as volume_usd,
        start_position,
        closed_pnl,
        fee,
        date,
        filled_at,
        known_at
    from versions
    where version_from_latest = 1
)

select * from latest
order by address, filled_at, fill_id
