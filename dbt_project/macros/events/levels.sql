{#
    Prices of the events are counted in millionths of a dollar: integers, whose sums are exact in any order (macros/fixed_point.sql).
#}
{% macro price_units(expression) -%}
    cast(round(({{ expression }}) * 1e6) as bigint)
{%- endmacro %}

{# A sum over a window of such integers, as a double that holds it exactly: see running_total. #}
{% macro exact_sum(expression, window) -%}
    sum(cast({{ expression }} as double)) over {{ window }}
{%- endmacro %}

{#
    The levels that there is one of at a time: the kind, and the column of silver.event_bars that has its price when the bar begins. Round
    numbers and strikes are many; each price is a level of its own.
#}
{% macro event_single_levels() -%}
    {{ return([
        ['PMH', 'pmh'], ['PML', 'pml'], ['ORH', 'orh'], ['ORL', 'orl'], ['PDH', 'pdh'], ['PDL', 'pdl'], ['PDC', 'pdc'],
        ['SMA_200', 'sma_200_before'], ['SMA_400', 'sma_400_before']
    ]) }}
{%- endmacro %}

{% macro event_level_kinds() -%}
    {{ return(['PMH', 'PML', 'ORH', 'ORL', 'PDH', 'PDL', 'PDC', 'SMA_200', 'SMA_400', 'ROUND', 'STRIKE']) }}
{%- endmacro %}

{# The distance between round numbers at a price, in millionths of a dollar. #}
{% macro round_step(price) -%}
    case
        {%- for step in var('events_round_steps') %}
        {%- if step[0] is not none %}
        when {{ price }} < {{ (step[0] * 1000000) | int }} then {{ (step[1] * 1000000) | int }}
        {%- else %}
        else {{ (step[1] * 1000000) | int }}
        {%- endif %}
        {%- endfor %}
    end
{%- endmacro %}

{#
    Every level within `reach` (SQL) of `price` at each row of `bars`, a relation with the columns of silver.event_bars: one row per bar and
    level, with level_kind_name, level_key (what makes it the same level an hour later) and level_units.
#}
{% macro event_levels_near(bars, price, reach) -%}
    {%- for kind, column in event_single_levels() %}
    select
        bars.*,
        '{{ kind }}' as level_kind_name,
        '{{ kind }}' as level_key,
        bars.{{ column }} as level_units
    from {{ bars }} as bars
    where abs(bars.{{ column }} - {{ price }}) <= {{ reach }}
    union all
    {%- endfor %}
    {%- for side in [0, 1] %}
    select
        bars.*,
        'ROUND' as level_kind_name,
        'ROUND ' || (bars.previous_close // bars.round_step + {{ side }}) * bars.round_step as level_key,
        (bars.previous_close // bars.round_step + {{ side }}) * bars.round_step as level_units
    from {{ bars }} as bars
    where abs((bars.previous_close // bars.round_step + {{ side }}) * bars.round_step - {{ price }}) <= {{ reach }}
    union all
    {%- endfor %}
    select
        bars.*,
        'STRIKE' as level_kind_name,
        'STRIKE ' || {{ price_units('strikes.level_price') }} as level_key,
        {{ price_units('strikes.level_price') }} as level_units
    from {{ bars }} as bars
    inner join {{ ref('slv_event_strikes') }} as strikes on bars.symbol = strikes.symbol and bars.date = strikes.date
    where abs({{ price_units('strikes.level_price') }} - {{ price }}) <= {{ reach }}
{%- endmacro %}
