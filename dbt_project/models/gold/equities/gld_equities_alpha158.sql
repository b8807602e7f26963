{{ config(
    materialized='feature_table',
    enabled=feature_table_is_built('equities_alpha158')
) }}

{%- set features = features_of('equities_alpha158') %}

with {{ window_sums(ref('slv_equity_panel')) }},

features as (
    select
        symbol,
        in_universe,
        {%- for feature in features %}
        cast({{ feature.sql }} as float) as {{ feature.name }},
        {%- endfor %}
        date,
        known_at
    from windows
)

select * from features
