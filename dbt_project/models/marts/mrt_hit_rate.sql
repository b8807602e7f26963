with ranks as (
    select * from {{ ref('mrt_oof_ranks') }}
),

counted as (
    select
        run_id,
        path_id,
        horizon,
        date,
        max(sleeve) as sleeve,
        max(label) as label,
        count(*) as n_entities,
        sum(case when y <> 0 then 1 else 0 end) as n_moved,
        sum(case when (yhat > 0 and y > 0) or (yhat < 0 and y < 0) then 1 else 0 end) as n_hits,
        sum(case when decile = 10 then 1 else 0 end) as n_top,
        sum(case when decile = 10 and y > 0 then 1 else 0 end) as n_top_up,
        sum(case when decile = 1 then 1 else 0 end) as n_bottom,
        sum(case when decile = 1 and y < 0 then 1 else 0 end) as n_bottom_down
    from ranks
    group by run_id, path_id, horizon, date
),

shared as (
    select
        sleeve,
        run_id,
        label,
        path_id,
        horizon,
        n_entities,
        n_hits / cast(nullif(n_moved, 0) as double) as hit_rate,
        n_top_up / cast(nullif(n_top, 0) as double) as top_decile_hit_rate,
        n_bottom_down / cast(nullif(n_bottom, 0) as double) as bottom_decile_hit_rate,
        date
    from counted
)

select * from shared
