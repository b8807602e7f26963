{{ config(materialized='table') }}

with sessions as (
    select
        date,
        open_at,
        close_at
    from {{ ref('brz_reference__sessions') }}
    where calendar = '{{ var("calendar") }}'
),

numbered as (
    select
        date,
        cast(row_number() over (order by date) as integer) as session_index,
        open_at,
        close_at,
        close_at + interval 15 minute as decision_at,
        lag(close_at + interval 15 minute) over (order by date) as previous_decision_at
    from sessions
)

select * from numbered
order by date
