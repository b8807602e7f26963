with landed as (
    select * from {{ landed('trader_days') }}
),

known as (
    select
        address,
        venue,
        source,
        batch_id,
        file,
        line,
        daily_pnl,
        fees,
        n_trades,
        win_rate,
        volume_usd,
        long_ratio,
        date,
        day_end_at,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
