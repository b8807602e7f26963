with batches as (
    select * from {{ landed_batches('ops', 'leakage_audit') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by run_id, split_id, check_name
            order by recorded_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        run_id,
        split_id,
        check_name,
        violations,
        compared,
        detail,
        recorded_at
    from versions
    where version_from_latest = 1
)

select * from latest
