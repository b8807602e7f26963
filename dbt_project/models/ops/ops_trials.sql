with batches as (
    select * from {{ landed_batches('ops', 'trials') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by trial_id
            order by recorded_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        trial_id,
        run_id,
        sleeve,
        label,
        config_hash,
        data_hash,
        config,
        returns_ref,
        status,
        started_at,
        recorded_at
    from versions
    where version_from_latest = 1
)

select * from latest
