{#
    The 48 columns of a window, as a list of CTEs that ends with `crossed`: address, the columns, snapshot_date, known_at. `relation` has the 18
    features capped and filled, date, address and known_at.
#}
{% macro trader_cross_section(relation) -%}
    {%- set twinned = trader_twinned() -%}
    extended as materialized (
        select
            address,
            {%- for feature in trader_features() %}
            {{ feature.name }},
            {%- endfor %}
            {%- for feature in trader_extra_features() %}
            {{ feature.sql }} as {{ feature.name }},
            {%- endfor %}
            row_number() over () as row_id,
            date,
            known_at
        from {{ relation }}
    ),

    moments as (
        select
            date,
            count(*) as n_rows,
            {%- for feature in twinned %}
            {{ cs_moments(feature.name, feature.quantum) | indent(12) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from extended
        group by date
    ),

    scale as (
        select
            date,
            n_rows,
            {%- for feature in twinned %}
            {{ cs_scale(feature.name, feature.quantum, many=true) | indent(12) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from moments
    ),

    {#- Few columns each, chosen first: a window carries every column of its input through its sort, those that nobody reads too. #}

    {% for group in twinned | batch(3) -%}
    ranked_{{ loop.index }} as (
        select
            row_id,
            {%- for feature in group %}
            {{ cs_rank_ends(feature.name, 'date') | indent(12) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from (select row_id, date, {{ group | join(', ', attribute='name') }} from extended) as narrow
    ),

    {% endfor -%}
    crossed as (
        select
            extended.address,
            {%- for group in twinned | batch(3) %}
            {%- set ranked = 'ranked_' ~ loop.index %}
            {%- for feature in group %}
            {{ cs_zscore('extended.' ~ feature.name, 'scale') }} as {{ feature.name }}_dm,
            {{ cs_rank('extended.' ~ feature.name, ranked, 'scale') }} as {{ feature.name }}_rank,
            {%- endfor %}
            {%- endfor %}
            extended.date as snapshot_date,
            extended.known_at
        from extended
        inner join scale on extended.date = scale.date
        {%- for group in twinned | batch(3) %}
        inner join ranked_{{ loop.index }} on extended.row_id = ranked_{{ loop.index }}.row_id
        {%- endfor %}
    )
{%- endmacro %}
