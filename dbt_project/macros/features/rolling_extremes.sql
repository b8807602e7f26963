{# How long ago the highest high and the lowest low were (Aroon), counted from the oldest session of the window; the oldest of several counts. #}
{% macro rolling_extreme_features(operator, windows) -%}
    {%- set kinds = {
        'argmax': ['IMAX', 'place of max(H, #) in the window / #', '(least(age, #) - high_extreme_lag_#) / #'],
        'argmin': ['IMIN', 'place of min(D, #) in the window / #', '(least(age, #) - low_extreme_lag_#) / #'],
        'argmax_less_argmin': ['IMXD', '(place of max(H, #) - place of min(D, #)) / #', '(low_extreme_lag_# - high_extreme_lag_#) / #']
    } -%}
    {%- set unit = 'fraction' -%}
    {%- set sources = {'argmax': 'high, close', 'argmin': 'low, close'}.get(operator, 'high, low, close') -%}
    {{ return(rolling_features('rolling_extremes', operator, kinds[operator], windows, unit, sources)) }}
{%- endmacro %}
