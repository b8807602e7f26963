{{ config(
    materialized='trader_table',
    meta={
        'date_column': 'snapshot_date',
        'blocks': 'none',
        'input_schema': 'gold',
        'input': 'ml_feature_snapshots',
        'input_date': 'snapshot_date',
        'days_before': 7
    }
) }}

{%- set first_date = traders_from('snapshot_date', 7) %}

with snapshots as (
    select
        address,
        snapshot_date
    from {{ ref('gld_ml_feature_snapshots') }}
    where snapshot_date >= {{ first_date }}
),

horizon as (
    select max(date) as last_date from {{ ref('slv_trader_panel') }}
),

-- A label is read in the epoch that knew its end.
ahead as (
    select
        address,
        date,
        starts_at,
        ends_before,
        sum(net_pnl) over following_7 as pnl
    from {{ ref('slv_trader_panel') }}
    window
        following_7 as (
            partition by address, starts_at order by date
            range between interval 1 day following and interval 7 day following
        )
),

known as (
    select
        address,
        date,
        coalesce(pnl, 0) as pnl
    from ahead
    where date + 7 >= starts_at and date + 7 < ends_before
),

labelled as (
    select
        snapshots.address,
        case
            when snapshots.snapshot_date + 7 <= horizon.last_date then {{ usd('coalesce(known.pnl, 0)') }}
        end as forward_pnl_7d,
        snapshots.snapshot_date
    from snapshots
    cross join horizon
    left join known on snapshots.address = known.address and snapshots.snapshot_date = known.date
),

-- Limits look at the labels of all dates so far: also at those that this build keeps.
valued as (
    select
        forward_pnl_7d,
        snapshot_date as date
    from labelled
    {%- if trader_keeps_table() %}
    union all
    select
        forward_pnl_7d,
        snapshot_date as date
    from {{ this }}
    where snapshot_date < {{ first_date }}
    {%- endif %}
),

{{ cs_expanding_quantiles('limits', 'valued', 'forward_pnl_7d', [0.05, 0.95], first_date, 16) }},

clipped as (
    select
        labelled.address,
        labelled.forward_pnl_7d,
        {{ cs_clip('labelled.forward_pnl_7d', 'limits_quantiles.quantile_1', 'limits_quantiles.quantile_2') }}
            as winsorised,
        limits_quantiles.quantile_1 as low,
        limits_quantiles.quantile_2 as high,
        labelled.snapshot_date
    from labelled
    inner join limits_quantiles on labelled.snapshot_date = limits_quantiles.date
),

moments as (
    select
        snapshot_date,
        {{ cs_moments('winsorised', '1e-9') }}
    from clipped
    group by snapshot_date
),

scale as (
    select
        snapshot_date,
        {{ cs_scale('winsorised', '1e-9', many=true) }}
    from moments
)

select
    clipped.address,
    clipped.forward_pnl_7d,
    clipped.winsorised,
    {{ cs_demean('clipped.winsorised', 'scale') }} as target_dm,
    clipped.low,
    clipped.high,
    clipped.snapshot_date,
    clipped.snapshot_date + 7 as label_end_date
from clipped
inner join scale on clipped.snapshot_date = scale.snapshot_date
order by clipped.snapshot_date, clipped.address
