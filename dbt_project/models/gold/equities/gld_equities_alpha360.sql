{{ config(
    materialized='feature_table',
    enabled=feature_table_is_built('equities_alpha360')
) }}

{%- set features = features_of('equities_alpha360') %}

with {{ aligned_bars(ref('slv_equity_panel'), 59) }},

features as (
    select
        symbol,
        in_universe,
        {%- for feature in features %}
        cast({{ feature.sql }} as float) as {{ feature.name }},
        {%- endfor %}
        date,
        known_at
    from bars
)

select * from features
