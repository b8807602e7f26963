{#
    Weights of the rank portfolio: twice the distance of the rank from the middle of its cross-section, over floor(n * n / 2), which is
    the sum of those distances without ties. So half the book is long, half short, and the gross exposure 1 (a little less where
    predictions tie).
#}
with ranks as (
    select * from {{ ref('mrt_oof_ranks') }}
),

held as (
    select
        sleeve,
        run_id,
        label,
        path_id,
        horizon,
        entity,
        date,
        case
            when n_entities > 1 then (2 * yhat_rank - n_entities - 1) / floor(n_entities * n_entities / 2.0)
            else 0
        end as weight,
        case when decile = 10 then 1 else 0 end as is_top
    from ranks
),

-- Where an entity was when the path last predicted it.
followed as (
    select
        *,
        lag(date) over by_entity as earlier_date,
        lag(weight) over by_entity as earlier_weight,
        lag(is_top) over by_entity as earlier_is_top
    from held
    window by_entity as (partition by run_id, path_id, horizon, entity order by date)
),

paired as (
    select
        run_id,
        path_id,
        horizon,
        date,
        earlier_date,
        max(sleeve) as sleeve,
        max(label) as label,
        count(*) as n_entities,
        sum(abs(weight)) as gross,
        sum(abs(earlier_weight)) as earlier_gross,
        sum(abs(weight - earlier_weight)) as changed,
        sum(is_top) as n_top,
        sum(is_top * earlier_is_top) as n_stayed_top
    from followed
    group by run_id, path_id, horizon, date, earlier_date
),

dated as (
    select
        *,
        max(date) over (
            partition by run_id, path_id, horizon
            order by date
            range between unbounded preceding and interval 1 day preceding
        ) as previous_date
    from paired
),

daily as (
    select
        run_id,
        path_id,
        horizon,
        date,
        max(sleeve) as sleeve,
        max(label) as label,
        cast(sum(n_entities) as bigint) as n_entities,
        sum(gross) as gross,
        sum(case when earlier_date = previous_date then changed else gross end) as traded_by_present,
        sum(case when earlier_date = previous_date then earlier_gross else 0 end) as gross_of_stayed,
        sum(n_top) as n_top,
        sum(case when earlier_date = previous_date then n_stayed_top else 0 end) as n_stayed_top
    from dated
    group by run_id, path_id, horizon, date
),

-- A name that is there today trades the difference; one that left since the previous session trades all it had.
turned as (
    select
        sleeve,
        run_id,
        label,
        path_id,
        horizon,
        n_entities,
        case
            when lag(date) over by_path is not null
                then 1 - cast(n_stayed_top as double) / nullif(n_top, 0)
        end as top_decile_turnover,
        cast((traded_by_present + lag(gross) over by_path - gross_of_stayed) / 2 as double) as weight_turnover,
        date
    from daily
    window by_path as (partition by run_id, path_id, horizon order by date)
)

select * from turned
