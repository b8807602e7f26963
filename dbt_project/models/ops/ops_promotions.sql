with batches as (
    select * from {{ landed_batches('ops', 'promotions') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by decision_id, bar
            order by recorded_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        decision_id,
        sequence,
        action,
        run_id,
        sleeve,
        label,
        previous_run_id,
        bar,
        value,
        bound,
        verdict,
        reason,
        recorded_at
    from versions
    where version_from_latest = 1
)

select * from latest
