{#
    The columns that the core features are expressions of, beside those of work.equity_panel and the market's: a list of steps, each of which may use
    the columns of the steps before it. A column is part of the definition of the features that name it and of no others, so a new window is a new
    column here and changes nothing that is built.
#}
{% macro equities_feature_columns() -%}
    {%- set sums = {'sector_code': sector_code('sector')} -%}
    {%- for n in [5, 20, 60, 126] -%}
        {%- do sums.update({'log_index_' ~ n: 'lag(log_index, ' ~ n ~ ') over (partition by series_key order by session_index)'}) -%}
    {%- endfor -%}
    {%- do sums.update({
        'index_sum_20': last_sessions('sum(log_index)', 20),
        'index_squares_20': last_sessions('sum(cast(log_index as hugeint) * log_index)', 20),
        'return_squares_20': last_sessions('sum(cast(log_return as hugeint) * log_return)', 20),
        'market_products_20': last_sessions('sum(cast(log_return as hugeint) * market_return)', 20),
        'volume_sum_20': last_sessions('sum(log_volume)', 20),
        'volume_squares_20': last_sessions('sum(cast(log_volume as hugeint) * log_volume)', 20),
        'volume_count_20': last_sessions('count(log_volume)', 20),
        'gap_sum_20': last_sessions('sum(log_gap)', 20),
        'gap_squares_20': last_sessions('sum(cast(log_gap as hugeint) * log_gap)', 20),
        'gap_count_20': last_sessions('count(log_gap)', 20),
        'index_max_126': last_sessions('max(log_index)', 126)
    }) -%}
    {#- A window of 60 is three of 20, which is exact because they are integers. -#}
    {%- set thrice = {} -%}
    {%- for total in ['index_sum', 'index_squares', 'return_squares', 'market_products'] -%}
        {%- set earlier = [] -%}
        {%- for n in [20, 40] -%}{%- do earlier.append('lag(' ~ total ~ '_20, ' ~ n ~ ') over (partition by series_key order by session_index)') -%}{%- endfor -%}
        {%- do thrice.update({total ~ '_60': total ~ '_20 + ' ~ earlier | join(' + ')}) -%}
    {%- endfor -%}
    {{ return([sums, thrice]) }}
{%- endmacro %}

{# An aggregate over the last n sessions of a listing, the row's own included. #}
{% macro last_sessions(aggregate, n) -%}
    {{ aggregate }} over (partition by series_key order by session_index rows between {{ n - 1 }} preceding and current row)
{%- endmacro %}
