with scores as (
    select * from {{ ref('prd_equities') }}
    where prob_up is not null
),

labels as (
    select * from {{ ref('gld_equities_labels') }}
    where value is not null
),

-- Bins are open on the left and closed on the right, as scikit-learn's calibration curve draws them.
resolved as (
    select
        scores.model_id,
        scores.label,
        scores.horizon,
        scores.prob_up,
        case when scores.prob_up <= 0.1 then 1 else cast(ceil(10 * scores.prob_up) as integer) end as bin,
        case when labels.value > 0 then 1.0 else 0.0 end as went_up,
        case when scores.scored_at < cast(labels.label_end_date as timestamp) then 1 else 0 end as is_before_outcome
    from scores
    inner join labels
        on
            scores.ticker = labels.symbol
            and scores.dt = labels.date
            and scores.label = labels.label
),

binned as (
    select
        model_id,
        label,
        horizon,
        bin,
        count(*) as n,
        cast(sum(is_before_outcome) as bigint) as n_before_outcome,
        avg(prob_up) as mean_prob_up,
        avg(went_up) as realised_up
    from resolved
    group by model_id, label, horizon, bin
),

weighed as (
    select
        model_id,
        label,
        horizon,
        bin,
        n,
        n_before_outcome,
        n / cast(sum(n) over (partition by model_id, label, horizon) as double) as share,
        mean_prob_up,
        cast(realised_up as double) as realised_up,
        cast(mean_prob_up - realised_up as double) as gap
    from binned
)

select * from weighed
