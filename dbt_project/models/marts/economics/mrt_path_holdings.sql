{#
    Which names a path holds, and what each is worth from session to session. Out-of-fold predictions are many, so their scans stay
    inlined: a condition on run_id then reaches the files. The marks of all bars are looked up twice and computed once; symbols are
    numbers there, for joins and windows over numbers take half the time.
#}
{%- set quantile = var('economics_quantile') -%}
{%- set delisted_after = var('delisted_after_sessions') -%}
with bars as not materialized (
    select * from {{ ref('slv_equity_bars') }}
),

calendar as not materialized (
    select * from {{ ref('slv_calendar') }}
),

scores as not materialized (
    select
        run_id,
        path_id,
        horizon,
        entity,
        yhat,
        dt
    from {{ ref('prd_oof') }}
    where sleeve = 'equities' and isfinite(yhat)
),

symbols as (
    select
        symbol,
        row_number() over (order by symbol) * 100000 as first_key
    from bars
    group by symbol
),

-- The k-th lowest and the k-th highest prediction, k = ceil(quantile * n): who ties with them belongs to the side too.
edges as not materialized (
    select
        run_id,
        path_id,
        horizon,
        dt,
        percentile_disc({{ quantile }}) within group (order by yhat asc) as lowest,
        percentile_disc({{ quantile }}) within group (order by yhat desc) as highest
    from scores
    group by run_id, path_id, horizon, dt
),

-- Where both sides would hold the same name, the predictions do not tell names apart, and nothing is held.
chosen as not materialized (
    select
        scores.run_id,
        scores.path_id,
        scores.horizon,
        scores.entity,
        scores.dt,
        symbols.first_key + decided.session_index as decision_key,
        case when scores.yhat >= edges.highest then 1 else -1 end as side
    from scores
    inner join edges
        on
            scores.run_id = edges.run_id
            and scores.path_id = edges.path_id
            and scores.horizon = edges.horizon
            and scores.dt = edges.dt
    inner join calendar as decided on scores.dt = decided.date
    inner join symbols on scores.entity = symbols.symbol
    where
        edges.lowest < edges.highest
        and (scores.yhat <= edges.lowest or scores.yhat >= edges.highest)
),

priced as (
    select
        symbols.first_key,
        bars.session_index,
        bars.open / bars.close as open_to_close,
        bars.close * bars.adj_factor as price,
        bars.flag_split_mismatch as is_suspect,
        lag(bars.close * bars.adj_factor) over by_symbol as previous_price,
        bars.session_index - lag(bars.session_index) over by_symbol as since_previous,
        lead(bars.close * bars.adj_factor) over by_symbol as next_price,
        lead(bars.session_index) over by_symbol - bars.session_index as until_next,
        lead(bars.flag_split_mismatch) over by_symbol as next_is_suspect
    from bars
    inner join symbols on bars.symbol = symbols.symbol
    window by_symbol as (partition by symbols.first_key order by bars.session_index)
),

landed as (
    select max(session_index) as last_index from bars
),

-- As in labels: a suspect session carries no return, and a bar after a long absence begins another listing.
stepped as (
    select
        priced.first_key,
        priced.session_index,
        priced.open_to_close,
        case
            when priced.since_previous <= {{ delisted_after }} and not priced.is_suspect
                then {{ to_fixed('ln(priced.price / priced.previous_price)') }}
            else 0
        end as step,
        coalesce(priced.since_previous > {{ delisted_after }}, false) as is_relisted,
        coalesce(priced.until_next <= {{ delisted_after }}, false) as has_next,
        case when priced.next_is_suspect then 1 else priced.next_price / priced.price end as next_growth,
        case
            when priced.until_next <= {{ delisted_after }} then priced.until_next - 1
            when priced.session_index + {{ delisted_after }} <= landed.last_index then {{ delisted_after }}
            else 0
        end as absent_sessions
    from priced
    cross join landed
),

indexed as (
    select
        first_key,
        session_index,
        open_to_close,
        step,
        has_next,
        next_growth,
        absent_sessions,
        {{ running_total('step', 'up_to_now') }} as log_level,
        {{ running_total('is_relisted', 'up_to_now') }} as listing
    from stepped
    window
        up_to_now as (partition by first_key order by session_index rows between unbounded preceding and current row)
),

dense as (
    select
        first_key,
        session_index,
        listing,
        has_next,
        next_growth,
        absent_sessions,
        exp({{ from_fixed('log_level') }}) as level,
        exp({{ from_fixed('log_level - step') }}) as previous_level,
        exp({{ from_fixed('log_level') }}) * open_to_close as level_at_open,
        unnest(range(0, absent_sessions + 1)) as sessions_after
    from indexed
),

-- A symbol's level before and after each of its sessions. An absent session stands for the exit that falls on it: at
-- the next bar, or at the last price once the absence counts as a delisting.
marks as materialized (
    select
        dense.first_key + dense.session_index + dense.sessions_after as session_key,
        dense.listing,
        dense.sessions_after = 0 as is_bar,
        dense.sessions_after = {{ delisted_after }} as is_end,
        dense.level_at_open,
        case when dense.sessions_after = 0 then dense.previous_level else dense.level end as level_before,
        case when dense.sessions_after > 0 and dense.has_next then dense.next_growth else 1 end * dense.level
            as level_after,
        booked.date
    from dense
    inner join calendar as booked
        on booked.session_index = dense.session_index + case
            when dense.sessions_after = 0 then 0
            when dense.has_next then dense.absent_sessions + 1
            else dense.absent_sessions
        end
),

entered as not materialized (
    select
        chosen.run_id,
        chosen.path_id,
        chosen.horizon,
        chosen.entity,
        chosen.side,
        chosen.dt,
        chosen.decision_key,
        marks.listing,
        marks.level_at_open,
        unnest(range(1, chosen.horizon + 1)) as age
    from chosen
    inner join marks on chosen.decision_key + 1 = marks.session_key and marks.is_bar
),

held as not materialized (
    select
        entered.run_id,
        entered.path_id,
        entered.horizon,
        entered.entity,
        cast(entered.side as integer) as side,
        entered.age = 1 as is_entry,
        entered.age = entered.horizon or marks.is_end as is_exit,
        case when entered.age = 1 then 1 else marks.level_before / entered.level_at_open end as value_before,
        marks.level_after / entered.level_at_open as value_after,
        entered.dt as decision_date,
        marks.date
    from entered
    inner join marks on entered.decision_key + entered.age = marks.session_key
    where
        entered.listing = marks.listing
        and (marks.is_bar or marks.is_end or entered.age = entered.horizon)
)

select * from held
