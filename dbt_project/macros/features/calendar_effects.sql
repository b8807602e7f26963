{#
    Where the session stands among the sessions that the exchange had planned by its decision; the same for every symbol of a date, so without twins.

    is_turn_of_month    the last session of a month and the first three (Ariel 1987; Lakonishok and Smidt 1988)
    is_before_holiday   a weekday without a session lies between this session and the next planned one (Ariel 1990)
    sessions_to_expiry  to the expiry of monthly options: the third Friday, or the last session before it where that is a holiday
#}
{% macro calendar_effect_features() -%}
    {{ return([
        feature(
            name='month_sin', family='calendar_effects', window=1, unit='none', lookback=0,
            formula='sin(2 pi (month - 1) / 12)', sources='date', sql='sin(2 * pi() * (month(date) - 1) / 12)'
        ),
        feature(
            name='month_cos', family='calendar_effects', window=1, unit='none', lookback=0,
            formula='cos(2 pi (month - 1) / 12)', sources='date', sql='cos(2 * pi() * (month(date) - 1) / 12)'
        ),
        feature(
            name='session_of_month', family='calendar_effects', window=1, unit='sessions', lookback=0,
            formula='number of the session in its month, from 1', sources='date', sql='month_session'
        ),
        feature(
            name='sessions_to_month_end', family='calendar_effects', window=1, unit='sessions', lookback=0,
            formula='planned sessions left in the month, 0 on the last', sources='date', sql='left_in_month'
        ),
        feature(
            name='is_turn_of_month', family='calendar_effects', window=1, unit='none', lookback=0,
            formula='1 on the last planned and the first three sessions of a month, else 0', sources='date',
            sql='cast(left_in_month = 0 or month_session <= 3 as integer)'
        ),
        feature(
            name='is_before_holiday', family='calendar_effects', window=1, unit='none', lookback=0,
            formula='1 where a weekday lies between the session and the next planned one, else 0', sources='date',
            sql='cast(is_before_closure as integer)'
        ),
        feature(
            name='is_after_holiday', family='calendar_effects', window=1, unit='none', lookback=0,
            formula='1 where a weekday lies between the previous session and this one, else 0', sources='date',
            sql='cast(is_after_closure as integer)'
        ),
        feature(
            name='sessions_to_expiry', family='calendar_effects', window=1, unit='sessions', lookback=0,
            formula='planned sessions up to the next third Friday, 0 on the expiry itself', sources='date', sql='left_to_expiry'
        ),
        feature(
            name='sessions_to_quarter_end', family='calendar_effects', window=1, unit='sessions', lookback=0,
            formula='planned sessions left in the quarter, 0 on the last', sources='date', sql='left_in_quarter'
        )
    ]) }}
{%- endmacro %}

{# The first weekday, Monday to Friday, after a date. #}
{% macro next_weekday(date) -%}
    cast({{ date }} + case isodow({{ date }}) when 5 then 3 when 6 then 2 else 1 end * interval 1 day as date)
{%- endmacro %}
