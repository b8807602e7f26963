{{ config(materialized='view') }}

{%- set features = equities_features() -%}
{%- set twinned = equities_features_with_twins() %}

with features as (
    select * from {{ ref('gld_equities_features') }}
    where in_universe
),

labels as (
    select * from {{ ref('gld_equities_labels') }}
    where value is not null
),

-- Half as much for every half-life, from a fixed epoch: a weight never changes, and only ratios matter to a fit.
joined as (
    select
        features.symbol,
        features.sector,
        labels.label,
        labels.outcome,
        coverage.status as coverage_status,
        regime.regime,
        labels.value,
        pow(
            2,
            (features.date - cast('{{ var("time_decay_epoch") }}' as date))
            / cast({{ var('time_decay_half_life_days') }} as double)
        ) as time_decay_weight,
        labels.uniqueness_weight,
        labels.uniqueness_weight * pow(
            2,
            (features.date - cast('{{ var("time_decay_epoch") }}' as date))
            / cast({{ var('time_decay_half_life_days') }} as double)
        ) as sample_weight,
        {%- for feature in features %}
        features.{{ feature.name }},
        {%- endfor %}
        {%- for feature in twinned %}
        features.{{ feature.name }}_dm,
        features.{{ feature.name }}_rank,
        features.{{ feature.name }}_sn,
        {%- endfor %}
        labels.session_index,
        labels.end_index,
        features.date,
        labels.label_end_date,
        features.known_at
    from features
    inner join labels on features.symbol = labels.symbol and features.date = labels.date
    left join {{ ref('gld_equities_regime') }} as regime on features.date = regime.date
    left join {{ ref('slv_coverage') }} as coverage
        on features.date = coverage.date and coverage.dataset = 'equity_bars'
)

select * from joined
