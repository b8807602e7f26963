{#
    A backtest as sets. What is wanted on a session depends on the last close and on weights that are known beforehand, so what is held
    is the last order that was filled: two looks along each symbol in place of a walk through the sessions. That holds because the
    capital is fixed and no order is cut to a share of the volume; trademl.backtest.engine has neither limit.
#}
with settings as not materialized (
    select
        backtest_id,
        capital_usd,
        whole_shares,
        commission_bps / 1e4 as commission,
        commission_usd_per_share,
        spread_bps / 1e4 as spread,
        impact_coefficient,
        impact_exponent,
        permanent_coefficient,
        auction_bps / 1e4 as auction,
        {%- for tier in range(1, 6) %}
        borrow_min_day_value_usd[{{ tier }}] as borrow_from_{{ tier }},
        borrow_bps_per_year[{{ tier }}] / 1e4 as borrow_rate_{{ tier }},
        {%- endfor %}
        borrow_bps_per_year[-1] / 1e4 as borrow_rate_last,
        borrow_days_per_year,
        delisting_return,
        last_date
    from {{ ref('ops_backtests') }}
),

weights as not materialized (
    select
        backtest_id,
        symbol,
        weight,
        dt
    from {{ ref('ops_backtest_weights') }}
),

bars as not materialized (
    select * from {{ ref('mrt_backtest_bars') }}
),

decisions as not materialized (
    select distinct
        backtest_id,
        dt
    from weights
),

members as not materialized (
    select
        backtest_id,
        symbol,
        min(dt) as first_decision
    from weights
    group by backtest_id, symbol
),

-- The session before is that of the decision. A symbol that it does not name has the weight 0.
wanted as not materialized (
    select
        members.backtest_id,
        bars.*,
        coalesce(
            decisions.dt is not null
            and bars.volume > 0
            and bars.previous_close > 0
            and bars.previous_day_value_usd > 0
            and isfinite(bars.previous_volatility_1d),
            false
        ) as is_filled,
        coalesce(weights.weight, 0) * settings.capital_usd / bars.previous_close as target_shares,
        settings.whole_shares
    from members
    inner join settings on members.backtest_id = settings.backtest_id
    inner join bars
        on
            members.symbol = bars.symbol
            and bars.date > members.first_decision
            and bars.date <= settings.last_date
    left join decisions
        on members.backtest_id = decisions.backtest_id and bars.date - bars.nights = decisions.dt
    left join weights
        on
            members.backtest_id = weights.backtest_id
            and members.symbol = weights.symbol
            and bars.date - bars.nights = weights.dt
),

ordered as not materialized (
    select
        * exclude (target_shares),
        case
            when is_delisted then 0
            when not is_filled then null
            when whole_shares then {{ whole_shares(whole_shares('target_shares') ~ ' * split') }}
            else target_shares * split
        end as filled_shares
    from wanted
),

-- Splits of what is held while nothing is ordered: few, and each begins with the fill before it.
unordered_splits as not materialized (
    select
        backtest_id,
        symbol
    from wanted
    where not is_filled and split <> 1
    group by backtest_id, symbol
),

spans as not materialized (
    select
        ordered.backtest_id,
        ordered.symbol,
        ordered.date,
        ordered.whole_shares,
        ordered.split,
        ordered.filled_shares,
        count(ordered.filled_shares) over up_to_now as span
    from ordered
    inner join unordered_splits
        on ordered.backtest_id = unordered_splits.backtest_id and ordered.symbol = unordered_splits.symbol
    window
        up_to_now as (
            partition by ordered.backtest_id, ordered.symbol order by ordered.date
            rows between unbounded preceding and current row
        )
),

begun as not materialized (
    select
        *,
        max(filled_shares) over (partition by backtest_id, symbol, span) as first_shares,
        list(split) filter (where filled_shares is null and split <> 1) over (
            partition by backtest_id, symbol, span order by date
            rows between unbounded preceding and current row
        ) as splits
    from spans
),

split_shares as not materialized (
    select
        backtest_id,
        symbol,
        date,
        -- The linter's grammar has no lambda with two arguments.
        {{ shares_after_splits('first_shares', 'splits', 'whole_shares') }} as shares  -- noqa: PRS
    from begun
    where filled_shares is null and split <> 1 and first_shares is not null
),

anchored as not materialized (
    select
        ordered.*,
        coalesce(ordered.filled_shares, split_shares.shares) as anchor
    from ordered
    left join split_shares
        on
            ordered.backtest_id = split_shares.backtest_id
            and ordered.symbol = split_shares.symbol
            and ordered.date = split_shares.date
),

-- Every column goes through the window's sort: those that can be told from others stay behind.
followed as not materialized (
    select
        backtest_id,
        symbol,
        nights,
        open,
        close,
        split,
        dividend_usd,
        previous_close,
        previous_day_value_usd,
        previous_volatility_1d,
        anchor,
        coalesce(
            last_value(anchor ignore nulls) over (
                partition by backtest_id, symbol order by date
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as previous_shares,
        date
    from anchored
),

held as not materialized (
    select
        followed.*,
        settings.* exclude (backtest_id),
        -- Without a bar only the end of a listing sets what is held.
        followed.open is null and followed.anchor is not null as is_delisted,
        coalesce(followed.anchor, followed.previous_shares) as shares,
        case
            when settings.whole_shares then {{ whole_shares('followed.previous_shares * followed.split') }}
            else followed.previous_shares * followed.split
        end as shares_at_open
    from followed
    inner join settings on followed.backtest_id = settings.backtest_id
    where followed.previous_shares <> 0 or followed.anchor <> 0
),

traded as not materialized (
    select
        *,
        case when open is null then 0 else shares - shares_at_open end as traded_shares,
        case when open is null then 0 else abs(shares - shares_at_open) * open end as traded_usd,
        (previous_shares * split - shares_at_open) * (previous_close / split) as fraction_usd
    from held
),

priced as not materialized (
    select
        backtest_id,
        symbol,
        is_delisted,
        previous_shares,
        shares,
        traded_shares,
        open as fill_price_usd,
        close as mark_usd,
        shares * close as position_usd,
        traded_usd,
        fraction_usd,
        case when is_delisted then shares_at_open * close * (1 + delisting_return) else 0 end as delisted_usd,
        shares_at_open * dividend_usd as dividend_usd,
        traded_usd * commission + abs(traded_shares) * commission_usd_per_share as commission_usd,
        traded_usd * spread as spread_usd,
        case
            when traded_usd > 0 and impact_coefficient + permanent_coefficient > 0
                then
                    traded_usd
                    * previous_volatility_1d
                    * (
                        impact_coefficient * pow(traded_usd / previous_day_value_usd, impact_exponent)
                        + permanent_coefficient * (traded_usd / previous_day_value_usd)
                    )
            else 0
        end as impact_usd,
        traded_usd * auction as auction_usd,
        case
            when previous_shares < 0
                then
                    -previous_shares
                    * previous_close
                    * case
                        {%- for tier in range(1, 6) %}
                        when previous_day_value_usd >= borrow_from_{{ tier }} then borrow_rate_{{ tier }}
                        {%- endfor %}
                        else borrow_rate_last
                    end
                    * nights
                    / borrow_days_per_year
            else 0
        end as borrow_usd,
        date
    from traded
),

flowed as not materialized (
    select
        backtest_id,
        symbol,
        is_delisted,
        previous_shares,
        shares,
        traded_shares,
        fill_price_usd,
        mark_usd,
        position_usd,
        traded_usd,
        fraction_usd,
        delisted_usd,
        dividend_usd,
        commission_usd,
        spread_usd,
        impact_usd,
        auction_usd,
        borrow_usd,
        fraction_usd
        + delisted_usd
        + dividend_usd
        - traded_shares * coalesce(fill_price_usd, 0)
        - commission_usd
        - spread_usd
        - impact_usd
        - auction_usd
        - borrow_usd as cash_flow_usd,
        date
    from priced
)

select * from flowed
