{#
    Winsorising: values beyond a lower and an upper cap are set to the cap. Caps come from the date's own cross-section, as its quantiles or
    around its median, or from past dates (past.sql); all are columns low_x and high_x of a CTE with one row per date.

        caps as (select date, {{ cs_quantile_caps('x', 0.01, 0.99) }} from universe group by date)
        ... select {{ cs_winsorize('universe.x', 'caps') }} from universe inner join caps on universe.date = caps.date

    Quantiles are those of numpy and pandas (linear between order statistics; type 7 of Hyndman and Fan 1996), over the values that are not
    NULL. They depend on the set of values alone, so they are the same bits in any order. Values must be finite.
#}

{# Inside a GROUP BY. The sum with zero makes -0 the zero that it equals: which of the two is found depends on the order of the rows. #}
{% macro cs_quantile(column, probability) -%}
    {%- if probability is not number or probability < 0 or probability > 1 -%}
        {%- do cs_refuse('cs_quantile', 'the probability', probability, 'a number from 0 to 1', 'give 0.05, not 5, for 5 %') -%}
    {%- endif -%}
    (percentile_cont({{ cs_double(probability) }}) within group (order by cast({{ column }} as double)) + 0e0)
{%- endmacro %}

{# Columns low_x and high_x, inside a GROUP BY date. #}
{% macro cs_quantile_caps(column, lower=0.01, upper=0.99) -%}
    {%- set name = column.split('.')[-1] -%}
    {%- if lower is not number or upper is not number or lower >= upper -%}
        {%- set received = lower ~ ', ' ~ upper -%}
        {%- do cs_refuse('cs_quantile_caps', 'lower, upper', received, 'two numbers, the lower one first', 'give 0.01 and 0.99, for example') -%}
    {%- endif -%}
    {{ cs_quantile(column, lower) }} as low_{{ name }},
    {{ cs_quantile(column, upper) }} as high_{{ name }}
{%- endmacro %}

{#
    Caps at median +- k * 1.4826 * MAD, in three steps: medians (column mid_x, inside a GROUP BY date), median absolute deviations from them
    (column mad_x, inside a GROUP BY of rows joined to the medians), caps. The factor makes the MAD of a normal distribution its standard
    deviation. Where more than half of the values are equal the MAD is 0, which is no scale, and nothing is clipped.
#}
{% macro cs_median(column) -%}
    {{ cs_quantile(column, 0.5) }} as mid_{{ column.split('.')[-1] }}
{%- endmacro %}

{% macro cs_mad(column, medians) -%}
    {%- set name = column.split('.')[-1] -%}
    {{ cs_quantile('abs(' ~ column ~ ' - ' ~ medians ~ '.mid_' ~ name ~ ')', 0.5) }} as mad_{{ name }}
{%- endmacro %}

{# Columns low_x and high_x from the columns mid_x and mad_x of `deviations`. #}
{% macro cs_mad_caps(column, deviations, k=5) -%}
    {%- set name = column.split('.')[-1] -%}
    {%- if k is not number or k <= 0 -%}
        {%- do cs_refuse('cs_mad_caps', 'k', k, 'a number above 0', 'give the number of standard deviations that a value may lie from the median') -%}
    {%- endif -%}
    {%- set reach = cs_double(k) ~ ' * 1.4826e0 * ' ~ deviations ~ '.mad_' ~ name -%}
    case
        when {{ deviations }}.mad_{{ name }} > 0 then {{ deviations }}.mid_{{ name }} - {{ reach }}
        else {{ cs_largest_number(-1) }}
    end as low_{{ name }},
    case
        when {{ deviations }}.mad_{{ name }} > 0 then {{ deviations }}.mid_{{ name }} + {{ reach }}
        else {{ cs_largest_number() }}
    end as high_{{ name }}
{%- endmacro %}

{# The value within its caps; NULL where the value or a cap is. `least` and `greatest` would overlook a NULL. #}
{% macro cs_clip(column, low, high) -%}
    case
        when {{ cs_any_null([low, high]) }} then null
        when {{ column }} < {{ low }} then {{ low }}
        when {{ column }} > {{ high }} then {{ high }}
        else {{ column }}
    end
{%- endmacro %}

{# `caps` names the CTE with the columns low_x and high_x. #}
{% macro cs_winsorize(column, caps) -%}
    {%- set name = column.split('.')[-1] -%}
    {{ cs_clip(column, caps ~ '.low_' ~ name, caps ~ '.high_' ~ name) }}
{%- endmacro %}

{# Finite, in words that all engines share: none has the same function for it, and NaN counts as larger than every number. #}
{% macro cs_is_finite(column) -%}
    abs({{ column }}) <= {{ cs_largest_number() }}
{%- endmacro %}

{% macro cs_largest_number(sign=1) -%}
    {{ '-' if sign < 0 }}1.7976931348623157e308
{%- endmacro %}

{% macro cs_any_null(columns) -%}
    {{ columns | join(' is null or ') }} is null
{%- endmacro %}

{# A number as a DOUBLE literal, correctly rounded: without an exponent it would be a DECIMAL, and rounded twice. #}
{% macro cs_double(number) -%}
    {{ return(number if 'e' in number | string else number ~ 'e0') }}
{%- endmacro %}

{# A wrong argument stops the parse, with what was asked, what was given and what to do. #}
{% macro cs_refuse(operator, what, received, limit, remedy) -%}
    {{ exceptions.raise_compiler_error(operator ~ ': ' ~ what ~ ' is ' ~ received ~ '; it must be ' ~ limit ~ '. Remedy: ' ~ remedy) }}
{%- endmacro %}
