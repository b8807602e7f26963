{{ config(
    materialized='trader_table',
    meta={
        'date_column': 'snapshot_date',
        'blocks': 'none',
        'input_schema': 'gold',
        'input': 'ml_feature_snapshots',
        'input_date': 'snapshot_date'
    }
) }}

{%- set first_date = traders_from('snapshot_date') %}

with snapshots as (
    select
        {%- for name in trader_infinite_features() %}
        {{ name }},
        {%- endfor %}
        snapshot_date as date
    from {{ ref('gld_ml_feature_snapshots') }}
),

{% for name in trader_infinite_features() -%}
{{ cs_expanding_quantiles(name, 'snapshots', name, [0.95], first_date, 64) }},

{% endfor -%}
caps as (
    {%- for name in trader_infinite_features() %}
    select
        '{{ name }}' as feature,
        greatest(coalesce(quantile_1, 10e0), 10e0) as cap,
        date as snapshot_date
    from {{ name }}_quantiles
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select * from caps
order by snapshot_date, feature
