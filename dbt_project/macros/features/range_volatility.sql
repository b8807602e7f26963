{#
    Volatility of a session's range, annualised by sqrt(252), over the sessions of the window that have a bar and an overnight return g: a suspect
    session has none. With o, h and d the logs of open, high and low over the close:

    Parkinson (1980)        the range alone, h - d; the night between two sessions is not in it
    Garman and Klass (1980) the range less what the move from open to close explains, their practical estimator: no cross terms
    Yang and Zhang (2000)   the variance of the night, that from open to close, and the range after Rogers and Satchell (1991), weighted so
                            that neither drift nor opening jumps bias it (alpha = 1.34)
#}
{% macro range_volatility_features(windows) -%}
    {%- set features = [] -%}
    {%- set sources = 'open, high, low, close' -%}
    {%- for n in windows -%}
        {%- do features.append(feature(
            name='parkinson_volatility_' ~ n ~ 'd', family='range_volatility', window=n, unit='annualised', lookback=n, quantum='1e-12',
            formula='sqrt(252 mean((h - d)^2, ' ~ n ~ ') / (4 ln 2))', sources=sources,
            sql='case when ' ~ has_ranges(n) ~ ' then sqrt(252 * cast(range_squares_' ~ n ~ ' as double) / range_count_' ~ n
                ~ ' / (4 * ln(2))) / 1e12 end'
        )) -%}
    {%- endfor -%}
    {%- for n in windows -%}
        {%- do features.append(feature(
            name='garman_klass_volatility_' ~ n ~ 'd', family='range_volatility', window=n, unit='annualised', lookback=n, quantum='1e-12',
            formula='sqrt(252 mean((h - d)^2 / 2 - (2 ln 2 - 1) o^2, ' ~ n ~ '))', sources=sources,
            sql='case when ' ~ has_ranges(n) ~ ' then sqrt(252 * greatest(0.5 * cast(range_squares_' ~ n
                ~ ' as double) - (2 * ln(2) - 1) * cast(body_squares_' ~ n ~ ' as double), 0) / range_count_' ~ n ~ ') / 1e12 end'
        )) -%}
    {%- endfor -%}
    {%- for n in windows -%}
        {%- set count = 'range_count_' ~ n -%}
        {%- set weight = '(0.34 / (1.34 + (' ~ count ~ ' + 1.0) / (' ~ count ~ ' - 1.0)))' -%}
        {%- do features.append(feature(
            name='yang_zhang_volatility_' ~ n ~ 'd', family='range_volatility', window=n, unit='annualised', lookback=n, quantum='1e-12',
            formula='sqrt(252 (var(g, ' ~ n ~ ') + k var(o, ' ~ n ~ ') + (1 - k) mean(h (h - o) + d (d - o), ' ~ n
                ~ '))), k = 0.34 / (1.34 + (c + 1) / (c - 1)), c = sessions counted',
            sources=sources ~ ', dividend_amount, split_coefficient',
            sql='case when ' ~ has_ranges(n) ~ ' then sqrt(252 * (' ~ fixed_variance(count, 'night_sum_' ~ n, 'night_squares_' ~ n)
                ~ ' + ' ~ weight ~ ' * ' ~ fixed_variance(count, 'body_sum_' ~ n, 'body_squares_' ~ n)
                ~ ' + (1 - ' ~ weight ~ ') * cast(rogers_satchell_' ~ n ~ ' as double) / ' ~ count ~ ')) / 1e12 end'
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}

{# History enough, and four fifths of the window's sessions counted. #}
{% macro has_ranges(n) -%}
    {{ has_history(n) }} and range_count_{{ n }} >= {{ four_fifths(n) }}
{%- endmacro %}

{# The fewest values that a window of n sessions may be made of. #}
{% macro four_fifths(n) -%}
    {{ return((n * 4 + 4) // 5) }}
{%- endmacro %}
