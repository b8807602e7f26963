{{ config(materialized='view') }}

with features as (
    select * from {{ ref('gld_traders_features') }}
),

labels as (
    select * from {{ ref('gld_traders_labels') }}
    where target_dm is not null
),

joined as (
    select
        features.address,
        'fwd_7d' as label,
        'resolved' as outcome,
        coverage.status as coverage_status,
        cast(null as varchar) as regime,
        true as in_universe,
        labels.forward_pnl_7d,
        labels.target_dm as value,
        pow(
            2,
            (features.as_of - cast('{{ var("time_decay_epoch") }}' as date))
            / cast({{ var('time_decay_half_life_days') }} as double)
        ) as time_decay_weight,
        1 / cast(7 as double) as uniqueness_weight,
        pow(
            2,
            (features.as_of - cast('{{ var("time_decay_epoch") }}' as date))
            / cast({{ var('time_decay_half_life_days') }} as double)
        ) / cast(7 as double) as sample_weight,
        {%- for name in trader_aggregate_columns() %}
        features.{{ name }},
        {%- endfor %}
        cast(features.as_of - cast('2000-01-01' as date) as integer) as session_index,
        cast(labels.label_end_date - cast('2000-01-01' as date) as integer) as end_index,
        features.as_of as date,
        labels.label_end_date,
        features.known_at
    from features
    inner join labels on features.address = labels.address and features.as_of = labels.snapshot_date
    left join {{ ref('slv_trader_coverage') }} as coverage on features.as_of = coverage.date
)

select * from joined
