{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_outside_window() }}"
) }}

-- Everything that the features of a new session are computed from, and no more: what a scoring device is sent.
with versions as (
    select * from {{ ref('slv_equity_bar_versions') }}
),

newest as (
    select distinct date from versions
    order by date desc
    limit {{ var('released_sessions') }}
),

placed as (
    select
        versions.symbol,
        bars.sector,
        coalesce(bars.is_member, false) as is_member,
        versions.open,
        versions.high,
        versions.low,
        versions.close,
        versions.volume,
        versions.dividend_amount,
        versions.split_coefficient,
        versions.session_index,
        versions.effective_index,
        versions.is_latest,
        versions.is_late,
        versions.date,
        versions.effective_date,
        versions.known_at,
        versions.ingested_at
    from versions
    inner join newest on versions.date = newest.date
    left join {{ ref('slv_equity_bars') }} as bars on versions.symbol = bars.symbol and versions.date = bars.date
    where versions.date >= {{ affected_from() }}
)

select * from placed
order by date, symbol, known_at, ingested_at
