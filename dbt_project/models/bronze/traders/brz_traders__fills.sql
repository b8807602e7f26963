with landed as (
    select * from {{ landed('trader_fills') }}
),

known as (
    select
        address,
        fill_id,
        coin,
        side,
        direction,
        position_side,
        venue,
        source,
        batch_id,
        file,
        line,
        price,
        size,
        start_position,
        closed_pnl,
        fee,
        date,
        filled_at,
        day_end_at,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
