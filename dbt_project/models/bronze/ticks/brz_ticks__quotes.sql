with landed as (
    select * from {{ landed('quotes') }}
),

known as (
    select
        symbol,
        exchange,
        condition,
        source,
        batch_id,
        file,
        line,
        seq,
        bid,
        bid_size,
        ask,
        ask_size,
        suspicious,
        date,
        ts,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
