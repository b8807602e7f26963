{{ config(materialized='table') }}

-- The best bid and offer in force after each row of a feed, and what the row did to the shares on each side. A row of a
-- consolidated feed states one side or both and leaves the other as it was; a row of a book states both.
with versions as (
    select
        symbol,
        'quotes' as feed,
        file,
        line,
        {{ price_units('bid') }} as bid,
        {{ share_units('bid_size') }} as bid_size,
        {{ price_units('ask') }} as ask,
        {{ share_units('ask_size') }} as ask_size,
        suspicious = 1 as is_suspicious,
        row_number() over (partition by symbol, ts, exchange, seq order by known_at, ingested_at) as version_from_first,
        date,
        ts,
        known_at
    from {{ ref('brz_ticks__quotes') }}
    union all
    select
        symbol,
        'book' as feed,
        file,
        line,
        {{ price_units('bid_price') }} as bid,
        {{ share_units('bid_size') }} as bid_size,
        {{ price_units('ask_price') }} as ask,
        {{ share_units('ask_size') }} as ask_size,
        false as is_suspicious,
        row_number() over (partition by symbol, ts, seq order by known_at, ingested_at) as version_from_first,
        date,
        ts,
        known_at
    from {{ ref('brz_ticks__book') }}
),

-- Seen in time, or no part of any decision: the rule of silver.intraday_bars.
rows_in_order as (
    select
        *,
        row_number() over (partition by symbol, feed, date order by ts, file, line) as tick
    from versions
    where
        version_from_first = 1
        and not is_suspicious
        and known_at <= ts + to_minutes({{ var('events_latest_minutes') }})
),

in_force as (
    select
        symbol,
        feed,
        tick,
        case when feed = 'book' then bid else last_value(bid ignore nulls) over so_far end as bid,
        case
            when feed = 'book' then bid_size
            else last_value(case when bid is not null then coalesce(bid_size, 0) end ignore nulls) over so_far
        end as bid_size,
        case when feed = 'book' then ask else last_value(ask ignore nulls) over so_far end as ask,
        case
            when feed = 'book' then ask_size
            else last_value(case when ask is not null then coalesce(ask_size, 0) end ignore nulls) over so_far
        end as ask_size,
        date,
        ts,
        known_at
    from rows_in_order
    window so_far as (
        partition by symbol, feed, date order by tick rows between unbounded preceding and current row
    )
),

compared as (
    select
        *,
        lag(bid) over in_order as bid_before,
        lag(bid_size) over in_order as bid_size_before,
        lag(ask) over in_order as ask_before,
        lag(ask_size) over in_order as ask_size_before
    from in_force
    window in_order as (partition by symbol, feed, date order by tick)
),

changed as (
    select
        symbol,
        feed,
        tick,
        bid / 1e6 as bid,
        bid_size / 1e3 as bid_size,
        ask / 1e6 as ask,
        ask_size / 1e3 as ask_size,
        {{ side_change('bid', '>=', '<=') }} as bid_change,
        {{ side_change('ask', '<=', '>=') }} as ask_change,
        coalesce(bid > ask, false) as is_crossed,
        date,
        ts,
        known_at
    from compared
)

select * from changed
order by symbol, date, feed, tick
