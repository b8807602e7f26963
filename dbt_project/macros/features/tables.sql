{#
    The feature tables: a gold model each, with one row per symbol and session with a bar. All but the core are built only when the variable
    `feature_tables` of dbt_project.yml names them.
#}
{% macro feature_tables() -%}
    {{ return([
        {'name': 'equities_features', 'features': equities_features, 'columns': equities_feature_columns, 'twins': ['dm', 'rank', 'sn']},
        {'name': 'equities_alpha158', 'features': alpha158_features, 'twins': []},
        {'name': 'equities_alpha360', 'features': alpha360_features, 'twins': []},
        {'name': 'equities_risk', 'features': risk_features, 'columns': risk_feature_columns, 'twins': risk_twins()}
    ]) }}
{%- endmacro %}

{# The definitions of one table, in column order. #}
{% macro features_of(table) -%}
    {%- for one in feature_tables() if one.name == table -%}
        {{ return(one.features()) }}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error('there is no feature table ' ~ table ~ '; there are ' ~ feature_tables() | map(attribute='name') | join(', ')) }}
{%- endmacro %}

{% macro feature_table_is_built(table) -%}
    {%- set known = feature_tables() | map(attribute='name') | list -%}
    {%- for asked in var('feature_tables') if asked not in known -%}
        {{ exceptions.raise_compiler_error(
            "dbt_project.yml: feature_tables names '" ~ asked ~ "', which is none of " ~ known | join(', ') ~ ". Remedy: correct the name or take it out"
        ) }}
    {%- endfor -%}
    {{ return(table == 'equities_features' or table in var('feature_tables')) }}
{%- endmacro %}

{# What the columns of a table have in common beside their own expressions: a change of it makes all of them again. #}
{% macro features_salt(table) -%}
    {%- if table == 'equities_alpha158' -%}{{ return(window_sums('panel')) }}{%- endif -%}
    {%- if table == 'equities_risk' -%}{{ return(cs_twins('universe', risk_features() | selectattr('quantum') | list, risk_twins(), factors=risk_factors())) }}{%- endif -%}
    {%- if table == 'equities_alpha360' -%}{{ return(aligned_bars('panel', 59)) }}{%- endif -%}
    {{ return('') }}
{%- endmacro %}
