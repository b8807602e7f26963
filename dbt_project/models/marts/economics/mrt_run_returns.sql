{#
    Each path is a whole history by models that had not seen it, so their mean is the history of a user who puts an equal part of the
    capital on each. A path without a row on a session held nothing then.
#}
{%- set turnover_limit = var('economics_turnover_limit') -%}
with returns as (
    select * from {{ ref('mrt_path_returns') }}
),

added as (
    select
        run_id,
        horizon,
        strategy,
        date,
        count(*) as paths_here,
        sum(gross_return order by path_id) as gross_return,
        sum(cost order by path_id) as cost,
        sum(turnover order by path_id) as turnover
    from returns
    group by run_id, horizon, strategy, date
),

counted as (
    select
        *,
        max(paths_here) over (partition by run_id, horizon, strategy) as paths
    from added
),

averaged as (
    select
        run_id,
        strategy,
        horizon,
        cast(paths as integer) as paths,
        turnover / paths > {{ turnover_limit }} as turnover_breach,
        cast(gross_return / paths as double) as gross_return,
        cast(cost / paths as double) as cost,
        cast((gross_return - cost) / paths as double) as net_return,
        cast(turnover / paths as double) as turnover,
        date
    from counted
)

select * from averaged
