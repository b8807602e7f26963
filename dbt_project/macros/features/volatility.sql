{# Sample standard deviation of daily log total returns, annualised by sqrt(252). An absent session carries its price: return 0. #}
{% macro realised_volatility_features(windows) -%}
    {%- set features = [] -%}
    {%- for n in windows -%}
        {%- do features.append(feature(
            name='realised_volatility_' ~ n ~ 'd', family='volatility', window=n, unit='annualised', lookback=n, quantum='1e-12',
            formula='sqrt(252) sd(r, ' ~ n ~ ')', sources='close, dividend_amount, split_coefficient',
            sql='case when ' ~ has_history(n) ~ ' then sqrt(252 * '
                ~ fixed_variance(n, '(log_index - log_index_' ~ n ~ ')::hugeint', 'return_squares_' ~ n) ~ ') / 1e12 end'
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}
