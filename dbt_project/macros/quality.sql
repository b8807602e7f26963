{# Total log return from the last close: a dividend is paid on the shares after the split. #}
{% macro log_total_return(price, previous_close) -%}
    ln(({{ price }} + dividend_amount) * split_coefficient / nullif({{ previous_close }}, 0))
{%- endmacro %}

{#
    A split that the prices do not show, or a price that moved as a split would with none recorded: the return over that session is not a
    return. Known on the session itself: nothing later is looked at.
#}
{% macro is_split_mismatch(previous_close) -%}
    coalesce(
        (
            split_coefficient <> 1
            and abs({{ log_total_return('close', previous_close) }}) > {{ var('split_mismatch_threshold') }}
        )
        or (
            split_coefficient = 1
            and abs({{ log_total_return('close', previous_close) }}) > {{ var('jump_threshold') }}
            and (
                {%- for ratio in [1.5, 2, 3, 4, 5, 7, 10] %}
                {{ 'or ' if not loop.first }}abs(ln({{ previous_close }} / nullif(open, 0)) - ln({{ ratio }})) < 0.02
                or abs(ln(open / nullif({{ previous_close }}, 0)) - ln({{ ratio }})) < 0.02
                {%- endfor %}
            )
        ),
        false
    )
{%- endmacro %}
