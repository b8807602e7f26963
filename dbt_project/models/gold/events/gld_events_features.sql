{{ config(materialized='table') }}

with candidates as (
    select
        event_id,
        symbol,
        level_kind_name,
        direction,
        direction_sign,
        attempt_index,
        prior_touches,
        bars_since_last,
        level_units,
        level_price,
        ts_ns,
        date,
        t0,
        t1
    from {{ ref('slv_event_touches') }}
),

from_bars as (
    {{ event_features_from_bars(
        'candidates', ['event_id', 'symbol', 'level_kind_name', 'direction', 'bar_minutes', 'level_price', 'ts_ns', 'date', 't1']
    ) }}
),

-- Events that another system found and measured stand beside our own, under their source.
features as (
    select
        from_bars.event_id,
        from_bars.symbol,
        'computed' as source,
        from_bars.level_kind_name,
        from_bars.direction,
        cast(from_bars.level_price as decimal(18, 6)) as level_price,
        from_bars.bar_minutes,
        {%- for name, _ in event_bar_features() %}
        from_bars.{{ name }},
        {%- endfor %}
        {%- for name, _ in event_microstructure_features() %}
        micro.{{ name }},
        {%- endfor %}
        micro.has_trades,
        micro.has_quotes,
        micro.has_book,
        micro.has_chain,
        from_bars.ts_ns,
        from_bars.date,
        from_bars.t1 as known_at
    from from_bars
    left join {{ ref('slv_event_microstructure') }} as micro on from_bars.event_id = micro.event_id
    union all by name
    select
        event_id,
        symbol,
        source,
        level_kind_name,
        direction,
        level_price,
        bar_minutes,
        {%- for name, _ in event_bar_features() + event_microstructure_features() %}
        {{ name }},
        {%- endfor %}
        has_trades,
        has_quotes,
        has_book,
        has_chain,
        ts_ns,
        date,
        known_at
    from {{ ref('slv_event_external') }}
)

select * from features
order by date, symbol, ts_ns, event_id
