{{ config(
    materialized='incremental',
    schema='work',
    incremental_strategy='append',
    pre_hook="{{ delete_from(affected_from()) }}"
) }}

with bars as (
    select * from {{ ref('brz_equities__bars') }}
    where date >= {{ affected_from() }}
),

accepted as (
    select bars.*
    from bars
    where bars.batch_id in (select seen.batch_id from meta.batches as seen where seen.dataset = 'equity_bars')
),

dated as (
    select
        accepted.*,
        sessions.session_index,
        accepted.known_at > sessions.decision_at as is_late
    from accepted
    inner join {{ ref('slv_calendar') }} as sessions on accepted.date = sessions.date
),

-- A value learnt after its own session's decision counts from the first session that could act on it.
late as (
    select
        dated.*,
        sessions.date as effective_date,
        sessions.session_index as effective_index
    from dated
    inner join {{ ref('slv_calendar') }} as sessions
        on dated.known_at > sessions.previous_decision_at and dated.known_at <= sessions.decision_at
    where dated.is_late
),

effective as (
    select
        *,
        date as effective_date,
        session_index as effective_index
    from dated
    where not is_late
    union all by name
    select * from late
),

revised as (
    select
        symbol,
        date
    from effective
    group by symbol, date
    having count(*) > 1
),

ranked as (
    select
        effective.symbol,
        effective.date,
        effective.ingested_at,
        row_number() over (
            partition by effective.symbol, effective.date order by effective.known_at desc, effective.ingested_at desc
        ) as age
    from effective
    inner join revised on effective.symbol = revised.symbol and effective.date = revised.date
),

versions as (
    select
        effective.symbol,
        effective.open,
        effective.high,
        effective.low,
        effective.close,
        effective.volume,
        effective.dividend_amount,
        effective.split_coefficient,
        effective.session_index,
        effective.effective_index,
        coalesce(ranked.age, 1) = 1 as is_latest,
        effective.is_late,
        effective.date,
        effective.effective_date,
        effective.known_at,
        effective.ingested_at
    from effective
    left join ranked
        on
            effective.symbol = ranked.symbol
            and effective.date = ranked.date
            and effective.ingested_at = ranked.ingested_at
)

select * from versions
order by date, symbol, known_at
