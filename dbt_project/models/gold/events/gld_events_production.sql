{{ config(materialized='table') }}

-- The events of the version that `trademl events curate` made production, as its files have them; empty before that.
with curated as (
    {{ curated_events() }}
)

select * from curated
order by date, symbol, ts_ns, event_id
