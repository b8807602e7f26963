{{ config(materialized='feature_table', schema='work', meta={'serves': 'equities_features'}) }}

-- The raw features of the dates that this build replaces, and those of earlier dates that it fills new columns with.
{%- set features = equities_features() %}

with panel as (
    select * from {{ ref('slv_equity_panel') }}
    where
        date >= {{ sessions_before_block(var('longest_lookback')) }}
        and date < {{ block_to() }}
        and {{ is_in_block('symbol') }}
),

market as (
    select
        session_index,
        market_return,
        cast(sum(market_return) over last_60 as hugeint) as market_sum_60,
        cast(sum(cast(market_return as hugeint) * market_return) over last_60 as hugeint) as market_squares_60,
        count(market_return) over last_60 as market_count_60
    from {{ ref('slv_equity_market') }}
    window last_60 as (order by session_index rows between 59 preceding and current row)
),

joined as (
    select
        panel.*,
        market.market_return,
        market.market_sum_60,
        market.market_squares_60,
        market.market_count_60
    from panel
    left join market on panel.session_index = market.session_index
),

{% for columns in equities_feature_columns() -%}
step_{{ loop.index }} as (
    select
        *,
        {%- for name, expression in columns.items() %}
        {{ expression }} as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ 'joined' if loop.first else 'step_' ~ loop.index0 }}
),

{% endfor -%}
raw_features as (
    select
        symbol,
        sector,
        in_universe,
        {%- for feature in features %}
        cast({{ feature.sql }} as float) as {{ feature.name }},
        {%- endfor %}
        date,
        known_at
    from step_{{ equities_feature_columns() | length }}
    where is_live and is_present and date >= {{ block_from() }} and date < {{ block_to() }}
)

select * from raw_features
order by date, symbol
