{# Loss from the highest close of the window: exp(L[t] - max(L)) - 1, never positive. #}
{% macro drawdown_features(n) -%}
    {{ return([feature(
        name='drawdown_' ~ n ~ 'd', family='drawdown', window=n, unit='return', lookback=n - 1, quantum='1e-12',
        formula='exp(L[t] - max(L, ' ~ n ~ ')) - 1', sources='close, dividend_amount, split_coefficient',
        sql='case when ' ~ has_history(n - 1) ~ ' then exp(' ~ from_fixed('log_index - index_max_' ~ n) ~ ') - 1 end'
    )]) }}
{%- endmacro %}
