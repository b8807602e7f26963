with landed as (
    select * from {{ landed('calendar') }}
),

-- A calendar is published ahead of its sessions, so it is not cut at as_known_at; later batches restate earlier ones.
latest as (
    select
        calendar,
        date,
        max_by(open_at, ingested_at) as open_at,
        max_by(close_at, ingested_at) as close_at
    from landed
    group by calendar, date
)

select * from latest
