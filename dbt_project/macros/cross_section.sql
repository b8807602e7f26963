{#
    Cross-sectional operators. The cross-section of a date is the universe members of that date; callers pass rows already restricted to it.

    Moments are exact: values are quantised to the feature's `quantum` and summed as integers, so neither threads nor row order show.
#}
{% macro cs_quantised(expression, quantum) -%}
    cast(round({{ expression }} / {{ quantum }}) as bigint)
{%- endmacro %}

{# Columns n_x, s_x, q_x: count, sum and sum of squares of the quantised values, inside a GROUP BY. #}
{% macro cs_moments(column, quantum) -%}
    count({{ column }}) as n_{{ column }},
    sum({{ cs_quantised(column, quantum) }}) as s_{{ column }},
    sum(cast({{ cs_quantised(column, quantum) }} as hugeint) * {{ cs_quantised(column, quantum) }}) as q_{{ column }}
{%- endmacro %}

{# The same columns over groups of groups: exact, because they are integers. #}
{% macro cs_pooled_moments(column) -%}
    cast(sum(n_{{ column }}) as bigint) as n_{{ column }},
    sum(s_{{ column }}) as s_{{ column }},
    sum(q_{{ column }}) as q_{{ column }}
{%- endmacro %}

{#
    Mean and sample standard deviation from moments; the latter NULL where it is 0 or undefined.

    n * q - s * s is exact while it fits 128 bits: of 5,000 rows, up to 2,600 on a grid of 1e-12. A cross-section of `many` rows may be too large for
    that; then the squares about the whole part m of the mean take its place, n times as small: with s = n * m + r they are q - n * m^2 - 2 * m * r.
#}
{% macro cs_scale(column, quantum, many=false) -%}
    {%- set n, s, q = 'n_' ~ column, 's_' ~ column, 'q_' ~ column -%}
    n_{{ column }},
    cast({{ s }} as double) / nullif({{ n }}, 0) * {{ quantum }} as mean_{{ column }},
    nullif(
        sqrt(
            {%- if many %}
            case
                when cast({{ q }} as double) * {{ n }} < 1e38
                    then cast({{ n }} * {{ q }} - {{ s }} * {{ s }} as double) / nullif({{ n }} * ({{ n }} - 1), 0)
                else (
                    cast({{ q }} - {{ n }} * ({{ s }} // {{ n }}) * ({{ s }} // {{ n }}) - 2 * ({{ s }} // {{ n }}) * ({{ s }} % {{ n }}) as double)
                    - power(cast({{ s }} % {{ n }} as double), 2) / {{ n }}
                ) / ({{ n }} - 1)
            end
            {%- else %}
            cast({{ n }} * {{ q }} - {{ s }} * {{ s }} as double)
            / nullif({{ n }} * ({{ n }} - 1), 0)
            {%- endif %}
        ) * {{ quantum }},
        0
    ) as sd_{{ column }}
{%- endmacro %}

{# `column` may be qualified; its mean and standard deviation are named by its last part. #}
{% macro cs_demean(column, scale) -%}
    ({{ column }} - {{ scale }}.mean_{{ column.split('.')[-1] }})
{%- endmacro %}

{# Sample standard deviation; 0 where that is 0 or undefined; NULL stays NULL. #}
{% macro cs_zscore(column, scale) -%}
    case when {{ column }} is not null then coalesce({{ cs_demean(column, scale) }} / {{ scale }}.sd_{{ column.split('.')[-1] }}, 0) end
{%- endmacro %}

{# Z-score within the group whose scale is given (sector of the date): the neutralised version. #}
{% macro cs_neutralize(column, scale) -%}
    {{ cs_zscore(column, scale) }}
{%- endmacro %}

{#
    pandas `rank(pct=True)`: average rank of ties over the count of non-NULL values. First and last rank of the ties are taken in a narrow CTE
    of their own (`cs_rank_ends`, columns x_first and x_share), because every window carries all columns of its input through a sort.
#}
{% macro cs_rank_ends(column, partition) -%}
    {%- set ordered = 'over (partition by ' ~ partition ~ ' order by ' ~ column ~ ' asc nulls last)' -%}
    rank() {{ ordered }} as {{ column }}_first,
    cume_dist() {{ ordered }} as {{ column }}_share
{%- endmacro %}

{# `ends` names the CTE of cs_rank_ends; `scale` has n_rows, the rows of the cross-section, and n_x. cume_dist * n_rows is the last rank. #}
{% macro cs_rank(column, ends, scale) -%}
    {%- set name = column.split('.')[-1] -%}
    case
        when {{ column }} is not null
            then ({{ ends }}.{{ name }}_first + round({{ ends }}.{{ name }}_share * {{ scale }}.n_rows)) / 2 / {{ scale }}.n_{{ name }}
    end
{%- endmacro %}
