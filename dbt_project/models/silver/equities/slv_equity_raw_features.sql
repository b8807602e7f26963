{{ config(materialized='table', schema='work') }}

-- The raw features of the dates that this build replaces.
{%- set features = equities_features() %}

with panel as (
    select * from {{ ref('slv_equity_panel') }}
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

-- Sums over 20 sessions; a window of 60 is three of them, which is exact because they are integers.
sums_20 as (
    select
        *,
        lag(log_index, 5) over history as log_index_5,
        lag(log_index, 20) over history as log_index_20,
        lag(log_index, 60) over history as log_index_60,
        lag(log_index, 126) over history as log_index_126,
        sum(log_index) over last_20 as index_sum_20,
        sum(cast(log_index as hugeint) * log_index) over last_20 as index_squares_20,
        sum(cast(log_return as hugeint) * log_return) over last_20 as return_squares_20,
        sum(cast(log_return as hugeint) * market_return) over last_20 as market_products_20,
        sum(log_volume) over last_20 as volume_sum_20,
        sum(cast(log_volume as hugeint) * log_volume) over last_20 as volume_squares_20,
        count(log_volume) over last_20 as volume_count_20,
        sum(log_gap) over last_20 as gap_sum_20,
        sum(cast(log_gap as hugeint) * log_gap) over last_20 as gap_squares_20,
        count(log_gap) over last_20 as gap_count_20,
        max(log_index) over last_126 as index_max_126
    from joined
    window
        history as (partition by series_key order by session_index),
        last_20 as (partition by series_key order by session_index rows between 19 preceding and current row),
        last_126 as (partition by series_key order by session_index rows between 125 preceding and current row)
),

sums as (
    select
        *,
        {{ sector_code('sector') }} as sector_code,
        {%- for total in ['index_sum', 'index_squares', 'return_squares', 'market_products'] %}
        {{ total }}_20 + lag({{ total }}_20, 20) over history + lag({{ total }}_20, 40) over history
            as {{ total }}_60{{ ',' if not loop.last }}
        {%- endfor %}
    from sums_20
    window history as (partition by series_key order by session_index)
),

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
    from sums
    where is_live and is_present and date >= {{ replaced_from() }}
)

select * from raw_features
order by date, symbol
