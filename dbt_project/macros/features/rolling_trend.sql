{# The straight line through the closes of the window, by least squares on the session's number: slope, fit and the last residual. #}
{% macro rolling_trend_features(operator, windows) -%}
    {%- set lags = 'nullif(bars_sum_# * lags_squared_sum_# - lags_sum_# * lags_sum_#, 0)' -%}
    {%- set products = '(lags_sum_# * price_sum_# - bars_sum_# * price_by_lag_sum_#)' -%}
    {%- set prices = 'nullif(bars_sum_# * price_squared_sum_# - price_sum_# * price_sum_#, 0)' -%}
    {%- set kinds = {
        'beta': ['BETA', 'slope(C, #) / C[t]', products ~ ' / ' ~ lags],
        'rsquare': [
            'RSQR', 'R2 of the line; NULL where sd(C, #) <= 2e-5',
            'case when sqrt(' ~ window_variance('price', 'bars') ~ ') * close > 2e-5 then ' ~ products ~ ' / ' ~ lags ~ ' * ' ~ products ~ ' / ' ~ prices ~ ' end'
        ],
        'residual': ['RESI', '(C[t] - line[t]) / C[t]', '(0 - price_sum_# - ' ~ products ~ ' / ' ~ lags ~ ' * lags_sum_#) / bars_sum_#']
    } -%}
    {{ return(rolling_features('rolling_trend', operator, kinds[operator], windows, 'ratio', 'close')) }}
{%- endmacro %}
