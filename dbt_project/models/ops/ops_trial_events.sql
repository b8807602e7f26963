with batches as (
    select * from {{ landed_batches('ops', 'trial_events') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by run_id, attempt, event, split_id
            order by recorded_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        trial_id,
        run_id,
        attempt,
        event,
        split_id,
        seconds,
        detail,
        recorded_at
    from versions
    where version_from_latest = 1
)

select * from latest
