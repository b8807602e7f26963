{{ config(
    materialized='trader_table',
    meta={
        'date_column': 'snapshot_date',
        'blocks': 'dates',
        'input_schema': 'gold',
        'input': 'ml_feature_snapshots',
        'input_date': 'snapshot_date'
    }
) }}

{%- set first_date = traders_from('snapshot_date') %}
{%- set twinned = trader_twinned() %}

with caps as (
    select
        snapshot_date,
        {%- for name in trader_infinite_features() %}
        max(case when feature = '{{ name }}' then cap end) as high_{{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('gld_trader_feature_caps') }}
    where snapshot_date >= {{ first_date }}
    group by snapshot_date
),

capped as (
    select
        snapshots.address,
        {%- for feature in trader_features() %}
        {%- if feature.name in trader_infinite_features() %}
        coalesce({{ cs_cap_infinite('snapshots.' ~ feature.name, 'caps') | indent(8) }}, 0) as {{ feature.name }},
        {%- else %}
        coalesce(snapshots.{{ feature.name }}, 0) as {{ feature.name }},
        {%- endif %}
        {%- endfor %}
        snapshots.snapshot_date as date,
        snapshots.known_at
    from {{ ref('gld_ml_feature_snapshots') }} as snapshots
    inner join caps on snapshots.snapshot_date = caps.snapshot_date
    where snapshots.snapshot_date >= {{ first_date }} and {{ trader_in_block('snapshots.snapshot_date', 'date') }}
),

{{ trader_cross_section('capped') }}

-- In the order of the snapshots: sorting 48 columns would cost as much as making them.
select * from crossed
