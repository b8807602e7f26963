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

{# Shares after a list of splits, one by one: 101 shares through 3:2 twice are 151 and then 226 whole ones. #}
{% macro shares_after_splits(shares, splits, whole) -%}
    list_reduce(list_prepend({{ shares }}, {{ splits }}), lambda held, ratio: case when {{ whole }} then {{ whole_shares('held * ratio') }} else held * ratio end)
{%- endmacro %}
