{# Total return over the last n sessions: exp(log index now - log index n sessions ago) - 1. #}
{% macro momentum_features(windows) -%}
    {%- set features = [] -%}
    {%- for n in windows -%}
        {%- do features.append(feature(
            name='momentum_' ~ n ~ 'd', family='momentum', window=n, unit='return', lookback=n, quantum='1e-12',
            formula='exp(L[t] - L[t-' ~ n ~ ']) - 1', sources='close, dividend_amount, split_coefficient',
            sql='case when ' ~ has_history(n) ~ ' then exp(' ~ from_fixed('log_index - log_index_' ~ n) ~ ') - 1 end'
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}

{# NULL rule of every rolling feature: n sessions of history before this one, and a bar on 16 of the last 20. #}
{% macro has_history(n) -%}
    age > {{ n }} and present_20 >= {{ [16, (n * 4 + 4) // 5] | min }}
{%- endmacro %}
