{{ config(
    materialized='incremental',
    incremental_strategy='append',
    enabled=feature_table_is_built('equities_risk'),
    pre_hook="{{ delete_from(risk_sessions_from(0)) }}"
) }}

{%- set factors = fama_french_factors() -%}
{#- Closures of XNYS that no published calendar had: sessions were planned on these days until they came. #}
{%- set unplanned_closures = [
    '1963-11-25', '1968-04-09', '1969-02-10', '1969-03-31', '1969-07-21', '1972-12-28', '1973-01-25', '1977-07-14',
    '1985-09-27', '1994-04-27', '2001-09-11', '2001-09-12', '2001-09-13', '2001-09-14', '2004-06-11', '2007-01-02',
    '2012-10-29', '2012-10-30', '2018-12-05', '2025-01-09'
] %}

-- By this the build learns that new values of series change the table: depends_on: {{ ref('slv_series') }}
with calendar as (
    select
        date,
        session_index,
        decision_at,
        cast(row_number() over (partition by date_trunc('month', date) order by date) as integer) as month_session,
        lag(date) over (order by date) as previous_date
    from {{ ref('slv_calendar') }}
),

bars as (
    select
        min(sessions.session_index) as first_index,
        max(sessions.session_index) as last_index
    from {{ ref('slv_equity_bar_versions') }} as versions
    inner join {{ ref('slv_calendar') }} as sessions on versions.date = sessions.date
),

-- Those that this build replaces and the 251 before them, which the regimes look back on.
sessions as materialized (
    select calendar.*
    from calendar
    cross join bars
    where
        calendar.date >= {{ risk_sessions_from(251) }}
        and calendar.session_index >= bars.first_index - 251
        and calendar.session_index <= bars.last_index
),

planned as (
    select
        date,
        known_at,
        superseded_at
    from {{ ref('brz_reference__session_versions') }}
    where calendar = '{{ var("calendar") }}' and close_at is not null
    {%- if var('calendar') == 'XNYS' %}
    union all
    select
        cast(closed.date as date) as date,
        cast('1970-01-01' as timestamp) as known_at,
        cast(closed.date as timestamp) as superseded_at
    from (
        values
        {%- for day in unplanned_closures %}
        ('{{ day }}'){{ ',' if not loop.last }}
        {%- endfor %}
    ) as closed (date)
    {%- endif %}
),

months as (
    select distinct cast(date_trunc('month', date) as date) as month_start from calendar
),

third_fridays as (
    select
        month_start,
        cast(month_start + interval 14 day + ((12 - isodow(month_start)) % 7) * interval 1 day as date) as third_friday
    from months
),

expiring as (
    select
        sessions.session_index,
        min(third_fridays.third_friday) as expiry
    from sessions
    inner join third_fridays
        on
            third_fridays.third_friday >= sessions.date
            and third_fridays.month_start <= sessions.date + interval 40 day
    group by sessions.session_index
),

-- The sessions ahead as the exchange had planned them at the decision.
ahead as (
    select
        sessions.session_index,
        min(planned.date) as next_date,
        {%- for period in ['month', 'quarter'] %}
        count(
            distinct case
                when date_trunc('{{ period }}', planned.date) = date_trunc('{{ period }}', sessions.date)
                    then planned.date
            end
        ) as left_in_{{ period }},
        {%- endfor %}
        count(distinct case when planned.date <= expiring.expiry then planned.date end) as left_to_expiry
    from sessions
    inner join expiring on sessions.session_index = expiring.session_index
    inner join planned
        on
            planned.date > sessions.date
            and planned.date <= sessions.date + interval 100 day
            and planned.known_at <= sessions.decision_at
            and (planned.superseded_at is null or planned.superseded_at > sessions.decision_at)
    group by sessions.session_index
),

codes as (
    select
        0 as code,
        'VIX' as series
    {%- for series in factors.values() %}
    union all
    select
        {{ loop.index }} as code,
        '{{ series }}' as series
    {%- endfor %}
),

-- Every version of every value, by the time from which it was known.
series as materialized (
    select
        codes.code,
        days.session_index,
        versions.value,
        case when codes.code > 0 and versions.value > -100 then {{ to_fixed('ln(1 + versions.value / 100)') }} end
            as log_return,
        versions.known_at,
        lead(versions.known_at) over (
            partition by codes.code, versions.date
            order by versions.known_at, versions.ingested_at
        ) as superseded_at
    from {{ ref('brz_reference__series') }} as versions
    inner join codes on upper(versions.series) = codes.series
    inner join calendar as days on versions.date = days.date
    where {{ is_noted('versions.batch_id', 'series') }}
),

-- Sessions are numbered from 1, so the calendar itself counts how many sessions back.
lags as (
    select session_index - 1 as lag from calendar
    where session_index <= 70
),

-- Each version beside the sessions that may look back on it, then those of them that knew it: a join of ranges would
-- take minutes.
looked_for as materialized (
    select
        series.code,
        series.session_index as value_index,
        series.known_at,
        series.superseded_at,
        series.session_index + lags.lag as session_index
    from series
    cross join lags
    where series.session_index >= (select min(session_index) - 69 from sessions)
),

newest as (
    select
        sessions.session_index,
        sessions.decision_at,
        looked_for.code,
        max(looked_for.value_index) as newest_index
    from sessions
    inner join looked_for on sessions.session_index = looked_for.session_index
    where
        looked_for.known_at <= sessions.decision_at
        and (looked_for.superseded_at is null or looked_for.superseded_at > sessions.decision_at)
    group by sessions.session_index, sessions.decision_at, looked_for.code
),

-- VIX must be fresh; a factor has a window of 60 sessions up to its newest value.
wanted as materialized (
    select
        newest.session_index,
        newest.decision_at,
        newest.code,
        newest.newest_index - lags.lag as value_index
    from newest
    cross join lags
    where
        lags.lag < case when newest.code = 0 then 1 else 60 end
        and (newest.code > 0 or newest.newest_index >= newest.session_index - 4)
),

series_known as (
    select
        wanted.session_index,
        wanted.code,
        series.value,
        series.log_return,
        series.known_at
    from wanted
    inner join series on wanted.code = series.code and wanted.value_index = series.session_index
    where
        series.known_at <= wanted.decision_at
        and (series.superseded_at is null or series.superseded_at > wanted.decision_at)
        and (series.code > 0 or series.value > 0)
),

known as (
    select
        session_index,
        max(case when code = 0 then value end) as vix,
        {%- for factor in factors %}
        count(case when code = {{ loop.index }} then log_return end) as factor_{{ factor }}_count_60,
        sum(case when code = {{ loop.index }} then cast(log_return as hugeint) end) as factor_{{ factor }}_sum_60,
        sum(case when code = {{ loop.index }} then cast(log_return as hugeint) * log_return end)
            as factor_{{ factor }}_squares_60,
        {%- endfor %}
        max(known_at) as known_at
    from series_known
    group by session_index
),

placed as materialized (
    select
        sessions.session_index,
        sessions.date,
        sessions.month_session,
        sessions.previous_date,
        known.vix,
        {{ to_fixed('ln(known.vix)') }} as log_vix,
        {%- for factor in factors %}
        known.factor_{{ factor }}_count_60,
        known.factor_{{ factor }}_sum_60,
        known.factor_{{ factor }}_squares_60,
        case when known.factor_{{ factor }}_count_60 >= {{ four_fifths(60) }} then known.factor_{{ factor }}_sum_60 end
            as factor_{{ factor }}_level,
        {%- endfor %}
        known.known_at
    from sessions
    left join known on sessions.session_index = known.session_index
),

-- Where each stands among its last 252 sessions, its own included.
ranked as (
    select
        placed.session_index,
        count(earlier.vix) as vix_count_252,
        sum(cast(earlier.log_vix as hugeint)) as vix_sum_252,
        sum(cast(earlier.log_vix as hugeint) * earlier.log_vix) as vix_squares_252,
        count(case when earlier.vix <= placed.vix then 1 end) as vix_not_above_252,
        max(case when earlier.session_index = placed.session_index - 1 then earlier.log_vix end) as log_vix_1,
        max(case when earlier.session_index = placed.session_index - 5 then earlier.log_vix end) as log_vix_5,
        {%- for factor in factors %}
        count(earlier.factor_{{ factor }}_level) as factor_{{ factor }}_known_252,
        count(case when earlier.factor_{{ factor }}_level <= placed.factor_{{ factor }}_level then 1 end)
            as factor_{{ factor }}_not_above_252,
        {%- endfor %}
        max(earlier.known_at) as known_at
    from placed
    inner join placed as earlier
        on earlier.session_index between placed.session_index - 251 and placed.session_index
    group by placed.session_index
),

dated as (
    select
        placed.session_index,
        placed.month_session,
        cast(ahead.left_in_month as integer) as left_in_month,
        cast(ahead.left_in_quarter as integer) as left_in_quarter,
        cast(ahead.left_to_expiry as integer) as left_to_expiry,
        coalesce(placed.date > {{ next_weekday('placed.previous_date') }}, false) as is_after_closure,
        ahead.next_date > {{ next_weekday('placed.date') }} as is_before_closure,
        placed.vix,
        placed.log_vix,
        ranked.log_vix_1,
        ranked.log_vix_5,
        ranked.vix_count_252,
        ranked.vix_sum_252,
        ranked.vix_squares_252,
        ranked.vix_not_above_252,
        {%- for factor in factors %}
        placed.factor_{{ factor }}_count_60,
        placed.factor_{{ factor }}_sum_60,
        placed.factor_{{ factor }}_squares_60,
        ranked.factor_{{ factor }}_known_252,
        ranked.factor_{{ factor }}_not_above_252,
        {%- endfor %}
        placed.date,
        ranked.known_at
    from placed
    left join ahead on placed.session_index = ahead.session_index
    inner join ranked on placed.session_index = ranked.session_index
    cross join bars
    where placed.date >= {{ risk_sessions_from(0) }} and placed.session_index >= bars.first_index
)

select * from dated
order by date
