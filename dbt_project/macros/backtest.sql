{# Whole shares, towards zero; a millionth short of a share is one, for division leaves such. As trademl.backtest.engine. #}
{% macro whole_shares(expression) -%}
    (sign({{ expression }}) * floor(abs({{ expression }}) + 1e-6))
{%- endmacro %}

{# Money in whole numbers of 1e-8 USD, so that sums are exact: one amount may be 92 thousand million USD. #}
{% macro sum_of_money(expression) -%}
    sum(cast(round(({{ expression }}) * 1e8) as bigint))
{%- endmacro %}

{% macro from_money(expression) -%}
    (cast({{ expression }} as double) / 1e8)
{%- endmacro %}
