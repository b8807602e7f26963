{# Price against volume over the window: levels with log volume, and daily ratios with the log of the ratio of volumes plus one. #}
{% macro rolling_correlation_features(operator, windows) -%}
    {%- set kinds = {
        'corr_price_volume': [
            'CORR', 'corr(C, ln(volume + 1), #); NULL where either sd <= 2e-5', window_correlation('price', 'log_volume', 'price_by_log_volume', 'bars', 'close')
        ],
        'corr_return_volume_change': [
            'CORD', 'corr(C[t] / C[t-1], ln(volume[t] / volume[t-1] + 1), #); NULL where either sd <= 2e-5', window_correlation('rate', 'change', 'rate_by_change', 'pairs', '1'), true
        ]
    } -%}
    {{ return(rolling_features('rolling_correlation', operator, kinds[operator], windows, 'correlation', 'close, volume')) }}
{%- endmacro %}

{% macro window_correlation(left, right, product, count, scale) -%}
    case
        when sqrt({{ window_variance(left, count) }}) * {{ scale }} > 2e-5 and sqrt({{ window_variance(right, count) }}) > 2e-5
            then ({{ count }}_sum_# * {{ product }}_sum_# - {{ left }}_sum_# * {{ right }}_sum_#)
                / sqrt({{ count }}_sum_# * {{ left }}_squared_sum_# - {{ left }}_sum_# * {{ left }}_sum_#)
                / sqrt({{ count }}_sum_# * {{ right }}_squared_sum_# - {{ right }}_sum_# * {{ right }}_sum_#)
    end
{%- endmacro %}
