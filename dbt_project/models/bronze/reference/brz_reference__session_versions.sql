{{ config(enabled=feature_table_is_built('equities_risk')) }}

with landed as (
    select * from {{ landed('calendar') }}
),

-- Every version of a session, by the time from which it was known; one without open and close says that there is none.
versions as (
    select
        calendar,
        date,
        open_at,
        close_at,
        known_at,
        lead(known_at) over (partition by calendar, date order by known_at, ingested_at) as superseded_at
    from landed
)

select * from versions
