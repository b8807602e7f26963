{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_from(affected_from()) }}"
) }}

with origins as (
    select * from {{ ref('brz_equities__bar_origins') }}
    where date >= {{ affected_from() }}
),

accepted as (
    select
        origins.symbol,
        origins.batch_id,
        origins.file,
        origins.line,
        origins.date,
        origins.known_at,
        origins.ingested_at
    from origins
    inner join {{ ref('slv_calendar') }} as sessions on origins.date = sessions.date
    where origins.batch_id in (select seen.batch_id from meta.batches as seen where seen.dataset = 'equity_bars')
)

select * from accepted
order by date, symbol, ingested_at
