{{ config(materialized='view') }}

-- Traders have no sessions: every day counts, and its decision is made when the UTC day ends. The days after the last
-- one with fills are there for labels that end on them.
with bounds as (
    select
        min(date) as first_date,
        max(date) + 31 as last_date
    from {{ ref('slv_trader_days') }}
),

days as (
    select first_date + cast(unnest(range(last_date - first_date + 1)) as integer) as date
    from bounds
)

select
    date,
    cast(date - cast('2000-01-01' as date) as integer) as session_index,
    cast(date as timestamp) as open_at,
    cast(date + 1 as timestamp) as close_at,
    cast(date + 1 as timestamp) as decision_at
from days
