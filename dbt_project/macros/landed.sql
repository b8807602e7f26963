{% macro lake_path() -%}
    {{ env_var('TRADEML_LAKE', '../lake') }}
{%- endmacro %}

{# A source with no file yet is a typed empty relation, so that every model builds from the first minute. #}
{% macro _files_or_empty(source_name, table_name, pattern) -%}
    {%- set found = namespace(files=0, columns=[]) -%}
    {%- if execute -%}
        {%- set found.files = run_query("select count(*) from glob('" ~ pattern ~ "')").columns[0].values()[0] -%}
        {%- for node in graph.sources.values() if node.source_name == source_name and node.name == table_name -%}
            {%- set found.columns = node.columns.values() | list -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if found.files > 0 -%}
    (
        select
            {% for column in found.columns -%}
            {{ column.name }}{{ ',' if not loop.last }}
            {% endfor -%}
        from read_parquet('{{ pattern }}', union_by_name = true)
    )
    {%- else -%}
    (
        select
            {% for column in found.columns -%}
            cast(null as {{ column.data_type }}) as {{ column.name }}{{ ',' if not loop.last }}
            {% else -%}
            1 as placeholder
            {% endfor -%}
        where false
    )
    {%- endif -%}
{%- endmacro %}

{# Rows landed by `trademl ingest`: one folder a batch, made visible by one rename. #}
{% macro landed(dataset) -%}
    {{ _files_or_empty('raw', dataset, lake_path() ~ '/raw/' ~ dataset ~ '/*/rows.parquet') }}
{%- endmacro %}

{% macro landed_quarantine() -%}
    {{ _files_or_empty('raw', 'quarantine', lake_path() ~ '/raw/*/*/quarantine.parquet') }}
{%- endmacro %}

{# Prediction and evidence batches written by Python. #}
{% macro landed_batches(schema_name, table_name) -%}
    {{ _files_or_empty(schema_name ~ '_batches', table_name, lake_path() ~ '/' ~ schema_name ~ '/' ~ table_name ~ '/*.parquet') }}
{%- endmacro %}

{# The one place where the past is cut off: rows not yet known at `as_known_at` do not exist. #}
{% macro known_by_now(column='known_at') -%}
    {%- if var('as_known_at') -%}
        {{ column }} <= cast('{{ var("as_known_at") }}' as timestamp)
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#
    A batch table as SQL users see it: of each grain the row written last. Grain and columns are those that the model's yml declares, so
    the model itself is one line.
#}
{% macro latest_rows(written_at) -%}
    {#- While dbt parses, it does not know them yet. -#}
    {%- set columns = model.columns.keys() | list if execute else ['1 as parsed'] -%}
    {%- set grain = model.config.meta.grain if execute else ['1'] -%}
with batches as (
    select * from {{ landed_batches(this.schema, this.identifier) }} as landed
),

versions as (
    select
        *,
        row_number() over (
            partition by {{ grain | join(', ') }}
            order by {{ written_at }} desc nulls last
        ) as version_from_latest
    from batches
),

latest as (
    select
        {{ columns | join(',\n        ') }}
    from versions
    where version_from_latest = 1
)

select * from latest
{%- endmacro %}
