{{ config(materialized='table') }}

-- One row per event: price comes from `events_rearm_atr` or further away into the band around a level, and the bar
-- closes near it. It is confirmed when that bar ends, at t1.
with bars as (
    select * from {{ ref('slv_event_bars') }}
    where atr is not null
),

near as (
    {{ event_levels_near('bars', 'bars.close', var('events_confirm_atr') ~ ' * bars.atr') }}
),

sided as (
    select
        *,
        case
            when previous_close <= level_units - {{ var('events_rearm_atr') }} * atr then 1
            when previous_close >= level_units + {{ var('events_rearm_atr') }} * atr then -1
        end as direction_sign
    from near
),

touched as (
    select * from sided
    where
        (direction_sign = 1 and high >= level_units - {{ var('events_band_atr') }} * atr)
        or (direction_sign = -1 and low <= level_units + {{ var('events_band_atr') }} * atr)
),

counted as (
    select
        *,
        count(*) over level_so_far - 1 as prior_touches,
        sum(cast(direction_sign = 1 as integer)) over level_so_far as attempts_up,
        sum(cast(direction_sign = -1 as integer)) over level_so_far as attempts_down,
        lag(bar_number) over level_of_session as bar_of_last_touch
    from touched
    window
        level_of_session as (partition by symbol, date, level_key order by ts),
        level_so_far as (
            partition by symbol, date, level_key order by ts rows between unbounded preceding and current row
        )
),

touches as (
    select
        {{ event_id() }} as event_id,
        symbol,
        level_kind_name,
        level_key,
        case direction_sign when 1 then 'UP' else 'DOWN' end as direction,
        bar_minutes,
        cast(direction_sign as integer) as direction_sign,
        bar_number,
        cast(case direction_sign when 1 then attempts_up else attempts_down end as integer) as attempt_index,
        cast(prior_touches as integer) as prior_touches,
        cast(attempts_up as integer) as attempts_up,
        cast(attempts_down as integer) as attempts_down,
        cast(bar_number - bar_of_last_touch as integer) as bars_since_last,
        level_units,
        level_units / 1e6 as level_price,
        close / 1e6 as close,
        atr / 1e6 as atr,
        epoch_ns(ends_at) as ts_ns,
        date,
        ts as t0,
        ends_at as t1
    from counted
)

select * from touches
order by date, symbol, t1, level_key
