{#
    The average of a tie's first and last place is its average rank: `rank()` gives the first, a running count the last, and both
    share one sort. A run has one sleeve and one label, so neither belongs to the cross-section's key.
#}
with predictions as (
    select * from {{ ref('prd_oof') }}
    where yhat is not null and y is not null
),

placed as (
    select
        sleeve,
        entity,
        run_id,
        label,
        path_id,
        horizon,
        yhat,
        y,
        dt as date,
        count(*) over (partition by run_id, path_id, horizon, dt) as n_entities,
        (rank() over predicted + count(*) over predicted) / 2.0 as yhat_rank,
        (rank() over realised + count(*) over realised) / 2.0 as y_rank
    from predictions
    window
        predicted as (
            partition by run_id, path_id, horizon, dt order by yhat range between unbounded preceding and current row
        ),
        realised as (
            partition by run_id, path_id, horizon, dt order by y range between unbounded preceding and current row
        )
),

ranked as (
    select
        sleeve,
        entity,
        run_id,
        label,
        path_id,
        horizon,
        cast(n_entities as bigint) as n_entities,
        cast(ceil(10 * yhat_rank / n_entities) as integer) as decile,
        yhat,
        y,
        cast(yhat_rank as double) as yhat_rank,
        cast(y_rank as double) as y_rank,
        date
    from placed
)

select * from ranked
