{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_from(affected_from()) }}"
) }}

with panel as (
    select * from {{ ref('slv_equity_panel') }}
    where is_live and session_index < ends_before and in_universe and date >= {{ affected_from() }}
),

-- The equal-weighted return of the universe, as known on the date and never restated.
market as (
    select
        count(*) as members,
        cast(round(cast(sum(log_return) as double) / count(*)) as bigint) as market_return,
        cast(session_index as integer) as session_index,
        date
    from panel
    group by session_index, date
)

select * from market
order by date
