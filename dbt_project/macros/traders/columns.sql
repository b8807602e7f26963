{#
    The columns of the traders sleeve, in the order that seed models were trained on. `quantum` is the grid that a column's sums are
    counted on; the values of gold.ml_feature_snapshots lie on the grid of their `digits`.
#}
{% macro trader_features() -%}
    {{ return([
        {'name': 'roi_7d', 'quantum': '1e-12', 'digits': 12},
        {'name': 'roi_30d', 'quantum': '1e-12', 'digits': 12},
        {'name': 'roi_90d', 'quantum': '1e-12', 'digits': 12},
        {'name': 'pnl_7d', 'quantum': '1e-6', 'digits': 6},
        {'name': 'pnl_30d', 'quantum': '1e-6', 'digits': 6},
        {'name': 'pnl_90d', 'quantum': '1e-6', 'digits': 6},
        {'name': 'win_rate', 'quantum': '1e-12', 'digits': 12},
        {'name': 'profit_factor', 'quantum': '1e-11', 'digits': 12},
        {'name': 'pseudo_sharpe', 'quantum': '1e-12', 'digits': 12},
        {'name': 'max_drawdown', 'quantum': '1e-12', 'digits': 12},
        {'name': 'trade_count', 'quantum': '1e-6', 'digits': 0},
        {'name': 'avg_trade_pnl', 'quantum': '1e-9', 'digits': 9},
        {'name': 'pnl_volatility', 'quantum': '1e-9', 'digits': 9},
        {'name': 'avg_hold_hours', 'quantum': '1e-9', 'digits': 9},
        {'name': 'long_ratio', 'quantum': '1e-12', 'digits': 12},
        {'name': 'coin_concentration', 'quantum': '1e-12', 'digits': 12},
        {'name': 'consistency', 'quantum': '1e-12', 'digits': 12},
        {'name': 'recency_decay', 'quantum': '1e-12', 'digits': 12}
    ]) }}
{%- endmacro %}

{# The features that may be infinite: only they are capped. A data test holds the others finite. #}
{% macro trader_infinite_features() -%}
    {{ return(['profit_factor']) }}
{%- endmacro %}

{# Six features made of capped and filled ones. #}
{% macro trader_extra_features() -%}
    {{ return([
        {'name': 'roi_momentum_7_30', 'quantum': '1e-12', 'sql': 'roi_7d - roi_30d'},
        {'name': 'roi_momentum_30_90', 'quantum': '1e-12', 'sql': 'roi_30d - roi_90d'},
        {'name': 'pnl_momentum_7_30', 'quantum': '1e-6', 'sql': 'pnl_7d - pnl_30d'},
        {'name': 'wr_x_pf', 'quantum': '1e-12', 'sql': 'win_rate * least(greatest(profit_factor, 0), 50)'},
        {'name': 'sharpe_x_wr', 'quantum': '1e-12', 'sql': 'pseudo_sharpe * win_rate'},
        {'name': 'roi7_x_rec', 'quantum': '1e-12', 'sql': 'roi_7d * recency_decay'}
    ]) }}
{%- endmacro %}

{# The 24 features that have twins: the 18, then the six. #}
{% macro trader_twinned() -%}
    {{ return(trader_features() + trader_extra_features()) }}
{%- endmacro %}

{# The 48 columns of a window. #}
{% macro trader_window_columns() -%}
    {%- set names = [] -%}
    {%- for feature in trader_twinned() -%}
        {%- do names.extend([feature.name ~ '_dm', feature.name ~ '_rank']) -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}

{# The 97 columns of a trader. #}
{% macro trader_aggregate_columns() -%}
    {%- set names = [] -%}
    {%- for name in trader_window_columns() -%}
        {%- do names.extend([name ~ '_mean', name ~ '_trend']) -%}
    {%- endfor -%}
    {{ return(names + ['n_windows']) }}
{%- endmacro %}

{# Ranks in the composite score and their weights, which sum to 1; a negative sign says that less is better. #}
{% macro trader_composite_parts() -%}
    {{ return([
        {'name': 'roi_30d', 'weight': 0.25, 'sign': 1},
        {'name': 'pseudo_sharpe', 'weight': 0.2, 'sign': 1},
        {'name': 'consistency', 'weight': 0.15, 'sign': 1},
        {'name': 'win_rate', 'weight': 0.1, 'sign': 1},
        {'name': 'profit_factor', 'weight': 0.1, 'sign': 1},
        {'name': 'max_drawdown', 'weight': 0.1, 'sign': -1},
        {'name': 'recency_decay', 'weight': 0.1, 'sign': 1}
    ]) }}
{%- endmacro %}
