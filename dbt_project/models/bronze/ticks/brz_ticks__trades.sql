with landed as (
    select * from {{ landed('trades') }}
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
        price,
        size,
        suspicious,
        date,
        ts,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
