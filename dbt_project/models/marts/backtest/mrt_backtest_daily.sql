{#
    Sums are of whole numbers of 1e-8 USD, so they do not depend on threads.
#}
{%- set amounts = [
    'traded_usd', 'fraction_usd', 'delisted_usd', 'dividend_usd', 'commission_usd', 'spread_usd', 'impact_usd', 'auction_usd',
    'borrow_usd', 'cash_flow_usd'
] -%}
with positions as not materialized (
    select * from {{ ref('mrt_backtest_positions') }}
),

settings as not materialized (
    select * from {{ ref('ops_backtests') }}
),

summed as (
    select
        backtest_id,
        date,
        count(*) filter (where shares > 0) as names_long,
        count(*) filter (where shares < 0) as names_short,
        {%- for amount in amounts %}
        {{ sum_of_money(amount) }} as {{ amount }},
        {%- endfor %}
        {{ sum_of_money('position_usd') }} as net_usd,
        {{ sum_of_money('abs(position_usd)') }} as gross_usd
    from positions
    group by backtest_id, date
),

-- Every session from the first decision on, whether or not anything is held.
begun as not materialized (
    select
        backtest_id,
        min(dt) as first_decision
    from {{ ref('ops_backtest_weights') }}
    group by backtest_id
),

sessions as (
    select
        settings.backtest_id,
        settings.capital_usd,
        calendar.date
    from settings
    inner join begun on settings.backtest_id = begun.backtest_id
    inner join {{ ref('slv_calendar') }} as calendar
        on calendar.date >= begun.first_decision and calendar.date <= settings.last_date
),

filled as (
    select
        sessions.backtest_id,
        sessions.date,
        sessions.capital_usd,
        coalesce(summed.names_long, 0) as names_long,
        coalesce(summed.names_short, 0) as names_short,
        {%- for amount in amounts %}
        coalesce(summed.{{ amount }}, 0) as {{ amount }},
        {%- endfor %}
        coalesce(summed.net_usd, 0) as net_usd,
        coalesce(summed.gross_usd, 0) as gross_usd
    from sessions
    left join summed on sessions.backtest_id = summed.backtest_id and sessions.date = summed.date
),

running as (
    select
        *,
        sum(cash_flow_usd) over (
            partition by backtest_id order by date
            rows between unbounded preceding and current row
        ) as flowed
    from filled
),

stated as (
    select
        backtest_id,
        cast(names_long as integer) as names_long,
        cast(names_short as integer) as names_short,
        capital_usd + {{ from_money('flowed + net_usd') }} as equity_usd,
        capital_usd + {{ from_money('flowed') }} as cash_usd,
        {{ from_money('gross_usd') }} as gross_usd,
        {{ from_money('net_usd') }} as net_usd,
        {%- for amount in amounts %}
        {{ from_money(amount) }} as {{ amount }},
        {%- endfor %}
        date
    from running
)

select * from stated
