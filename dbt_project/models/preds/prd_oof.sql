with batches as (
    select * from {{ landed_batches('preds', 'oof') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by sleeve, entity, dt, horizon, run_id, path_id
            order by scored_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        sleeve,
        entity,
        dt,
        horizon,
        label,
        run_id,
        path_id,
        split_id,
        yhat,
        y,
        label_end,
        scored_at
    from versions
    where version_from_latest = 1
)

select * from latest
