{{ config(materialized='table') }}

{%- set meanings = twin_meanings() -%}
{%- set rows = [] -%}
{%- for table in feature_tables() -%}
    {%- set is_built = feature_table_is_built(table.name) -%}
    {%- for feature in features_of(table.name) -%}
        {%- set definition = feature_definition(table, feature) -%}
        {%- for suffix in feature_suffixes(table, feature) -%}
            {%- set meaning, unit = meanings[suffix] if suffix else ['', feature.unit] -%}
            {%- do rows.append([
                table.name,
                feature.name ~ suffix,
                table.name.split('_')[0],
                feature.family,
                meaning ~ feature.formula,
                unit,
                feature.sources,
                feature.quantum if feature.quantum else '',
                '' if suffix else feature.alias,
                meaning ~ feature.description if feature.description else '',
                feature.version,
                column_definition(definition, feature, suffix),
                feature.window,
                feature.lookback,
                is_built
            ] | join('\t') | replace("'", "''")) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endfor %}

-- One literal a row, its fields divided by tabs: nine thousand literals, or a select for each column, take longer to
-- plan than many a build has.
with listed as (
    select listed.fields from (
        values
        {% for row in rows -%}
        ('{{ row }}'){{ ',' if not loop.last }}
        {% endfor -%}
    ) as listed (fields)
),

catalogue as (
    select
        split_part(fields, chr(9), 1) as table_name,
        split_part(fields, chr(9), 2) as name,
        split_part(fields, chr(9), 3) as sleeve,
        split_part(fields, chr(9), 4) as family,
        split_part(fields, chr(9), 5) as formula,
        split_part(fields, chr(9), 6) as unit,
        split_part(fields, chr(9), 7) as source_columns,
        split_part(fields, chr(9), 8) as quantum,
        split_part(fields, chr(9), 9) as alias,
        split_part(fields, chr(9), 10) as description,
        split_part(fields, chr(9), 11) as version,
        sha256(split_part(fields, chr(9), 12)) as sql_sha256,
        cast(split_part(fields, chr(9), 13) as integer) as window_sessions,
        cast(split_part(fields, chr(9), 14) as integer) as lookback_sessions,
        split_part(fields, chr(9), 15) = 'True' as is_built
    from listed
)

select * from catalogue
order by table_name, name
