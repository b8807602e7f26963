with ranks as (
    select * from {{ ref('mrt_oof_ranks') }}
),

correlated as (
    select
        run_id,
        path_id,
        horizon,
        date,
        max(sleeve) as sleeve,
        max(label) as label,
        count(*) as n_entities,
        count(*) >= 3 and min(yhat) < max(yhat) and min(y) < max(y) as is_defined,
        corr(yhat, y) as ic,
        corr(yhat_rank, y_rank) as rank_ic
    from ranks
    group by run_id, path_id, horizon, date
),

defined as (
    select
        sleeve,
        run_id,
        label,
        path_id,
        horizon,
        n_entities,
        case when is_defined then ic end as ic,
        case when is_defined then rank_ic end as rank_ic,
        date
    from correlated
)

select * from defined
