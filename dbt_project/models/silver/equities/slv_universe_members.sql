{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_from(affected_from()) }}"
) }}

with spells as (
    select
        symbol,
        start_date,
        end_date,
        known_at,
        lead(known_at) over (partition by symbol, start_date order by known_at, ingested_at) as superseded_at
    from {{ ref('brz_equities__membership') }}
    where batch_id in (select seen.batch_id from meta.batches as seen where seen.dataset = 'membership')
),

sessions as (
    select
        date,
        decision_at
    from {{ ref('slv_calendar') }}
    where
        date >= greatest(
            {{ affected_from() }}, (select min(bars.date) from {{ ref('slv_equity_bar_versions') }} as bars)
        )
        and date <= (select max(bars.date) from {{ ref('slv_equity_bar_versions') }} as bars)
),

-- Each session sees the spells as they were known at its own decision; the end date itself is no longer a member's day.
members as (
    select distinct
        spells.symbol,
        sessions.date
    from spells
    inner join sessions
        on
            sessions.date >= spells.start_date
            and (spells.end_date is null or sessions.date < spells.end_date)
            and spells.known_at <= sessions.decision_at
            and (spells.superseded_at is null or spells.superseded_at > sessions.decision_at)
)

select * from members
order by date, symbol
