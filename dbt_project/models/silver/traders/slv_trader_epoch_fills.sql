{{ config(
    materialized='incremental',
    incremental_strategy='append',
    schema='work',
    pre_hook="{{ delete_trader_rows() }}"
) }}

-- The fills of each epoch, as its dates know them, in the order in which they happened, with the position before each.
with versions as (
    select
        *,
        {{ trader_effective_date() }} as effective_date,
        -- Fills of one instant keep the order in which they first landed.
        first_value(ingested_at) over first_landing as first_ingested_at,
        first_value(line) over first_landing as first_line
    from {{ ref('brz_traders__fills') }}
    where {{ traders_have_news() }}
    window first_landing as (partition by address, fill_id order by ingested_at)
),

known as (
    select
        versions.*,
        epochs.starts_at,
        epochs.ends_before,
        row_number() over (
            partition by versions.address, versions.fill_id, epochs.starts_at order by versions.ingested_at desc
        ) as version_from_latest
    from versions
    inner join {{ ref('slv_trader_epochs') }} as epochs on versions.address = epochs.address
    where versions.effective_date <= versions.date or versions.effective_date <= epochs.starts_at
),

signed as (
    select
        *,
        case when side = 'buy' then size else -size end as signed_size
    from known
    where version_from_latest = 1
),

-- Where the venue does not say the position, it is the sum of all fills before, in units of 1e-8.
positioned as (
    select
        *,
        coalesce(
            start_position,
            cast(sum(cast(round(signed_size * 1e8) as bigint)) over earlier as double) / 1e8,
            0
        ) as position_before
    from signed
    window
        earlier as (
            partition by address, starts_at, coin
            order by filled_at, first_ingested_at, first_line
            rows between unbounded preceding and 1 preceding
        )
),

measured as (
    select
        address,
        fill_id,
        coin,
        coalesce(
            position_side,
            case
                when abs(position_before) * price >= {{ var('trader_dust_usd') }}
                    then case when position_before > 0 then 'long' else 'short' end
                when signed_size > 0 then 'long'
                else 'short'
            end
        ) as position_side,
        row_number() over (
            partition by address, starts_at, coin order by filled_at, first_ingested_at, first_line
        ) as sequence_number,
        price,
        size,
        signed_size,
        position_before,
        position_before + signed_size as position_after,
        abs(position_before) * price < {{ var('trader_dust_usd') }} as is_flat_before,
        abs(position_before + signed_size) * price < {{ var('trader_dust_usd') }} as is_flat_after,
        {{ usd_fixed('closed_pnl') }} as closed_pnl,
        {{ usd_fixed('fee') }} as fee,
        {{ usd_fixed('price * size') }} as volume,
        starts_at,
        ends_before,
        date,
        filled_at,
        known_at
    from positioned
)

select * from measured
order by address, starts_at, coin, sequence_number
