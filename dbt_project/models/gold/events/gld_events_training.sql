{{ config(materialized='view') }}

-- One row per event and head whose label is known; features are joined from gold.events_features.
with heads as (
    {%- for name, sql in event_heads() %}
    select
        event_id,
        '{{ name }}' as label,
        outcome,
        cast({{ sql }} as double) as value,
        resolved_at
    from {{ ref('gld_events_labels') }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- Several levels at one price are one touch told several times.
told as (
    select
        event_id,
        symbol,
        date,
        known_at,
        1 / cast(count(*) over (partition by symbol, ts_ns) as double) as uniqueness_weight
    from {{ ref('gld_events_features') }}
),

weighted as (
    select
        *,
        pow(
            2,
            (date - cast('{{ var("time_decay_epoch") }}' as date))
            / cast({{ var('time_decay_half_life_days') }} as double)
        ) as time_decay_weight
    from told
),

joined as (
    select
        weighted.event_id,
        weighted.symbol,
        heads.label,
        heads.outcome,
        coverage.status as coverage_status,
        cast(null as varchar) as regime,
        heads.value,
        weighted.time_decay_weight,
        weighted.uniqueness_weight,
        weighted.time_decay_weight * weighted.uniqueness_weight as sample_weight,
        weighted.date,
        weighted.date as label_end_date,
        heads.resolved_at,
        weighted.known_at
    from weighted
    inner join heads on weighted.event_id = heads.event_id
    left join {{ ref('slv_event_coverage') }} as coverage on weighted.date = coverage.date
    where heads.value is not null
)

select * from joined
