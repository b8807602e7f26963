{{ config(materialized='table') }}

-- A bar as a decision maker saw it when it ended: its first version. What came later than `events_latest_minutes` after
-- the bar's end was no part of any decision at the time, so no event, feature or label reads it.
with versions as (
    select
        *,
        ts + to_minutes(bar_minutes) as ends_at,
        row_number() over (partition by symbol, bar_minutes, ts order by known_at, ingested_at) as version_from_first
    from {{ ref('brz_intraday__bars') }}
    where bar_minutes = {{ var('events_bar_minutes') }}
),

placed as (
    select
        versions.symbol,
        versions.source,
        versions.bar_minutes,
        versions.open,
        versions.high,
        versions.low,
        versions.close,
        versions.volume,
        case
            when versions.ts < sessions.open_at then 'pre'
            when versions.ends_at <= sessions.close_at then 'regular'
            else 'post'
        end as session_part,
        cast((epoch(versions.ts) - epoch(sessions.open_at)) / 60 as integer) as minute_of_session,
        versions.date,
        sessions.session_index,
        versions.ts,
        versions.ends_at,
        versions.known_at
    from versions
    inner join {{ ref('slv_calendar') }} as sessions on versions.date = sessions.date
    where
        versions.version_from_first = 1
        and versions.known_at <= versions.ends_at + interval '{{ var("events_latest_minutes") }} minutes'
),

-- Where a symbol's session has no bars, those made from its trades stand in.
together as (
    select * from placed
    union all
    select
        symbol,
        source,
        bar_minutes,
        open,
        high,
        low,
        close,
        volume,
        session_part,
        minute_of_session,
        date,
        session_index,
        ts,
        ends_at,
        known_at
    from {{ ref('slv_intraday_trade_bars') }}
    where (symbol, date) not in (select (symbol, date) from placed)
)

select * from together
order by symbol, ts
