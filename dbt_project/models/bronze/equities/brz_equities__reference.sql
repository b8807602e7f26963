with landed as (
    select * from {{ landed('reference') }}
),

known as (
    select
        symbol,
        batch_id,
        name,
        sector,
        assumption,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
