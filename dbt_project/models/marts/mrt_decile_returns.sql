{#
    The t-statistic is Newey and West's (1987, eq. 5): labels of h sessions overlap on the h - 1 sessions that follow, so a plain one
    would count the same days up to h times. Their Bartlett-weighted sum of autocovariances equals the sum over all positions of the
    squared total of h neighbouring deviations, divided by h; that needs no self-join. Dates weigh the same, whatever their size.
#}
with ranks as (
    select * from {{ ref('mrt_oof_ranks') }}
),

daily as (
    select
        run_id,
        path_id,
        horizon,
        decile,
        date,
        max(sleeve) as sleeve,
        max(label) as label,
        count(*) as n_rows,
        avg(y) as mean_y
    from ranks
    group by run_id, path_id, horizon, decile, date
),

centred as (
    select
        run_id,
        path_id,
        horizon,
        decile,
        sleeve,
        label,
        n_rows,
        mean_y,
        mean_y - avg(mean_y) over (partition by run_id, path_id, horizon, decile) as deviation,
        row_number() over (partition by run_id, path_id, horizon, decile order by date) as position
    from daily
),

digits as (
    select listed.digit from (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as listed (digit)
),

lags as (
    select 10 * tens.digit + ones.digit as lag
    from digits as tens
    cross join digits as ones
),

-- Each deviation belongs to the totals of its own position and of the h - 1 that follow.
spread as (
    select
        centred.run_id,
        centred.path_id,
        centred.horizon,
        centred.decile,
        centred.sleeve,
        centred.label,
        centred.deviation,
        centred.position + lags.lag as total_position,
        case when lags.lag = 0 then centred.n_rows end as n_rows,
        case when lags.lag = 0 then centred.mean_y end as mean_y
    from centred
    inner join lags on centred.horizon > lags.lag
),

totals as (
    select
        run_id,
        path_id,
        horizon,
        decile,
        total_position,
        max(sleeve) as sleeve,
        max(label) as label,
        sum(n_rows) as n_rows,
        max(mean_y) as mean_y,
        sum(deviation) as total
    from spread
    group by run_id, path_id, horizon, decile, total_position
),

averaged as (
    select
        run_id,
        path_id,
        horizon,
        decile,
        max(sleeve) as sleeve,
        max(label) as label,
        count(mean_y) as n_dates,
        cast(sum(n_rows) as bigint) as n_rows,
        avg(mean_y) as mean_y,
        min(mean_y) < max(mean_y) and horizon <= 100 as is_testable,
        sum(total * total) / horizon as squares
    from totals
    group by run_id, path_id, horizon, decile
),

tested as (
    select
        sleeve,
        run_id,
        label,
        path_id,
        horizon,
        decile,
        n_dates,
        n_rows,
        mean_y,
        case when is_testable then mean_y * n_dates / nullif(sqrt(squares), 0) end as t_statistic
    from averaged
)

select * from tested
