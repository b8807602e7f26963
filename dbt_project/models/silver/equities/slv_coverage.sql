{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_from(affected_from()) }}"
) }}

with bars as (
    select * from {{ ref('slv_equity_bars') }}
    where date >= {{ sessions_before_affected(20) }}
),

horizon as (
    select max(session_index) as last_index from {{ ref('slv_equity_bars') }}
),

sessions as (
    select
        date,
        session_index
    from {{ ref('slv_calendar') }}
    where
        date >= greatest({{ affected_from() }}, (select min(date) from {{ ref('slv_equity_bars') }}))
        and session_index <= (select last_index from horizon)
),

followed as (
    select
        symbol,
        session_index,
        lead(session_index) over (partition by symbol order by session_index) as next_index
    from bars
),

-- A symbol that stopped is still expected until its absence makes it count as delisted.
absences as (
    select
        followed.symbol,
        sessions.date
    from followed
    cross join horizon
    inner join sessions
        on
            sessions.session_index > followed.session_index
            and sessions.session_index < coalesce(followed.next_index, horizon.last_index + 1)
            and sessions.session_index < followed.session_index + {{ var('delisted_after_sessions') }}
    where coalesce(followed.next_index, horizon.last_index + 1) > followed.session_index + 1
),

has_membership as (
    select count(*) > 0 as is_known from {{ ref('slv_universe_members') }}
),

expected as (
    select
        bars.date,
        bars.symbol,
        true as is_present,
        bars.is_flagged,
        case
            when bars.flag_split_mismatch then 'split mismatch'
            when bars.flag_jump then 'jump'
            when bars.flag_stale then 'stale'
            when bars.flag_zero_volume then 'zero volume'
        end as flag
    from bars
    where bars.is_member and bars.date >= {{ affected_from() }}
    union all
    select
        absences.date,
        absences.symbol,
        false as is_present,
        false as is_flagged,
        null as flag
    from absences
    cross join has_membership
    left join {{ ref('slv_universe_members') }} as members
        on absences.symbol = members.symbol and absences.date = members.date
    where members.symbol is not null or not has_membership.is_known
),

counted as (
    select
        date,
        count(*) as expected,
        count_if(is_present and not is_flagged) as present,
        count_if(not is_present) as absent,
        count_if(is_flagged) as flagged,
        list_sort(list(symbol) filter (where not is_present)) as absent_symbols,
        list_sort(list(flag || ' ' || symbol) filter (where is_flagged)) as flagged_symbols
    from expected
    group by date
),

universe as (
    select
        date,
        count(*) as universe_members
    from {{ ref('slv_universe_members') }}
    where date >= {{ affected_from() }}
    group by date
),

graded as (
    select
        'equity_bars' as dataset,
        coalesce(counted.expected, 0) as expected,
        coalesce(counted.present, 0) as present,
        coalesce(counted.absent, 0) as absent,
        coalesce(counted.flagged, 0) as flagged,
        coalesce(universe.universe_members, counted.expected, 0) as universe_members,
        counted.present / nullif(cast(counted.expected as double), 0) as coverage_ratio,
        (counted.expected - counted.absent)
        / nullif(cast(coalesce(universe.universe_members, counted.expected) as double), 0) as universe_coverage,
        case
            when coalesce(counted.expected, 0) = 0 then 'RED'
            when counted.present >= {{ var('coverage_green') }} * counted.expected then 'GREEN'
            when counted.present >= {{ var('coverage_amber') }} * counted.expected then 'AMBER'
            else 'RED'
        end as status,
        case
            when coalesce(counted.expected, 0) = 0 then 'no landed member is expected'
            else concat_ws(
                '; ',
                case
                    when counted.absent > 0
                        then 'absent ' || counted.absent || ': ' || array_to_string(counted.absent_symbols[1:10], ' ')
                            || case when counted.absent > 10 then ' ...' else '' end
                end,
                case
                    when counted.flagged > 0
                        then 'flagged ' || counted.flagged || ': '
                            || array_to_string(counted.flagged_symbols[1:10], ', ')
                            || case when counted.flagged > 10 then ' ...' else '' end
                end
            )
        end as reasons,
        sessions.date
    from sessions
    left join counted on sessions.date = counted.date
    left join universe on sessions.date = universe.date
)

select * from graded
order by date
