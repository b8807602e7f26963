{#
    What overlapping tranches earn, trade and cost. Sums are of whole numbers of 1e-12, which doubles add exactly in any order, so
    neither threads nor the order of rows show in a return.
#}
{%- set spread_bps = var('economics_spread_bps') -%}
{%- set min_names = var('economics_min_names') -%}
{%- set turnover_limit = var('economics_turnover_limit') -%}
with holdings as not materialized (
    select * from {{ ref('mrt_path_holdings') }}
),

-- One side of one tranche on one session; its names start at 1 each.
sides as (
    select
        run_id,
        path_id,
        horizon,
        decision_date,
        side,
        date,
        sum(case when is_entry then 1 else 0 end) as entered,
        sum(round((value_after - value_before) * 1e12)) as gained,
        sum(case when is_exit then round(value_after * 1e12) else 0 end) as left_with
    from holdings
    group by run_id, path_id, horizon, decision_date, side, date
),

sized as (
    select
        run_id,
        path_id,
        horizon,
        side,
        gained,
        left_with,
        entered > 0 as is_entry,
        max(case when side = 1 then entered else 0 end) over of_tranche as names_long,
        max(case when side = -1 then entered else 0 end) over of_tranche as names_short,
        date
    from sides
    window of_tranche as (partition by run_id, path_id, horizon, decision_date)
),

strategies as (
    select
        listed.strategy,
        listed.long_weight,
        listed.short_weight
    from (values ('long_short', 0.5, -0.5), ('long_only', 1.0, 0.0)) as listed (strategy, long_weight, short_weight)
),

-- A tranche stays cash where a side that the strategy holds has too few names.
weighed as (
    select
        sized.run_id,
        sized.path_id,
        sized.horizon,
        strategies.strategy,
        sized.side,
        sized.gained,
        sized.left_with,
        sized.is_entry,
        case when sized.side = 1 then sized.names_long else sized.names_short end as names,
        case
            when sized.names_long < {{ min_names }} then 0
            when strategies.short_weight <> 0 and sized.names_short < {{ min_names }} then 0
            when sized.side = 1 then strategies.long_weight
            else strategies.short_weight
        end as weight,
        sized.date
    from sized
    cross join strategies
),

daily as (
    select
        run_id,
        path_id,
        horizon,
        strategy,
        date,
        sum(round(weight * gained / names / horizon)) as gained,
        sum(
            case when is_entry then round(abs(weight) * 1e12 / horizon) else 0 end
            + round(abs(weight) * left_with / names / horizon)
        ) as traded,
        sum(case when is_entry and side = 1 and weight <> 0 then names else 0 end) as names_long,
        sum(case when is_entry and side = -1 and weight <> 0 then names else 0 end) as names_short
    from weighed
    group by run_id, path_id, horizon, strategy, date
),

followed as (
    select
        daily.*,
        sessions.session_index,
        lead(sessions.session_index) over by_session as next_index
    from daily
    inner join {{ ref('slv_calendar') }} as sessions on daily.date = sessions.date
    window
        by_session as (
            partition by daily.run_id, daily.path_id, daily.horizon, daily.strategy
            order by sessions.session_index
        )
),

-- The sessions until the next row are sessions too: nothing was held on them.
spaced as (
    select
        run_id,
        path_id,
        horizon,
        strategy,
        gained,
        traded,
        names_long,
        names_short,
        session_index as active_index,
        unnest(range(session_index, coalesce(next_index, session_index + 1))) as session_index
    from followed
),

returned as (
    select
        spaced.run_id,
        spaced.path_id,
        spaced.horizon,
        spaced.strategy,
        case when spaced.session_index = spaced.active_index then spaced.gained else 0 end / 1e12 as gross_return,
        case when spaced.session_index = spaced.active_index then spaced.traded else 0 end / 1e12 as turnover,
        case when spaced.session_index = spaced.active_index then spaced.names_long else 0 end as names_long,
        case when spaced.session_index = spaced.active_index then spaced.names_short else 0 end as names_short,
        sessions.date
    from spaced
    inner join {{ ref('slv_calendar') }} as sessions on spaced.session_index = sessions.session_index
),

charged as (
    select
        run_id,
        strategy,
        path_id,
        horizon,
        cast(names_long as integer) as names_long,
        cast(names_short as integer) as names_short,
        turnover > {{ turnover_limit }} as turnover_breach,
        cast(gross_return as double) as gross_return,
        cast(turnover * {{ spread_bps }} / 1e4 as double) as cost,
        cast(gross_return - turnover * {{ spread_bps }} / 1e4 as double) as net_return,
        cast(turnover as double) as turnover,
        date
    from returned
)

select * from charged
