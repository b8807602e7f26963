{# Where the price stands among those of the window: change, mean, spread, extremes, quantiles and rank, in units of the close. #}
{% macro rolling_price_features(operator, windows) -%}
    {%- set kinds = {
        'roc': ['ROC', 'C[t-#] / C[t]', 'close_# / close', true],
        'mean': ['MA', 'mean(C, #) / C[t]', '1 + price_sum_# / nullif(bars_sum_#, 0)'],
        'std': ['STD', 'sd(C, #) / C[t]', 'sqrt(' ~ window_variance('price', 'bars') ~ ')'],
        'max': ['MAX', 'max(H, #) / C[t]', 'high_extreme_# / close'],
        'min': ['MIN', 'min(D, #) / C[t]', 'low_extreme_# / close'],
        'quantile_80': ['QTLU', 'quantile(C, #, 0.8) / C[t]', 'quantiles_#[2] / close'],
        'quantile_20': ['QTLD', 'quantile(C, #, 0.2) / C[t]', 'quantiles_#[1] / close'],
        'rank': ['RANK', 'average-tie rank of C[t] in the window / bars in it', '(1 + (bars_sum_# - 1 - sign_sum_#) / 2) / bars_sum_#'],
        'range_position': ['RSV', '(C[t] - min(D, #)) / (max(H, #) - min(D, #) + 1e-12)', '(close - low_extreme_#) / (high_extreme_# - low_extreme_# + 1e-12)']
    } -%}
    {%- set unit = 'fraction' if operator == 'rank' else 'ratio' -%}
    {%- set sources = 'high, low, close' if operator == 'range_position' else {'max': 'high, close', 'min': 'low, close'}.get(operator, 'close') -%}
    {{ return(rolling_features('rolling_prices', operator, kinds[operator], windows, unit, sources)) }}
{%- endmacro %}

{# One feature for each window. `kind` is alias, formula, expression (# is the window in both) and whether the session before the window is read. #}
{% macro rolling_features(family, operator, kind, windows, unit, sources) -%}
    {%- set features = [] -%}
    {%- for n in windows -%}
        {%- do features.append(feature(
            name='rolling_' ~ operator ~ '_' ~ n, family=family, window=n, unit=unit, lookback=n - 1 + (kind | length > 3) | int,
            alias=kind[0] ~ n, formula=kind[1] | replace('#', n), sources=sources ~ ', dividend_amount, split_coefficient', sql=kind[2] | replace('#', n)
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}

{# Sample variance of a term over the window #; NULL below two values. #}
{% macro window_variance(term, count) -%}
    (greatest({{ count }}_sum_# * {{ term }}_squared_sum_# - {{ term }}_sum_# * {{ term }}_sum_#, 0) / nullif({{ count }}_sum_# * ({{ count }}_sum_# - 1), 0))
{%- endmacro %}
