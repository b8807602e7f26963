with scores as (
    select * from {{ ref('prd_equities') }}
    where yhat is not null
),

labels as (
    select * from {{ ref('gld_equities_labels') }}
    where value is not null
),

resolved as (
    select
        scores.model_id,
        scores.label,
        scores.horizon,
        scores.yhat,
        labels.value as y,
        case when scores.scored_at < cast(labels.label_end_date as timestamp) then 1 else 0 end as is_before_outcome,
        scores.dt as date
    from scores
    inner join labels
        on
            scores.ticker = labels.symbol
            and scores.dt = labels.date
            and scores.label = labels.label
),

-- The average of a tie's first and last place is its average rank.
ranked as (
    select
        *,
        (rank() over predicted + count(*) over predicted) / 2.0 as yhat_rank,
        (rank() over realised + count(*) over realised) / 2.0 as y_rank
    from resolved
    window
        predicted as (
            partition by model_id, label, horizon, date
            order by yhat range between unbounded preceding and current row
        ),
        realised as (
            partition by model_id, label, horizon, date
            order by y range between unbounded preceding and current row
        )
),

correlated as (
    select
        model_id,
        label,
        horizon,
        date,
        count(*) as n_entities,
        cast(sum(is_before_outcome) as bigint) as n_before_outcome,
        count(*) >= 3 and min(yhat) < max(yhat) and min(y) < max(y) as is_defined,
        corr(yhat, y) as ic,
        corr(yhat_rank, y_rank) as rank_ic
    from ranked
    group by model_id, label, horizon, date
),

defined as (
    select
        model_id,
        label,
        horizon,
        n_entities,
        n_before_outcome,
        case when is_defined then ic end as ic,
        case when is_defined then rank_ic end as rank_ic,
        date
    from correlated
)

select * from defined
