{#
    The same measures as trademl.validation.performance. Sums follow the sessions, so they do not depend on threads.
#}
with returns as (
    select * from {{ ref('mrt_path_returns') }}
),

-- Wealth starts at 1 and compounds. A loss of everything leaves next to nothing, so that its logarithm exists.
compounded as (
    select
        *,
        exp(sum(ln(greatest(1 + net_return, 1e-300))) over up_to_now) as wealth
    from returns
    window
        up_to_now as (
            partition by run_id, path_id, horizon, strategy order by date
            rows between unbounded preceding and current row
        )
),

peaked as (
    select
        *,
        greatest(1, max(wealth) over up_to_now) as peak
    from compounded
    window
        up_to_now as (
            partition by run_id, path_id, horizon, strategy order by date
            rows between unbounded preceding and current row
        )
),

measured as (
    select
        run_id,
        path_id,
        horizon,
        strategy,
        count(*) as sessions,
        avg(gross_return order by date) as gross_mean,
        avg(net_return order by date) as net_mean,
        min(gross_return) < max(gross_return) as gross_varies,
        min(net_return) < max(net_return) as net_varies,
        stddev_samp(gross_return order by date) as gross_deviation,
        stddev_samp(net_return order by date) as net_deviation,
        max(1 - wealth / peak) as max_drawdown,
        sum(greatest(net_return, 0) order by date) as gains,
        sum(greatest(-net_return, 0) order by date) as losses,
        avg(turnover order by date) as mean_turnover,
        sum(case when turnover_breach then 1 else 0 end) as turnover_breaches,
        sum(cost order by date) as total_cost
    from peaked
    group by run_id, path_id, horizon, strategy
),

annualised as (
    select
        run_id,
        strategy,
        path_id,
        horizon,
        sessions,
        cast(turnover_breaches as bigint) as turnover_breaches,
        252 * gross_mean as gross_annual_mean,
        case when gross_varies then sqrt(252) * gross_mean / gross_deviation end as gross_sharpe,
        252 * net_mean as annual_mean,
        sqrt(252) * net_deviation as annual_volatility,
        case when net_varies then sqrt(252) * net_mean / net_deviation end as sharpe,
        cast(max_drawdown as double) as max_drawdown,
        cast(gains / nullif(losses, 0) as double) as profit_factor,
        cast(mean_turnover as double) as mean_turnover,
        cast(total_cost as double) as total_cost
    from measured
)

select * from annualised
