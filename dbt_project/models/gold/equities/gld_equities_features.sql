{{ config(materialized='feature_table') }}

{%- set features = equities_features() -%}
{%- set twinned = equities_features_with_twins() %}

-- Not materialized: its readers take a few columns each, and reading the table again is quicker than making a copy.
-- DuckDB joins on its own rowid in two thirds of the time of a number of ours.
with raw_features as not materialized (
    select
        *,
        rowid as row_id
    from {{ ref('slv_equity_raw_features') }}
    where date >= {{ block_from() }} and date < {{ block_to() }}
),

universe as not materialized (
    select
        *,
        coalesce(sector, '') as sector_group
    from raw_features
    where in_universe
),

sector_moments as (
    select
        date,
        sector_group,
        count(*) as n_rows,
        {%- for feature in twinned %}
        {{ cs_moments(feature.name, feature.quantum) | indent(8) }}{{ ',' if not loop.last }}
        {%- endfor %}
    from universe
    group by date, sector_group
),

-- Exact integers: the date's moments are the sum of its sectors'.
date_moments as (
    select
        date,
        sum(n_rows) as n_rows,
        {%- for feature in twinned %}
        {{ cs_pooled_moments(feature.name) | indent(8) }}{{ ',' if not loop.last }}
        {%- endfor %}
    from sector_moments
    group by date
),

by_sector as (
    select
        date,
        sector_group,
        {%- for feature in twinned %}
        {{ cs_scale(feature.name, feature.quantum) | indent(8) }}{{ ',' if not loop.last }}
        {%- endfor %}
    from sector_moments
),

by_date as (
    select
        date,
        n_rows,
        {%- for feature in twinned %}
        {{ cs_scale(feature.name, feature.quantum) | indent(8) }}{{ ',' if not loop.last }}
        {%- endfor %}
    from date_moments
),

-- A few features at a time: every window carries its whole input through a sort.
{% for group in twinned | batch(6) -%}
ranked_{{ loop.index }} as (
    select
        row_id,
        {%- for feature in group %}
        {{ cs_rank_ends(feature.name, 'date') | indent(8) }}{{ ',' if not loop.last }}
        {%- endfor %}
    from universe
),

{% endfor -%}
members as (
    select
        universe.symbol,
        universe.sector,
        universe.in_universe,
        {%- for feature in features %}
        universe.{{ feature.name }},
        {%- endfor %}
        {%- for group in twinned | batch(6) %}
        {%- set ranked = 'ranked_' ~ loop.index %}
        {%- for feature in group %}
        cast({{ cs_zscore('universe.' ~ feature.name, 'by_date') }} as float) as {{ feature.name }}_dm,
        cast(
            {{ cs_rank('universe.' ~ feature.name, ranked, 'by_date') }} as float
        ) as {{ feature.name }}_rank,
        cast({{ cs_neutralize('universe.' ~ feature.name, 'by_sector') }} as float) as {{ feature.name }}_sn,
        {%- endfor %}
        {%- endfor %}
        universe.date,
        universe.known_at
    from universe
    inner join by_date on universe.date = by_date.date
    inner join by_sector on universe.date = by_sector.date and universe.sector_group = by_sector.sector_group
    {%- for group in twinned | batch(6) %}
    inner join ranked_{{ loop.index }} on universe.row_id = ranked_{{ loop.index }}.row_id
    {%- endfor %}
),

others as (
    select
        symbol,
        sector,
        in_universe,
        {%- for feature in features %}
        {{ feature.name }},
        {%- endfor %}
        {%- for feature in twinned %}
        cast(null as float) as {{ feature.name }}_dm,
        cast(null as float) as {{ feature.name }}_rank,
        cast(null as float) as {{ feature.name }}_sn,
        {%- endfor %}
        date,
        known_at
    from raw_features
    where not in_universe
),

combined as (
    select * from members
    union all
    select * from others
)

select * from combined
