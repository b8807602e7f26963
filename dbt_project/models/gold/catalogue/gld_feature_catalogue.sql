{%- set meanings = {
    '': '',
    '_dm': 'z-score over the universe of the date: ',
    '_rank': 'average-tie rank in (0, 1] over the universe of the date: ',
    '_sn': 'z-score within the sector of the date: '
} -%}
{%- set twin_units = {'_dm': 'standard deviations', '_rank': 'fraction', '_sn': 'standard deviations'} -%}
{{ config(materialized='table') }}

with catalogue as (
    {%- for feature in equities_features() %}
    {%- for twin in ([''] if feature.quantum is none else ['', '_dm', '_rank', '_sn']) %}
    select
        '{{ feature.name }}{{ twin }}' as name,
        'equities' as sleeve,
        '{{ feature.family }}' as family,
        '{{ meanings[twin] }}{{ feature.formula }}' as formula,
        '{{ twin_units.get(twin, feature.unit) }}' as unit,
        '{{ feature.sources }}' as source_columns,
        '{{ feature.quantum if feature.quantum else "" }}' as quantum,
        '1' as version,
        sha256('{{ feature.sql | replace("'", "''") }}{{ twin }}') as sql_sha256,
        {{ feature.window }} as window_sessions,
        {{ feature.lookback }} as lookback_sessions
    {{ 'union all' if not loop.last }}
    {%- endfor %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select * from catalogue
order by sleeve, name
