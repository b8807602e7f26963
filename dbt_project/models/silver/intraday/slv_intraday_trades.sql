{{ config(materialized='table') }}

-- Trades with the side that began them: a book says it; for the others the quote in force just before decides, and
-- where the price is the middle of the spread, or there is no quote, the last change of price (Lee and Ready 1991).
with versions as (
    select
        symbol,
        'trades' as feed,
        exchange,
        condition,
        file,
        line,
        price,
        size,
        cast(null as bigint) as book_side,
        suspicious = 1 or {{ is_excluded_sale('condition') }} as is_excluded,
        row_number() over (partition by symbol, ts, exchange, seq order by known_at, ingested_at) as version_from_first,
        date,
        ts,
        known_at
    from {{ ref('brz_ticks__trades') }}
    union all
    -- Who lets a limit order to sell be executed bought; a cross (6) was begun by no one.
    select
        symbol,
        'book' as feed,
        '' as exchange,
        cast(event_type as varchar) as condition,
        file,
        line,
        price,
        size,
        case when event_type in (4, 5) then -direction end as book_side,
        false as is_excluded,
        row_number() over (partition by symbol, ts, seq order by known_at, ingested_at) as version_from_first,
        date,
        ts,
        known_at
    from {{ ref('brz_ticks__book') }}
    where event_type in (4, 5, 6)
),

rows_in_order as (
    select
        * exclude (is_excluded),
        not is_excluded as is_price_forming,
        row_number() over (partition by symbol, feed, date order by ts, file, line) as tick
    from versions
    where
        version_from_first = 1
        and known_at <= ts + to_minutes({{ var('events_latest_minutes') }})
),

compared as (
    select
        *,
        case
            when is_price_forming then sign(price - lag(price) over (
                partition by symbol, feed, date, is_price_forming order by tick
            ))
        end as price_change
    from rows_in_order
),

ticked as (
    select
        *,
        last_value(nullif(price_change, 0) ignore nulls) over (
            partition by symbol, feed, date order by tick rows between unbounded preceding and current row
        ) as tick_side
    from compared
),

-- The quote in force before the instant of the trade: one of the same instant may be what the trade left behind.
quotes as (
    select
        symbol,
        date,
        ts,
        case when not is_crossed then {{ price_units('bid') }} + {{ price_units('ask') }} end as twice_mid
    from {{ ref('slv_intraday_quotes') }}
    where feed = 'quotes'
    qualify row_number() over (partition by symbol, date, ts order by tick desc) = 1
),

quoted as (
    select
        ticked.*,
        sign(2 * {{ price_units('ticked.price') }} - quotes.twice_mid) as quote_side
    from ticked
    asof left join quotes
        on ticked.symbol = quotes.symbol and ticked.date = quotes.date and ticked.ts > quotes.ts
),

sided as (
    select
        symbol,
        feed,
        exchange,
        condition,
        case
            when feed = 'book' then 'book'
            when quote_side <> 0 then 'quote'
            when tick_side is not null then 'tick'
        end as side_from,
        tick,
        price,
        size,
        cast(case
            when feed = 'book' then coalesce(book_side, 0)
            else coalesce(nullif(quote_side, 0), tick_side, 0)
        end as integer) as side,
        is_price_forming,
        date,
        ts,
        known_at
    from quoted
)

select * from sided
order by symbol, date, feed, tick
