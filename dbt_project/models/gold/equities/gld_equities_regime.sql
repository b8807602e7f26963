{{ config(materialized='table') }}

with market as (
    select * from {{ ref('slv_equity_market') }}
),

-- Annualised sample volatility of the universe's equal-weighted return over 20 sessions, in float to make ties exact.
volatile as (
    select
        date,
        session_index,
        case
            when count(*) over last_20 = 20
                then cast(
                    sqrt(
                        252 * {{ fixed_variance(
                            20,
                            'cast(sum(market_return) over last_20 as hugeint)',
                            'cast(sum(cast(market_return as hugeint) * market_return) over last_20 as hugeint)'
                        ) }}
                    ) / 1e12 as float
                )
        end as market_volatility
    from market
    window last_20 as (order by session_index rows between 19 preceding and current row)
),

listed as (
    select
        date,
        market_volatility,
        list(market_volatility) over (order by session_index rows between 251 preceding and current row) as last_year
    from volatile
),

-- Where today's volatility stands in its own trailing year: known at the date, and blind to what comes later.
placed as (
    select
        date,
        market_volatility,
        len(list_filter(last_year, lambda value: value is not null)) as sessions,
        len(list_filter(last_year, lambda value: value <= market_volatility)) as not_above
    from listed
),

graded as (
    select
        case
            when market_volatility is null or sessions < 232 then null
            when not_above * 3 <= sessions then 'low'
            when not_above * 3 <= sessions * 2 then 'mid'
            else 'high'
        end as regime,
        market_volatility,
        date
    from placed
)

select * from graded
order by date
