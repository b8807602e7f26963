with landed as (
    select * from {{ landed('series') }}
),

known as (
    select
        series,
        batch_id,
        value,
        date,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
