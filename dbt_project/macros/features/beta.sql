{# Slope of the symbol's daily log return on the equal-weighted universe return of the same sessions. #}
{% macro beta_features(n) -%}
    {{ return([feature(
        name='beta_' ~ n ~ 'd', family='beta', window=n, unit='ratio', lookback=n, quantum='1e-12',
        formula='cov(r, m, ' ~ n ~ ') / var(m, ' ~ n ~ '), m = mean r over the universe', sources='close, dividend_amount, split_coefficient',
        sql='case when ' ~ has_history(n) ~ ' and market_count_' ~ n ~ ' = ' ~ n ~ ' then cast(' ~ n ~ ' * market_products_' ~ n ~ ' - (log_index - log_index_' ~ n
            ~ ')::hugeint * market_sum_' ~ n ~ ' as double) / nullif(cast(' ~ n ~ ' * market_squares_' ~ n ~ ' - market_sum_' ~ n ~ ' * market_sum_' ~ n
            ~ ' as double), 0) end'
    )]) }}
{%- endmacro %}
