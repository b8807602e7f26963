{# The same touch has the same name in every build: a hash of what it is, never of where it stands in a table. #}
{% macro event_id() -%}
    left(
        md5(
            symbol || '|' || bar_minutes || '|' || level_key || '|' || level_units || '|' || direction_sign || '|' || epoch_us(ends_at)
        ),
        20
    )
{%- endmacro %}
