{{ config(materialized='table') }}

-- What a viewport scores: every bar of the last `events_target_sessions` sessions with each level in view, touched or
-- not. The features are those of an event that would be confirmed by this bar; where it is one, they are the event's.
{%- set keys = [
    'target', 'symbol', 'level_kind_name', 'level_key', 'direction', 'level_units', 'close_price', 'atr_price', 'date', 't1'
] %}

with bars as (
    select * from {{ ref('slv_event_bars') }}
    where
        atr is not null
        and date in (
            select distinct date from {{ ref('slv_event_days') }}
            order by date desc
            limit {{ var('events_target_sessions') }}
        )
),

near as (
    {{ event_levels_near('bars', 'bars.close', var('events_viewport_atr') ~ ' * bars.atr') }}
),

-- The side that price is on is the side it comes from; a bar that confirms a touch comes from where the touch says.
sided as (
    select
        near.symbol,
        near.level_kind_name,
        near.level_key,
        near.level_units,
        coalesce(
            events.direction_sign,
            case
                when near.close < near.level_units then 1
                when near.close = near.level_units and near.previous_close < near.level_units then 1
                else -1
            end
        ) as direction_sign,
        near.bar_number,
        near.close / 1e6 as close_price,
        near.atr / 1e6 as atr_price,
        near.date,
        near.ts as t0,
        near.ends_at as t1
    from near
    left join {{ ref('slv_event_touches') }} as events
        on near.symbol = events.symbol and near.ts = events.t0 and near.level_key = events.level_key
),

candidates as (
    select
        sided.*,
        row_number() over (order by sided.symbol, sided.t1, sided.level_key) as target,
        sided.level_units / 1e6 as level_price,
        case sided.direction_sign when 1 then 'UP' else 'DOWN' end as direction,
        1 + coalesce(
            case sided.direction_sign when 1 then touches.attempts_up else touches.attempts_down end, 0
        ) as attempt_index,
        coalesce(touches.prior_touches + 1, 0) as prior_touches,
        sided.bar_number - touches.bar_number as bars_since_last
    from sided
    asof left join {{ ref('slv_event_touches') }} as touches
        on
            sided.symbol = touches.symbol
            and sided.date = touches.date
            and sided.level_key = touches.level_key
            and sided.t0 > touches.t0
),

from_bars as (
    {{ event_features_from_bars('candidates', keys) }}
),

measured as (
    {{ event_microstructure('candidates', 'target') | indent(4) }}
),

targets as (
    select
        from_bars.symbol || ' ' || from_bars.level_key as level_id,
        from_bars.symbol,
        from_bars.level_kind_name,
        from_bars.direction,
        cast(from_bars.level_units / 1e6 as decimal(18, 6)) as level_price,
        cast(from_bars.close_price as decimal(18, 6)) as close_price,
        cast(from_bars.atr_price as decimal(18, 6)) as atr_price,
        {%- for name, _ in event_bar_features() %}
        from_bars.{{ name }},
        {%- endfor %}
        {%- for name, _ in event_microstructure_features() %}
        measured.{{ name }},
        {%- endfor %}
        measured.has_trades,
        measured.has_quotes,
        measured.has_book,
        measured.has_chain,
        epoch_ns(from_bars.t1) as ts_ns,
        from_bars.date,
        from_bars.t1 as known_at
    from from_bars
    left join measured on from_bars.target = measured.target
)

select * from targets
order by symbol, ts_ns, level_id
