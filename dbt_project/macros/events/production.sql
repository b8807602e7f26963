{#
    The version of the event features that the last decision of `trademl events curate` made production; none: no decision did. Decisions
    are append-only batches of ops.promotions; what follows from them is read from the files, as one layer never reads a higher one.
#}
{% macro curated_version() -%}
    {%- set found = namespace(version=none) -%}
    {%- if execute -%}
        {%- set decisions -%}
            select run_id from {{ landed_batches('ops', 'promotions') }} as promotions
            where
                sleeve = 'events.features'
                and bar = 'decision'
                and verdict in ('promoted', 'overridden', 'rolled_back')
                and {{ known_by_now('recorded_at') }}
            order by sequence desc
            limit 1
        {%- endset -%}
        {%- set answer = run_query(decisions).columns[0].values() -%}
        {%- if answer | length > 0 -%}{%- set found.version = answer[0] -%}{%- endif -%}
    {%- endif -%}
    {{ return(found.version) }}
{%- endmacro %}

{# Its events in the columns that the model declares: NULL where the version does not have one. #}
{% macro curated_events() -%}
    {%- set version = curated_version() -%}
    {%- set have = [] -%}
    {%- set pattern = lake_path() ~ '/silver/features/' ~ version ~ '/date=*/events.parquet' -%}
    {%- if version is not none -%}
        {%- if run_query("select count(*) from glob('" ~ pattern ~ "')").columns[0].values()[0] == 0 -%}
            {{ exceptions.raise_compiler_error(
                'the curated version ' ~ version ~ ' has no files ' ~ pattern ~ ': restore them, or roll back with '
                ~ '`trademl events curate --rollback --reason TEXT`'
            ) }}
        {%- endif -%}
        {%- set described = run_query(
            "describe select * from read_parquet('" ~ pattern ~ "', hive_partitioning = false)"
        ) -%}
        {%- do have.extend(described.columns[0].values()) -%}
    {%- endif -%}
    select
        {%- for column in (model.columns.values() | list if execute else []) %}
        {%- if column.name == 'version' %}
        cast({{ "'" ~ version ~ "'" if version is not none else 'null' }} as varchar) as version
        {%- elif column.name in have %}
        cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }}
        {%- else %}
        cast(null as {{ column.data_type }}) as {{ column.name }}
        {%- endif %}{{ ',' if not loop.last }}
        {%- else %}
        1 as placeholder
        {%- endfor %}
    {%- if version is not none %}
    from read_parquet('{{ pattern }}', hive_partitioning = false)
    {%- else %}
    where false
    {%- endif %}
{%- endmacro %}
