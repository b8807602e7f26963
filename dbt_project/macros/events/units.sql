{# Shares in thousandths: whole numbers, whose sums are exact in any order. #}
{% macro share_units(expression) -%}
    cast(round(({{ expression }}) * 1e3) as bigint)
{%- endmacro %}
