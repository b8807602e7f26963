{{ config(materialized='table') }}

-- One row per event: what trades, quotes, books and chains said before it was confirmed.
with touches as (
    select * from {{ ref('slv_event_touches') }}
),

measured as (
    {{ event_microstructure('touches') | indent(4) }}
)

select * from measured
order by event_id
