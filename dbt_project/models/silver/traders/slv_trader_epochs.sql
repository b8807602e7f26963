{{ config(
    materialized='incremental',
    incremental_strategy='append',
    schema='work',
    pre_hook="{{ delete_trader_rows() }}"
) }}

-- Stretches of dates in which the known past of a trader is one and the same: a new one begins where a row that came
-- late counts for the first time. A trader without late rows, which is nearly every one, has one.
with landed as (
    select
        address,
        date,
        {{ trader_effective_date() }} as effective_date
    from {{ ref('brz_traders__fills') }}
    where {{ traders_have_news() }}
    union all
    select
        address,
        date,
        {{ trader_effective_date() }} as effective_date
    from {{ ref('brz_traders__days') }}
    where {{ traders_have_news() }}
),

starts as (
    select
        address,
        case when effective_date > date then effective_date else cast('1900-01-01' as date) end as starts_at
    from landed
    union
    select
        address,
        cast('1900-01-01' as date) as starts_at
    from landed
),

epochs as (
    select
        address,
        starts_at,
        coalesce(
            lead(starts_at) over (partition by address order by starts_at), cast('9999-12-31' as date)
        ) as ends_before
    from starts
)

select * from epochs
order by address, starts_at
