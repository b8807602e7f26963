with landed as (
    select * from {{ landed('equity_bars') }}
),

known as (
    select
        symbol,
        source,
        batch_id,
        open,
        high,
        low,
        close,
        volume,
        dividend_amount,
        split_coefficient,
        date,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
