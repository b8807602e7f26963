with batches as (
    select * from {{ landed_batches('preds', 'traders') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by address, dt, horizon, model_id
            order by scored_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        address,
        dt,
        horizon,
        model_id,
        label,
        yhat,
        yhat_std,
        prob_up,
        rank_pct,
        scored_at
    from versions
    where version_from_latest = 1
)

select * from latest
