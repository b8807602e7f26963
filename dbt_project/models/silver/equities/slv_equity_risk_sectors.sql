{{ config(
    materialized='incremental',
    incremental_strategy='append',
    enabled=feature_table_is_built('equities_risk'),
    pre_hook="{{ delete_from(affected_from()) }}"
) }}

with panel as (
    select * from {{ ref('slv_equity_panel') }}
    where
        is_live
        and session_index < ends_before
        and in_universe
        and sector is not null
        and date >= {{ affected_from() }}
),

-- The equal-weighted return of each sector's universe members, as known on the date and never restated.
sectors as (
    select
        sector,
        count(*) as members,
        cast(round(cast(sum(log_return) as double) / count(*)) as bigint) as sector_return,
        cast(session_index as integer) as session_index,
        date
    from panel
    group by sector, session_index, date
)

select * from sectors
order by date, sector
