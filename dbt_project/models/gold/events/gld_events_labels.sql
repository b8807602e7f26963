{{ config(materialized='table') }}

with touches as (
    select * from {{ ref('slv_event_touches') }}
),

-- Bars of a feed that has ended say nothing; those that are only missing mean that nothing was traded.
fed as (
    select
        symbol,
        date,
        max(ends_at) as last_at
    from {{ ref('slv_event_bars') }}
    group by symbol, date
),

followed as (
    select
        touches.event_id,
        touches.t1,
        epoch(bars.ends_at) - epoch(touches.t1) as seconds,
        case touches.direction_sign
            when 1 then bars.high - touches.level_units
            else touches.level_units - bars.low
        end / (touches.atr * 1e6) as beyond,
        case touches.direction_sign
            when 1 then touches.level_units - bars.low
            else bars.high - touches.level_units
        end / (touches.atr * 1e6) as back
    from touches
    inner join {{ ref('slv_event_bars') }} as bars
        on
            touches.symbol = bars.symbol
            and touches.date = bars.date
            and bars.ts >= touches.t1
            and bars.ends_at <= touches.t1 + interval '{{ event_longest_window() }} seconds'
),

reached as (
    select
        event_id,
        {%- for number in [1, 2] %}
        min(seconds) filter (where beyond >= {{ var('events_threshold_' ~ number) }}) as break_{{ number }},
        min(seconds) filter (where back >= {{ var('events_threshold_' ~ number) }}) as bounce_{{ number }},
        {%- endfor %}
        {%- for suffix, seconds in event_windows() %}
        max(beyond) filter (where seconds <= {{ seconds }}) as beyond{{ suffix }},
        max(back) filter (where seconds <= {{ seconds }}) as back{{ suffix }}{{ ',' if not loop.last }}
        {%- endfor %}
    from followed
    group by event_id
),

windowed as (
    select
        touches.event_id,
        touches.symbol,
        touches.ts_ns,
        touches.date,
        touches.t1,
        epoch(least(fed.last_at, sessions.close_at)) - epoch(touches.t1) as seconds_of_bars,
        reached.* exclude (event_id),
        least(reached.break_1, reached.bounce_1) as either_1,
        least(reached.break_2, reached.bounce_2) as either_2
    from touches
    inner join fed on touches.symbol = fed.symbol and touches.date = fed.date
    inner join {{ ref('slv_calendar') }} as sessions on touches.date = sessions.date
    left join reached on touches.event_id = reached.event_id
),

labels as (
    select
        event_id,
        symbol,
        {%- for suffix, seconds in event_windows() %}
        {{ event_outcome(seconds) }} as outcome{{ suffix }},
        {%- endfor %}
        {%- for suffix, seconds in event_windows() %}
        case
            when {{ event_resolvable(seconds) }}
                then
                    case
                        when coalesce(beyond{{ suffix }}, 0) >= coalesce(back{{ suffix }}, 0)
                            then coalesce(beyond{{ suffix }}, 0)
                        else -back{{ suffix }}
                    end
        end as strength_signed{{ suffix }},
        {%- endfor %}
        {%- for suffix, seconds in event_windows() %}
        {{ event_reached('either_1', seconds) }} as tradeable_1{{ suffix }},
        {{ event_reached('either_2', seconds) }} as tradeable_2{{ suffix }},
        {%- endfor %}
        {%- set seconds = event_outcome_seconds() %}
        {%- for name, column in [
            ['threshold_1', 'either_1'], ['threshold_2', 'either_2'], ['break_1', 'break_1'], ['bounce_1', 'bounce_1'],
            ['break_2', 'break_2'], ['bounce_2', 'bounce_2']
        ] %}
        case
            when {{ event_resolvable(seconds) }} and {{ column }} <= {{ seconds }} then {{ column }}
        end as time_to_{{ name }},
        {%- endfor %}
        {%- for seconds in var('events_horizons') %}
        {{ event_reached('either_1', seconds) }} as t1_{{ seconds }},
        {{ event_reached('either_2', seconds) }} as t2_{{ seconds }},
        {{ event_reached('break_1', seconds) }} as t1_break_{{ seconds }},
        {{ event_reached('bounce_1', seconds) }} as t1_bounce_{{ seconds }},
        {{ event_reached('break_2', seconds) }} as t2_break_{{ seconds }},
        {{ event_reached('bounce_2', seconds) }} as t2_bounce_{{ seconds }},
        {%- endfor %}
        ts_ns,
        date,
        t1 + interval '{{ event_longest_window() }} seconds' as resolved_at
    from windowed
),

-- Events of another system bring their own labels.
together as (
    select * from labels
    union all by name
    select
        event_id,
        symbol,
        outcome,
        strength_signed,
        tradeable_1,
        tradeable_2,
        time_to_threshold_1,
        time_to_threshold_2,
        time_to_break_1,
        time_to_bounce_1,
        time_to_break_2,
        time_to_bounce_2,
        {%- for seconds in var('events_horizons') if seconds in [60, 120, 300, 600] %}
        t1_{{ seconds }},
        t2_{{ seconds }},
        t1_break_{{ seconds }},
        t1_bounce_{{ seconds }},
        t2_break_{{ seconds }},
        t2_bounce_{{ seconds }},
        {%- endfor %}
        ts_ns,
        date,
        resolved_at
    from {{ ref('slv_event_external') }}
)

select * from together
order by date, symbol, ts_ns, event_id
