with landed as (
    select * from {{ landed('equity_bars') }}
),

known as (
    select
        symbol,
        batch_id,
        file,
        line,
        date,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
