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
