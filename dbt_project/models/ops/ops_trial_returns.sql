with batches as (
    select * from {{ landed_batches('ops', 'trial_returns') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by run_id, strategy, date
            order by recorded_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        run_id,
        sleeve,
        label,
        kind,
        strategy,
        date,
        gross_return,
        net_return,
        turnover,
        recorded_at
    from versions
    where version_from_latest = 1
)

select * from latest
