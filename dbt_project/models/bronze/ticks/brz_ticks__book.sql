with landed as (
    select * from {{ landed('book') }}
),

known as (
    select
        symbol,
        source,
        batch_id,
        file,
        line,
        seq,
        time_s,
        event_type,
        order_id,
        size,
        price,
        direction,
        ask_price,
        ask_size,
        bid_price,
        bid_size,
        date,
        ts,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
