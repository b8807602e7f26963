{# Log distance of the price from bands two sample standard deviations above and below its rolling log mean. #}
{% macro band_features(n) -%}
    {%- set mean = '(cast(' ~ n ~ ' * cast(log_index as hugeint) - index_sum_' ~ n ~ ' as double) / ' ~ n ~ ')' -%}
    {%- set deviation = 'sqrt(' ~ fixed_variance(n, 'index_sum_' ~ n, 'index_squares_' ~ n) ~ ')' -%}
    {{ return([
        feature(
            name='distance_upper_band_' ~ n ~ 'd', family='bands', window=n, unit='log return', lookback=n - 1, quantum='1e-12',
            formula='L[t] - (mean(L, ' ~ n ~ ') + 2 sd(L, ' ~ n ~ '))', sources='close, dividend_amount, split_coefficient',
            sql='case when ' ~ has_history(n - 1) ~ ' then (' ~ mean ~ ' - 2 * ' ~ deviation ~ ') / 1e12 end'
        ),
        feature(
            name='distance_lower_band_' ~ n ~ 'd', family='bands', window=n, unit='log return', lookback=n - 1, quantum='1e-12',
            formula='L[t] - (mean(L, ' ~ n ~ ') - 2 sd(L, ' ~ n ~ '))', sources='close, dividend_amount, split_coefficient',
            sql='case when ' ~ has_history(n - 1) ~ ' then (' ~ mean ~ ' + 2 * ' ~ deviation ~ ') / 1e12 end'
        )
    ]) }}
{%- endmacro %}
