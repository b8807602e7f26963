{# The weekday on a circle of five: Monday 0 to Friday 4. The same for every symbol of a date, so it has no cross-sectional twins. #}
{% macro calendar_features() -%}
    {{ return([
        feature(
            name='day_of_week_sin', family='calendar', window=1, unit='none', lookback=0, quantum=none,
            formula='sin(2 pi (isodow - 1) / 5)', sources='date',
            sql='sin(2 * pi() * (isodow(date) - 1) / 5)'
        ),
        feature(
            name='day_of_week_cos', family='calendar', window=1, unit='none', lookback=0, quantum=none,
            formula='cos(2 pi (isodow - 1) / 5)', sources='date',
            sql='cos(2 * pi() * (isodow(date) - 1) / 5)'
        )
    ]) }}
{%- endmacro %}
