{#
    Labels. A label of session t uses prices after t's decision only; `end` is the session on which its value is first known.

    fwd_k enters at the next session's open and leaves at the close k sessions after the decision; ret_1d runs from close to next close. Where
    the exit session has no bar, the label waits for the next one, or ends at the last price once the absence counts as a delisting.
#}
{% macro equities_label_horizons() -%}
    {{ return({'ret_1d': 1, 'fwd_1d': 1, 'fwd_5d': 5, 'fwd_20d': 20}) }}
{%- endmacro %}

{% macro barrier_label() -%}
    {{ return('tb_' ~ (var('barrier_take_profit') | int) ~ '_' ~ (var('barrier_stop') | int) ~ '_' ~ var('barrier_sessions')) }}
{%- endmacro %}

{# First h of 1..n whose bar meets `condition` (a template with {h}), as a CASE over lead columns. #}
{% macro first_touch(n, condition) -%}
    case
        {%- for h in range(1, n + 1) %}
        when {{ condition | replace('{h}', h) }} then {{ h }}
        {%- endfor %}
    end
{%- endmacro %}

{# Log index at the exit: the planned session's or the next bar's, else the last price of a listing that ended. #}
{% macro label_exit(exit_log_index, last_log_index) -%}
    coalesce({{ exit_log_index }}, case when is_cut_short then {{ last_log_index }} end)
{%- endmacro %}

{# Session on which the value is first known; NULL while pending. #}
{% macro label_end(exit_index) -%}
    case
        when not has_entry then session_index + 1
        when {{ exit_index }} is not null then {{ exit_index }}
        when is_cut_short then last_index + {{ var('delisted_after_sessions') }}
    end
{%- endmacro %}

{% macro label_outcome(resolved, exit_index) -%}
    case
        when not has_entry then 'no_entry'
        when {{ exit_index }} is not null then {{ resolved }}
        when is_cut_short then 'delisted'
        else 'pending'
    end
{%- endmacro %}
