with positions as (
    select * from {{ ref('mrt_backtest_positions') }}
),

traded as (
    select
        backtest_id,
        symbol,
        traded_shares as shares,
        fill_price_usd,
        traded_usd,
        commission_usd,
        spread_usd,
        impact_usd,
        auction_usd,
        commission_usd + spread_usd + impact_usd + auction_usd as cost_usd,
        date
    from positions
    where traded_shares <> 0
)

select * from traded
