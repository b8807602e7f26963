{# Dollars as whole millionths: sums of them are exact. #}
{% macro usd_fixed(expression) -%}
    cast(round(({{ expression }}) * 1e6) as bigint)
{%- endmacro %}

{% macro usd(expression) -%}
    (cast({{ expression }} as double) / 1e6)
{%- endmacro %}

{#
    Several counts of at least 0 in one BIGINT, so that one window adds them all up: a window costs a pass. `parts` are pairs of name and bits, those
    of the sum, 62 at most in all; `measures` maps names to SQL where it is not the name.
#}
{% macro packed(parts, measures={}) -%}
    {%- set offset = namespace(bits=0) -%}
    {%- for name, bits in parts -%}
    cast({{ measures.get(name, name) }} as bigint){{ ' * ' ~ 2 ** offset.bits if offset.bits }}{{ '\n+ ' if not loop.last }}
        {%- set offset.bits = offset.bits + bits -%}
    {%- endfor -%}
{%- endmacro %}

{# One of the packed counts of a sum. #}
{% macro unpacked(sum, parts, wanted) -%}
    {%- set offset = namespace(bits=0, found='') -%}
    {%- for name, bits in parts -%}
        {%- if name == wanted -%}
            {%- set offset.found = 'cast(' ~ sum ~ ' as bigint)' ~ (' // ' ~ 2 ** offset.bits if offset.bits else '') ~ ' % ' ~ 2 ** bits -%}
        {%- endif -%}
        {%- set offset.bits = offset.bits + bits -%}
    {%- endfor -%}
    {{ return(offset.found) }}
{%- endmacro %}

{# A feature's value on the grid of its digits; `greatest` and `least` would overlook a NULL. #}
{% macro trader_value(expression, digits, limit=none) -%}
    {%- set value = expression if limit is none
        else 'case when ' ~ expression ~ ' > ' ~ limit ~ ' then ' ~ limit ~ ' when ' ~ expression ~ ' < -' ~ limit ~ ' then -' ~ limit ~ ' else ' ~ expression ~ ' end' -%}
    round({{ value }}, {{ digits }}) + 0e0
{%- endmacro %}
