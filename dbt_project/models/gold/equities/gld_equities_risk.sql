{{ config(
    materialized='feature_table',
    enabled=feature_table_is_built('equities_risk')
) }}

{%- set features = risk_features() -%}
{%- set own = features | selectattr('quantum') | list -%}
{%- set shared = features | rejectattr('quantum') | list -%}
{%- set factors = risk_factors() -%}
{%- set twins = risk_twins() -%}
{%- set lookback = (own + factors) | map(attribute='lookback') | max %}

with panel as (
    select * from {{ ref('slv_equity_panel') }}
    where date >= {{ sessions_before_block(lookback) }} and date < {{ block_to() }}
),

market as (
    select
        session_index,
        market_return,
        {%- for n in [60, 120] %}
        count(market_return) over last_{{ n }} as market_count_{{ n }},
        cast(sum(market_return) over last_{{ n }} as hugeint) as market_sum_{{ n }},
        cast(sum(cast(market_return as hugeint) * market_return) over last_{{ n }} as hugeint)
            as market_squares_{{ n }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('slv_equity_market') }}
    window
        last_60 as (order by session_index range between 59 preceding and current row),
        last_120 as (order by session_index range between 119 preceding and current row)
),

-- A sector of one member is no benchmark for it.
sectors as (
    select * from {{ ref('slv_equity_risk_sectors') }}
    where members >= 2
),

joined as (
    select
        panel.*,
        market.* exclude (session_index),
        sectors.sector_return
    from panel
    left join market on panel.session_index = market.session_index
    -- An absent session has the sector of a bar that came later, which the row cannot know.
    left join sectors
        on panel.session_index = sectors.session_index and panel.sector = sectors.sector and panel.is_present
),

{% for columns in risk_feature_columns() -%}
step_{{ loop.index }} as (
    select
        *,
        {%- for name, expression in columns.items() %}
        {{ expression }} as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ 'joined' if loop.first else 'step_' ~ loop.index0 }}
),

{% endfor -%}
raw_features as materialized (
    select
        symbol,
        in_universe,
        coalesce(sector, '') as sector_group,
        series_key * 100000 + session_index as row_id,
        {%- for feature in own + factors %}
        cast({{ feature.sql }} as float) as {{ feature.name }},
        {%- endfor %}
        date,
        known_at
    from step_{{ risk_feature_columns() | length }}
    where is_live and is_present and date >= {{ block_from() }} and date < {{ block_to() }}
),

universe as not materialized (
    select * from raw_features
    where in_universe
),

{{ cs_twins('universe', own, twins, keys=['row_id'], factors=factors) }},

sessions as (
    select
        {%- for feature in shared %}
        cast({{ feature.sql }} as float) as {{ feature.name }},
        {%- endfor %}
        date,
        known_at
    from {{ ref('slv_equity_risk_sessions') }}
),

with_twins as (
    select
        raw_features.symbol,
        raw_features.in_universe,
        {%- for feature in own %}
        raw_features.{{ feature.name }},
        {%- endfor %}
        {%- for feature in shared %}
        sessions.{{ feature.name }},
        {%- endfor %}
        {%- for name in cs_twin_names(own, twins) %}
        cs_twins.{{ name }},
        {%- endfor %}
        raw_features.date,
        greatest(raw_features.known_at, sessions.known_at) as known_at
    from raw_features
    left join cs_twins on raw_features.row_id = cs_twins.row_id
    left join sessions on raw_features.date = sessions.date
)

select * from with_twins
