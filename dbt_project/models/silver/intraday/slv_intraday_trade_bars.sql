{{ config(materialized='table') }}

-- Bars made from trades, with the columns of silver.intraday_bars, which takes them where no bars have landed. A bar
-- comes from the tape; from the executions of a book where the tape has none.
with trades as (
    select
        *,
        time_bucket(interval '{{ var("events_bar_minutes") }} minutes', ts) as bar_ts
    from {{ ref('slv_intraday_trades') }}
    where is_price_forming
),

bars as (
    select
        symbol,
        feed,
        min_by(price, tick) as open,
        max(price) as high,
        min(price) as low,
        max_by(price, tick) as close,
        cast(sum({{ share_units('size') }}) as bigint) / 1e3 as volume,
        date,
        bar_ts as ts,
        bar_ts + interval '{{ var("events_bar_minutes") }} minutes' as ends_at
    from trades
    group by symbol, feed, date, bar_ts
),

chosen as (
    select * from bars
    qualify row_number() over (partition by symbol, ts order by feed desc) = 1
),

placed as (
    select
        chosen.symbol,
        chosen.feed as source,
        cast({{ var('events_bar_minutes') }} as integer) as bar_minutes,
        chosen.open,
        chosen.high,
        chosen.low,
        chosen.close,
        chosen.volume,
        case
            when chosen.ts < sessions.open_at then 'pre'
            when chosen.ends_at <= sessions.close_at then 'regular'
            else 'post'
        end as session_part,
        cast((epoch(chosen.ts) - epoch(sessions.open_at)) / 60 as integer) as minute_of_session,
        chosen.date,
        sessions.session_index,
        chosen.ts,
        chosen.ends_at,
        chosen.ends_at as known_at
    from chosen
    inner join {{ ref('slv_calendar') }} as sessions on chosen.date = sessions.date
)

select * from placed
order by symbol, ts
