{{ config(materialized='view') }}

{%- set parts = trader_composite_parts() %}

with scored as (
    select
        address,
        {%- for part in parts %}
        {{ '1 - ' if part.sign < 0 }}{{ part.name }}_rank as {{ part.name }}_part,
        {%- endfor %}
        snapshot_date as as_of,
        known_at
    from {{ ref('gld_traders_windows') }}
),

summed as (
    select
        *,
        round(
            {%- for part in parts %}
            {{ part.weight }}e0 * {{ part.name }}_part{{ ' +' if not loop.last }}
            {%- endfor %},
            12
        ) as composite_score
    from scored
)

select
    address,
    rank() over (partition by as_of order by composite_score desc) as composite_rank,
    composite_score,
    {%- for part in parts %}
    {{ part.name }}_part,
    {%- endfor %}
    count(*) over (partition by as_of) as n_traders,
    as_of,
    known_at
from summed
