with landed as (
    select * from {{ landed('intraday_bars') }}
),

known as (
    select
        symbol,
        source,
        batch_id,
        file,
        line,
        cast(bar_minutes as integer) as bar_minutes,
        open,
        high,
        low,
        close,
        volume,
        date,
        ts,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
