with batches as (
    select * from {{ landed_batches('ops', 'fills') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by fill_id
            order by recorded_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        fill_id,
        order_id,
        symbol,
        quantity,
        price,
        filled_at,
        recorded_at
    from versions
    where version_from_latest = 1
)

select * from latest
