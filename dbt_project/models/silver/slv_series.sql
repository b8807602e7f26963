{{ config(materialized='table') }}

with versions as (
    select * from {{ ref('brz_reference__series') }}
),

latest as (
    select
        series,
        date,
        max_by(value, ingested_at) as value,
        max(known_at) as known_at
    from versions
    group by series, date
)

select * from latest
order by date, series
