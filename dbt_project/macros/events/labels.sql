{#
    Labels of an event: what price did after t1, from the level, in units of the ATR that the touch was measured with; positive is beyond the
    level, in the direction of approach. A threshold counts as reached when the bar that reached it ends.

    A window has a label when the bars can resolve it (it is a whole number of them), it ends by the session's close, and bars of the symbol
    go on to its end.
#}
{% macro event_outcome_seconds() -%}
    {{ return((var('events_outcome_bars') | int) * (var('events_bar_minutes') | int) * 60) }}
{%- endmacro %}

{# Windows of outcomes: suffix and seconds. #}
{% macro event_windows() -%}
    {%- set windows = [['', event_outcome_seconds()]] -%}
    {%- for minutes in var('events_windows') -%}{%- do windows.append(['_' ~ minutes ~ 'min', minutes * 60]) -%}{%- endfor -%}
    {{ return(windows) }}
{%- endmacro %}

{% macro event_longest_window() -%}
    {%- set found = [event_outcome_seconds()] -%}
    {%- for minutes in var('events_windows') -%}{%- do found.append(minutes * 60) -%}{%- endfor -%}
    {%- for seconds in var('events_horizons') -%}{%- do found.append(seconds) -%}{%- endfor -%}
    {{ return(found | max) }}
{%- endmacro %}

{# Whether the label of a window of `seconds` can be known. #}
{% macro event_resolvable(seconds) -%}
    {%- if seconds % ((var('events_bar_minutes') | int) * 60) -%}
    false
    {%- else -%}
    {{ seconds }} <= seconds_of_bars
    {%- endif -%}
{%- endmacro %}

{# 1 or 0 where a time was reached within `seconds`; NULL where nobody can know. #}
{% macro event_reached(reached, seconds) -%}
    case when {{ event_resolvable(seconds) }} then cast(coalesce({{ reached }} <= {{ seconds }}, false) as integer) end
{%- endmacro %}

{% macro event_outcome(seconds) -%}
    case
        when not {{ event_resolvable(seconds) }} then null
        when coalesce(break_2 <= {{ seconds }}, false) and coalesce(break_2 < bounce_2, true) then 'BREAK'
        when coalesce(bounce_2 <= {{ seconds }}, false) and coalesce(bounce_2 < break_2, true) then 'BOUNCE'
        else 'OTHER'
    end
{%- endmacro %}

{# The heads of gold.events_training: name and SQL over gold.events_labels. #}
{% macro event_heads() -%}
    {%- set heads = [] -%}
    {%- for suffix, _ in event_windows() -%}
        {%- do heads.append(['tradeable_2' ~ suffix, 'tradeable_2' ~ suffix]) -%}
        {%- do heads.append([
            'direction' ~ suffix,
            "case when outcome" ~ suffix ~ " = 'BREAK' then 1 when outcome" ~ suffix ~ " = 'BOUNCE' then 0 end"
        ]) -%}
        {%- do heads.append(['strength' ~ suffix, 'strength_signed' ~ suffix]) -%}
    {%- endfor -%}
    {%- for seconds in var('events_horizons') -%}
        {%- for name in ['t1', 't2', 't1_break', 't1_bounce', 't2_break', 't2_bounce'] -%}
            {%- do heads.append([name ~ '_' ~ seconds ~ 's', name ~ '_' ~ seconds]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(heads) }}
{%- endmacro %}
