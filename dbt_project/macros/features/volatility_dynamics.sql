{# How volatility itself moves: short against long, and the sample standard deviation of the log of a 5-session Parkinson volatility. #}
{% macro volatility_dynamics_features(pairs, n) -%}
    {%- set features = [] -%}
    {%- for short, long in pairs -%}
        {%- do features.append(feature(
            name='volatility_ratio_' ~ short ~ 'd_' ~ long ~ 'd', family='volatility_dynamics', window=long, unit='ratio', lookback=long,
            quantum='1e-12',
            formula='sd(r, ' ~ short ~ ') / sd(r, ' ~ long ~ ')', sources='close, dividend_amount, split_coefficient',
            sql='case when ' ~ has_history(long) ~ ' then sqrt('
                ~ fixed_variance(short, '(log_index - log_index_' ~ short ~ ')::hugeint', 'return_squares_' ~ short) ~ ' / nullif('
                ~ fixed_variance(long, '(log_index - log_index_' ~ long ~ ')::hugeint', 'return_squares_' ~ long) ~ ', 0)) end'
        )) -%}
    {%- endfor -%}
    {%- do features.append(feature(
        name='volatility_of_volatility_' ~ n ~ 'd', family='volatility_dynamics', window=n, unit='log volatility', lookback=n + 4, quantum='1e-12',
        formula='sd(ln(mean((h - d)^2, 5)) / 2, ' ~ n ~ ')', sources='open, high, low, close',
        sql='case when ' ~ has_history(n + 4) ~ ' and volatility_count_' ~ n ~ ' >= ' ~ four_fifths(n) ~ ' then sqrt('
            ~ fixed_variance('volatility_count_' ~ n, 'volatility_sum_' ~ n, 'volatility_squares_' ~ n) ~ ') / 1e12 end'
    )) -%}
    {{ return(features) }}
{%- endmacro %}
