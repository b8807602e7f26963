with batches as (
    select * from {{ landed_batches('ops', 'runs') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by run_id
            order by recorded_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        run_id,
        sleeve,
        label,
        status,
        git_revision,
        data_hash,
        config_hash,
        path,
        metrics,
        started_at,
        recorded_at
    from versions
    where version_from_latest = 1
)

select * from latest
