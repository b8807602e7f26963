{# Distance of the last value from its rolling mean, in rolling sample standard deviations. #}
{% macro zscore_features(price_windows, volume_windows) -%}
    {%- set features = [] -%}
    {%- for n in price_windows -%}
        {%- do features.append(feature(
            name='zscore_price_' ~ n ~ 'd', family='zscore', window=n, unit='standard deviations', lookback=n - 1, quantum='1e-12',
            formula='(L[t] - mean(L, ' ~ n ~ ')) / sd(L, ' ~ n ~ ')', sources='close, dividend_amount, split_coefficient',
            sql='case when ' ~ has_history(n - 1) ~ ' then ' ~ rolling_zscore('log_index', n, 'index_sum_' ~ n, 'index_squares_' ~ n) ~ ' end'
        )) -%}
    {%- endfor -%}
    {%- for n in volume_windows -%}
        {%- do features.append(feature(
            name='zscore_volume_' ~ n ~ 'd', family='zscore', window=n, unit='standard deviations', lookback=n - 1, quantum='1e-12',
            formula='(V[t] - mean(V, ' ~ n ~ ')) / sd(V, ' ~ n ~ '), V = ln(split-consistent volume)', sources='volume, split_coefficient',
            sql='case when ' ~ has_history(n - 1) ~ ' and volume_count_' ~ n ~ ' >= 16 then '
                ~ rolling_zscore('log_volume', 'volume_count_' ~ n, 'volume_sum_' ~ n, 'volume_squares_' ~ n) ~ ' end'
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}

{# Exact in the numerator and under the root: shifting the series by a constant changes no bit. #}
{% macro rolling_zscore(value, n, total, squares) -%}
    cast({{ n }} * cast({{ value }} as hugeint) - {{ total }} as double) / {{ n }} / nullif(sqrt({{ fixed_variance(n, total, squares) }}), 0)
{%- endmacro %}
