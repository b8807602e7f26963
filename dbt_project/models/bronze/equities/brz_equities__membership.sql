with landed as (
    select * from {{ landed('membership') }}
),

known as (
    select
        symbol,
        batch_id,
        assumption,
        start_date,
        end_date,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
