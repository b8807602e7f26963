{# The overnight move: log total return from the last close to this open, and its rolling mean and sample standard deviation. #}
{% macro gap_features(n) -%}
    {{ return([
        feature(
            name='gap_1d', family='gaps', window=1, unit='log return', lookback=1, quantum='1e-12',
            formula='g[t] = ln((open + dividend) * split / previous close)', sources='open, close, dividend_amount, split_coefficient',
            sql=from_fixed('log_gap')
        ),
        feature(
            name='gap_mean_' ~ n ~ 'd', family='gaps', window=n, unit='log return', lookback=n, quantum='1e-12',
            formula='mean(g, ' ~ n ~ ')', sources='open, close, dividend_amount, split_coefficient',
            sql='case when ' ~ has_history(n) ~ ' and gap_count_' ~ n ~ ' >= 16 then ' ~ from_fixed('gap_sum_' ~ n) ~ ' / gap_count_' ~ n ~ ' end'
        ),
        feature(
            name='gap_std_' ~ n ~ 'd', family='gaps', window=n, unit='log return', lookback=n, quantum='1e-12',
            formula='sd(g, ' ~ n ~ ')', sources='open, close, dividend_amount, split_coefficient',
            sql='case when ' ~ has_history(n) ~ ' and gap_count_' ~ n ~ ' >= 16 then sqrt('
                ~ fixed_variance('gap_count_' ~ n, 'gap_sum_' ~ n, 'gap_squares_' ~ n) ~ ') / 1e12 end'
        )
    ]) }}
{%- endmacro %}
