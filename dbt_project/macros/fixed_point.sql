{#
    Exact sums.

    A floating-point sum depends on its order, so on the thread count and on where history starts. Sums behind gold features are therefore
    sums of integers: a logarithm is stored as a BIGINT count of 1e-12, and squares and products as HUGEINT.
#}
{% macro to_fixed(expression) -%}
    cast(round(({{ expression }}) * 1e12) as bigint)
{%- endmacro %}

{% macro from_fixed(expression) -%}
    (cast({{ expression }} as double) / 1e12)
{%- endmacro %}

{#
    A running sum of integers. DuckDB sums a window of BIGINT as HUGEINT, three times slower than DOUBLE; sums of doubles are exact, so in any
    order the same, while they stay below 2^53 = 9.0e15: a log index of 9,007 in units of 1e-12.
#}
{% macro running_total(expression, window) -%}
    cast(sum(cast({{ expression }} as double)) over {{ window }} as bigint)
{%- endmacro %}

{# n * sum(x^2) - (sum x)^2, exact, then scaled to a sample variance in squared units of 1e-12. #}
{% macro fixed_variance(n, total, total_of_squares) -%}
    (cast({{ n }} * {{ total_of_squares }} - {{ total }} * {{ total }} as double) / nullif({{ n }} * ({{ n }} - 1), 0))
{%- endmacro %}
