{#
    Two of dbt's materializations in fewer statements: on a day without much news dbt's own took longer than the work.

    A view is made by the one statement that puts a new one in the place of the old. dbt's own way, for databases that cannot, makes another
    view in a transaction, renames both and drops the first.
#}
{% materialization view, adapter='duckdb' -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if existing is not none and not existing.is_view -%}{%- do adapter.drop_relation(existing) -%}{%- endif -%}
    {%- call statement('main', auto_begin=False) -%}
        {%- if config.get('contract').enforced -%}{{ get_assert_columns_equivalent(sql) }}{%- endif %}
        create or replace view {{ target }} as ({{ sql }})
    {%- endcall -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{%- endmaterialization %}

{#
    An incremental table whose definition is that of the last good build, its contract checked then, takes the rows as they come: dbt's own way
    writes them to another table first and compares the columns of the two. Any other case is left to dbt; a table that only feature tables read is
    made again whenever one of them gets columns, since its own columns may be others too.
#}
{% materialization incremental, adapter='duckdb', supported_languages=['sql', 'python'] -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set is_plain = model.language == 'sql' and config.get('incremental_strategy') == 'append' and not should_full_refresh() -%}
    {%- if existing is not none and serves_new_columns() -%}{{ return(dbt.materialization_table_duckdb()) }}{%- endif -%}
    {%- if existing is none or not existing.is_table or not is_plain or not is_as_last_built() -%}
        {{ return(dbt.materialization_incremental_duckdb()) }}
    {%- endif -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- set columns = [] -%}
    {%- for column in adapter.get_columns_in_relation(existing) -%}{%- do columns.append(column.quoted) -%}{%- endfor -%}
    {%- call statement('main') -%}
        insert into {{ existing }} ({{ columns | join(', ') }}) select {{ columns | join(', ') }} from ({{ sql }}) as model_subq
    {%- endcall -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [existing]}) }}
{%- endmaterialization %}

{# Whether this build changes some dates only: then the definitions are those of the last good build. #}
{% macro is_as_last_built() -%}
    {%- set rows = run_query("select affected_from from meta.builds where build_id = '" ~ invocation_id ~ "'").rows -%}
    {{ return(rows | length > 0 and rows[0][0] is not none) }}
{%- endmacro %}

{# Whether only feature tables read this model, and one of them is filled with new columns over all dates. #}
{% macro serves_new_columns() -%}
    {{ return(run_query(
        "select count(*) from meta.private_models inner join meta.feature_plans using (table_name) where unique_id = '" ~ model.unique_id
        ~ "' and action <> 'dates'"
    ).columns[0].values()[0] > 0) }}
{%- endmacro %}
