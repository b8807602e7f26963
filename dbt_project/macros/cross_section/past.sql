{#
    Caps and bin edges fitted on past dates only. From a CTE with one row per date and the date's own quantiles, each cap is the median of the
    last `sessions` dates before the row's: nothing of the date itself, so a jump of today's cross-section cannot move its own caps. A date counts
    when it has a value; with fewer than `at_least` of them (default: all) caps and edges are NULL.

        daily as (select date, {{ cs_daily_caps('x', 0.01, 0.99) }}, {{ cs_daily_edges('x', 5) }} from universe group by date),
        fitted as (select date, {{ cs_past_caps('x', 60) }}, {{ cs_past_edges('x', 5, 60) }} from daily)
        ... select
            {{ cs_winsorize('universe.x', 'fitted') }} as x_clipped,
            {{ cs_bin('universe.x', cs_edge_columns('x', 5, 'fitted')) }} as x_bin
        from universe inner join fitted on universe.date = fitted.date

    `daily` must reach `sessions` dates further back than the first date that is kept: count them into the lookback.
#}

{# Columns day_low_x and day_high_x, inside a GROUP BY date. #}
{% macro cs_daily_caps(column, lower=0.01, upper=0.99) -%}
    {%- if lower is not number or upper is not number or lower >= upper -%}
        {%- set received = lower ~ ', ' ~ upper -%}
        {%- do cs_refuse('cs_daily_caps', 'lower, upper', received, 'two numbers, the lower one first', 'give 0.01 and 0.99, for example') -%}
    {%- endif -%}
    {{ cs_quantile(column, lower) }} as day_low_{{ column }},
    {{ cs_quantile(column, upper) }} as day_high_{{ column }}
{%- endmacro %}

{# Columns low_x and high_x of each row's date. #}
{% macro cs_past_caps(column, sessions, at_least=none) -%}
    {{ cs_past_median('day_low_' ~ column, sessions, at_least) }} as low_{{ column }},
    {{ cs_past_median('day_high_' ~ column, sessions, at_least) }} as high_{{ column }}
{%- endmacro %}

{# Columns day_edge_1_x and so on, bins - 1 of them at equal shares of the date's values, inside a GROUP BY date. #}
{% macro cs_daily_edges(column, bins) -%}
    {%- if bins is not integer or bins < 2 -%}
        {%- do cs_refuse('cs_daily_edges', 'bins', bins, 'a whole number, at least 2', 'one bin needs no edges') -%}
    {%- endif -%}
    {%- for edge in range(1, bins) -%}
    {{ cs_quantile(column, edge / bins) }} as day_edge_{{ edge }}_{{ column }}{{ ',\n' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# Columns edge_1_x and so on of each row's date; ascending, as medians of ascending quantiles are. #}
{% macro cs_past_edges(column, bins, sessions, at_least=none) -%}
    {%- for edge in range(1, bins) -%}
    {{ cs_past_median('day_edge_' ~ edge ~ '_' ~ column, sessions, at_least) }} as edge_{{ edge }}_{{ column }}{{ ',\n' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# Names of the edges, for cs_bin. #}
{% macro cs_edge_columns(column, bins, fitted) -%}
    {%- set names = [] -%}
    {%- for edge in range(1, bins) -%}{%- do names.append(fitted ~ '.edge_' ~ edge ~ '_' ~ column) -%}{%- endfor -%}
    {{ return(names) }}
{%- endmacro %}

{# 1 plus the number of edges below the value: a value on an edge is in the lower bin, as in pandas.cut. NULL where the value or an edge is. #}
{% macro cs_bin(column, edges) -%}
    {%- if not edges -%}
        {%- do cs_refuse('cs_bin', 'edges', 'empty', 'at least one edge', 'name the columns with the edges, ascending') -%}
    {%- endif -%}
    case
        when {{ cs_any_null([column] + edges) }} then null
        else 1{% for edge in edges %} + case when {{ column }} > {{ edge }} then 1 else 0 end{% endfor %}
    end
{%- endmacro %}

{# The median over the rows before this one, one row a date. #}
{% macro cs_past_median(column, sessions, at_least=none) -%}
    {%- if sessions is not integer or sessions < 1 -%}
        {%- set remedy = 'give the sessions before the date; a negative number would read the future' -%}
        {%- do cs_refuse('cs_past_median', 'sessions', sessions, 'a whole number, at least 1', remedy) -%}
    {%- endif -%}
    {%- set needed = sessions if at_least is none else at_least -%}
    {%- if needed is not integer or needed < 1 or needed > sessions -%}
        {%- do cs_refuse('cs_past_median', 'at_least', needed, 'a whole number from 1 to sessions, ' ~ sessions, 'leave it out to ask for all of them') -%}
    {%- endif -%}
    {%- set window = '(order by date rows between ' ~ sessions ~ ' preceding and 1 preceding)' -%}
    case
        when count({{ column }}) over {{ window }} >= {{ needed }}
            then {{ quantile_over(column, 0.5, window) }}
    end
{%- endmacro %}

{#
    Caps for infinite values: the `probability` quantile of all finite values of all dates up to and including the row's, at least `floor`. Column
    high_x, one row per date. The window is evaluated for each row of `relation`, which is meant for sleeves with few rows (5 s a million).
#}
{% macro cs_expanding_caps(relation, column, probability=0.95, floor=10) -%}
    {%- set finite = 'case when ' ~ cs_is_finite(column) ~ ' then cast(' ~ column ~ ' as double) end' -%}
    {%- set window = '(order by date range between unbounded preceding and current row)' -%}
    select distinct
        date,
        greatest(coalesce({{ quantile_over(finite, probability, window) }}, {{ cs_double(floor) }}), {{ cs_double(floor) }}) as high_{{ column }}
    from {{ relation }}
{%- endmacro %}

{# The cap in place of what is not finite, NaN included; NULL stays NULL. #}
{% macro cs_cap_infinite(column, caps) -%}
    case
        when {{ cs_is_finite(column) }} then {{ column }}
        when {{ column }} is not null then {{ caps }}.high_{{ column.split('.')[-1] }}
    end
{%- endmacro %}

{# A quantile as a window function, for which SQL has no standard name: this is the one place that writes it. Spark calls it `percentile`. #}
{% macro quantile_over(expression, probability, window) -%}
    (quantile_cont({{ expression }}, {{ cs_double(probability) }}) over {{ window }} + 0e0)
{%- endmacro %}
