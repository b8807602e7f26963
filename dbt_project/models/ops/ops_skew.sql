with batches as (
    select * from {{ landed_batches('ops', 'skew') }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by as_of, model_id, feature
            order by recorded_at desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        as_of,
        model_id,
        feature,
        mismatches,
        missing,
        extra,
        smape,
        recorded_at
    from versions
    where version_from_latest = 1
)

select * from latest
