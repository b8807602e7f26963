{#
    The market that a backtest runs in, both the event-driven engine and marts.backtest_positions. Every session has a row from a
    listing's first bar to its last; an absent one carries the last close, so that a row needs no other but the one before it.
#}
{%- set delisted_after = var('delisted_after_sessions') -%}
with bars as not materialized (
    select * from {{ ref('slv_equity_bars') }}
),

features as not materialized (
    select
        symbol,
        date,
        adv_20d * 1e6 as day_value_usd,
        realised_volatility_20d / sqrt(252) as volatility_1d,
        realised_volatility_20d,
        realised_volatility_60d
    from {{ ref('gld_equities_features') }}
),

landed as (
    select max(session_index) as last_index from bars
),

calendar as (
    select
        session_index,
        date,
        date - lag(date) over (order by session_index) as nights
    from {{ ref('slv_calendar') }}
),

known as (
    select
        bars.symbol,
        bars.sector,
        bars.is_member,
        bars.flag_split_mismatch as is_suspect,
        bars.session_index,
        bars.open,
        bars.close,
        bars.volume,
        bars.split_coefficient,
        bars.dividend_amount,
        cast(features.day_value_usd as double) as day_value_usd,
        cast(features.volatility_1d as double) as volatility_1d,
        cast(features.realised_volatility_20d as double) as realised_volatility_20d,
        cast(features.realised_volatility_60d as double) as realised_volatility_60d
    from bars
    left join features on bars.symbol = features.symbol and bars.date = features.date
),

neighboured as (
    select
        *,
        session_index - lag(session_index) over by_symbol as since_previous,
        lead(session_index) over by_symbol - session_index as until_next,
        lag(close) over by_symbol as bar_before_close,
        lag(day_value_usd) over by_symbol as bar_before_day_value,
        lag(volatility_1d) over by_symbol as bar_before_volatility
    from known
    window by_symbol as (partition by symbol order by session_index)
),

-- A bar after a long absence begins another listing: nothing that was known before counts for it.
listed as (
    select
        neighboured.*,
        coalesce(since_previous <= {{ delisted_after }}, false) as continues,
        case
            when until_next <= {{ delisted_after }} then until_next - 1
            else least({{ delisted_after }}, coalesce(until_next - 1, landed.last_index - session_index))
        end as absent_sessions
    from neighboured
    cross join landed
),

-- As in labels, a session with a split that nobody recorded, or one that was wrongly recorded, carries no return.
acted as (
    select
        *,
        case
            when not continues then 1
            when is_suspect then bar_before_close / close
            else split_coefficient
        end as split,
        case when continues and not is_suspect then dividend_amount else 0 end as dividend_usd,
        unnest(range(0, absent_sessions + 1)) as sessions_after
    from listed
),

placed as (
    select
        symbol,
        sector,
        session_index + sessions_after as session_index,
        is_member,
        sessions_after = 0 as has_bar,
        sessions_after = {{ delisted_after }} as is_delisted,
        case when sessions_after = 0 then open end as open,
        close,
        case when sessions_after = 0 then volume end as volume,
        case when sessions_after = 0 then split else 1 end as split,
        case when sessions_after = 0 then dividend_usd else 0 end as dividend_usd,
        day_value_usd,
        volatility_1d,
        realised_volatility_20d,
        realised_volatility_60d,
        case when sessions_after > 0 then close when continues then bar_before_close end as previous_close,
        case when sessions_after > 0 then day_value_usd when continues then bar_before_day_value end
            as previous_day_value_usd,
        case when sessions_after > 0 then volatility_1d when continues then bar_before_volatility end
            as previous_volatility_1d
    from acted
),

dated as (
    select
        placed.symbol,
        placed.sector,
        placed.is_member,
        placed.has_bar,
        placed.is_delisted,
        placed.session_index,
        cast(calendar.nights as integer) as nights,
        placed.open,
        placed.close,
        placed.volume,
        cast(placed.split as double) as split,
        cast(placed.dividend_usd as double) as dividend_usd,
        placed.day_value_usd,
        placed.volatility_1d,
        placed.realised_volatility_20d,
        placed.realised_volatility_60d,
        placed.previous_close,
        placed.previous_day_value_usd,
        placed.previous_volatility_1d,
        calendar.date
    from placed
    inner join calendar on placed.session_index = calendar.session_index
)

select * from dated
