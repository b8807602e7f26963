{#
    The columns that risk features are expressions of, beside those of work.equity_panel, the market's and the sector's returns, and the
    session's state: a list of steps, each of which may use the columns of the steps before it. Everything that is added up is a whole
    number: logs of 1e-12, their squares and products of 1e-24, illiquidity of 1e-15.
#}
{% macro risk_feature_columns() -%}
    {%- set windows = [5, 10, 20, 60, 120] -%}
    {%- set range = '(log_high - log_low)' -%}
    {%- set measured = {
        'return_square': 'cast(log_return as hugeint) * log_return',
        'market_product': 'cast(log_return as hugeint) * market_return',
        'sector_square': 'cast(sector_return as hugeint) * sector_return',
        'sector_product': 'cast(sector_return as hugeint) * log_return',
        'sector_own': 'case when sector_return is not null then log_return end',
        'sector_own_square': 'case when sector_return is not null then cast(log_return as hugeint) * log_return end',
        'volume_square': 'cast(log_volume as hugeint) * log_volume',
        'illiquidity': 'case when log_gap is not null and close * volume > 0 then cast(round(abs(exp(' ~ from_fixed('log_return')
            ~ ') - 1) / (close * volume) * 1e21) as hugeint) end',
        'night_square': 'cast(log_gap as hugeint) * log_gap',
        'body': 'case when log_gap is not null then log_open end',
        'body_square': 'case when log_gap is not null then cast(log_open as hugeint) * log_open end',
        'range_square': 'case when log_gap is not null then cast(' ~ range ~ ' as hugeint) * ' ~ range ~ ' end',
        'rogers_satchell': 'case when log_gap is not null then cast(log_high as hugeint) * (log_high - log_open)'
            ~ ' + cast(log_low as hugeint) * (log_low - log_open) end'
    } -%}
    {%- set ranges = {
        'range_count_5': last_sessions('count(range_square)', 5),
        'range_squares_5': last_sessions('sum(range_square)', 5)
    } -%}
    {#- The log of a 5-session Parkinson volatility, but for a constant. -#}
    {%- set volatile = {
        'log_volatility': 'case when range_count_5 >= ' ~ four_fifths(5) ~ ' then '
            ~ to_fixed('0.5 * ln(cast(nullif(range_squares_5, 0) as double) / range_count_5)') ~ ' end'
    } -%}
    {%- set sums = {} -%}
    {%- for n in windows + [126] -%}
        {%- do sums.update({'log_index_' ~ n: 'lag(log_index, ' ~ n ~ ') over (partition by series_key order by session_index)'}) -%}
    {%- endfor -%}
    {%- for n in windows -%}
        {%- do sums.update({'return_squares_' ~ n: last_sessions('sum(return_square)', n)}) -%}
        {%- if n > 5 -%}
            {%- do sums.update({
                'range_count_' ~ n: last_sessions('count(range_square)', n),
                'range_squares_' ~ n: last_sessions('sum(range_square)', n)
            }) -%}
        {%- endif -%}
        {%- do sums.update({
            'night_sum_' ~ n: last_sessions('sum(log_gap)', n),
            'night_squares_' ~ n: last_sessions('sum(night_square)', n),
            'body_sum_' ~ n: last_sessions('sum(body)', n),
            'body_squares_' ~ n: last_sessions('sum(body_square)', n),
            'rogers_satchell_' ~ n: last_sessions('sum(rogers_satchell)', n)
        }) -%}
    {%- endfor -%}
    {%- for n in [5, 20, 60, 120] -%}
        {%- do sums.update({
            'volume_count_' ~ n: last_sessions('count(log_volume)', n),
            'volume_sum_' ~ n: last_sessions('sum(log_volume)', n)
        }) -%}
    {%- endfor -%}
    {%- for n in [20, 60] -%}
        {%- do sums.update({
            'illiquidity_count_' ~ n: last_sessions('count(illiquidity)', n),
            'illiquidity_sum_' ~ n: last_sessions('sum(illiquidity)', n)
        }) -%}
    {%- endfor -%}
    {%- for n in [60, 120] -%}
        {%- do sums.update({
            'market_products_' ~ n: last_sessions('sum(market_product)', n),
            'sector_count_' ~ n: last_sessions('count(sector_return)', n),
            'sector_sum_' ~ n: last_sessions('sum(sector_return)', n),
            'sector_squares_' ~ n: last_sessions('sum(sector_square)', n),
            'sector_products_' ~ n: last_sessions('sum(sector_product)', n),
            'sector_own_sum_' ~ n: last_sessions('sum(sector_own)', n),
            'sector_own_squares_' ~ n: last_sessions('sum(sector_own_square)', n)
        }) -%}
    {%- endfor -%}
    {%- do sums.update({
        'volume_squares_60': last_sessions('sum(volume_square)', 60),
        'volatility_count_60': last_sessions('count(log_volatility)', 60),
        'volatility_sum_60': last_sessions('sum(log_volatility)', 60),
        'volatility_squares_60': last_sessions('sum(cast(log_volatility as hugeint) * log_volatility)', 60)
    }) -%}
    {{ return([measured, ranges, volatile, sums]) }}
{%- endmacro %}

{# The columns that come from elsewhere: the panel, silver.equity_market over its last sessions, and silver.equity_risk_sessions. #}
{% macro risk_given_columns() -%}
    {%- set given = [
        'date', 'age', 'present_20', 'dollar_volume_20', 'log_index', 'log_volume', 'month_session', 'left_in_month', 'left_in_quarter',
        'left_to_expiry', 'is_before_closure', 'is_after_closure', 'vix', 'log_vix', 'log_vix_1', 'log_vix_5', 'vix_count_252', 'vix_sum_252',
        'vix_squares_252', 'vix_not_above_252'
    ] -%}
    {%- for n in [60, 120] -%}
        {%- do given.extend(['market_count_' ~ n, 'market_sum_' ~ n, 'market_squares_' ~ n]) -%}
    {%- endfor -%}
    {%- for factor in fama_french_factors() -%}
        {%- for what in ['count_60', 'sum_60', 'squares_60', 'known_252', 'not_above_252'] -%}
            {%- do given.append('factor_' ~ factor ~ '_' ~ what) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(given) }}
{%- endmacro %}
