{{ config(materialized='table') }}

with versions as (
    select
        symbol,
        sector,
        name,
        known_at,
        lead(known_at) over (partition by symbol order by known_at, ingested_at) as superseded_at,
        assumption
    from {{ ref('brz_equities__reference') }}
    where batch_id in (select seen.batch_id from meta.batches as seen where seen.dataset = 'reference')
)

select * from versions
order by symbol, known_at
