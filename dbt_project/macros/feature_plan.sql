{#
    What a build must do to each feature table.

    A column's definition is its expression with all that the expression names; the model's own text is part of every column's. What a table was
    built from lies in meta.feature_columns, written in the transaction that fills the table. Columns whose definition is another now are filled
    over all dates and the others copied; a table whose every column has changed, or which is not there, is made anew.
#}
{% macro plan_feature_tables(affected) -%}
    {%- do run_query("create table if not exists meta.feature_columns (schema_name varchar, table_name varchar, column_name varchar, position integer, definition_sha256 varchar, built_by varchar)") -%}
    {%- do run_query("create table if not exists meta.feature_builds (build_id varchar, table_name varchar, action varchar, columns varchar, first_date date, before_date date, blocks integer)") -%}
    {%- do run_query("create or replace table meta.wanted_columns (schema_name varchar, table_name varchar, column_name varchar, position integer, is_key boolean, definition_sha256 varchar)") -%}
    {%- do run_query("create or replace table meta.private_models (unique_id varchar, table_name varchar)") -%}
    {%- set owners = owners_of_models() -%}
    {%- for model in feature_models() -%}
        {%- set own = [] -%}
        {%- for id, tables in owners.items() if model.unique_id in tables -%}{%- do own.append(graph.nodes[id]) -%}{%- endfor -%}
        {%- set rows = [] -%}
        {%- for column, text in definition_texts(model, own).items() -%}
            {%- do rows.append("('" ~ model.schema ~ "', '" ~ model.alias ~ "', '" ~ column ~ "', " ~ loop.index ~ ", "
                ~ (column in model.config.meta.grain) ~ ", sha256('" ~ text | replace("'", "''") ~ "'))") -%}
        {%- endfor -%}
        {%- do run_query("insert into meta.wanted_columns values " ~ rows | join(', ')) -%}
        {%- for one in own -%}
            {%- do run_query("insert into meta.private_models values ('" ~ one.unique_id ~ "', '" ~ model.alias ~ "')") -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do run_query(
        "create or replace table meta.feature_plans as with compared as ("
        ~ " select wanted.*, held.position as old_position, held.definition_sha256 is distinct from wanted.definition_sha256 as is_changed"
        ~ " from meta.wanted_columns as wanted left join meta.feature_columns as held using (schema_name, table_name, column_name)"
        ~ "), planned as (select schema_name, table_name, bool_and(is_changed) or bool_or(is_changed and is_key) as is_new,"
        ~ " coalesce(list(column_name order by position) filter (where is_changed), []) as changed,"
        ~ " list(column_name order by position) filter (where not is_changed)"
        ~ " is distinct from list(column_name order by old_position) filter (where not is_changed) as is_reordered"
        ~ " from compared group by schema_name, table_name)"
        ~ " select planned.table_name, case when " ~ (affected is none) ~ " or is_new or found.table_name is null then 'all'"
        ~ " when len(changed) > 0 or is_reordered then 'columns' else 'dates' end as action, changed, array(select held.column_name"
        ~ " from meta.feature_columns as held where held.schema_name = planned.schema_name and held.table_name = planned.table_name"
        ~ " and held.column_name not in (select wanted.column_name from meta.wanted_columns as wanted where wanted.table_name = held.table_name)) as removed"
        ~ " from planned left join duckdb_tables() as found on found.database_name = current_database()"
        ~ " and found.schema_name = planned.schema_name and found.table_name = planned.table_name"
    ) -%}
{%- endmacro %}

{# The models of feature tables, without the working tables that serve one of them. #}
{% macro feature_models() -%}
    {%- set found = [] -%}
    {%- for model in graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | sort(attribute='unique_id') -%}
        {%- if model.config.materialized == 'feature_table' and not model.config.meta.get('serves') -%}{%- do found.append(model) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#
    For every model that only feature tables read, directly or through others of its kind, and for these tables themselves: the ids of the tables.
    Their text counts as part of those tables' definitions and of nothing else.
#}
{% macro owners_of_models() -%}
    {%- set readers = {} -%}
    {%- set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | list -%}
    {%- for model in models -%}
        {%- for parent in model.depends_on.nodes -%}{%- do readers.setdefault(parent, []).append(model.unique_id) -%}{%- endfor -%}
    {%- endfor -%}
    {%- set owners = {} -%}
    {%- for model in feature_models() -%}{%- do owners.update({model.unique_id: [model.unique_id]}) -%}{%- endfor -%}
    {%- set going = namespace(on=true) -%}
    {%- for _ in models if going.on -%}
        {%- set going.on = false -%}
        {%- for model in models if model.unique_id not in owners and model.unique_id in readers -%}
            {%- set tables = [] -%}
            {%- set all = namespace(owned=true) -%}
            {%- for reader in readers[model.unique_id] -%}
                {%- if reader in owners -%}{%- do tables.extend(owners[reader]) -%}{%- else -%}{%- set all.owned = false -%}{%- endif -%}
            {%- endfor -%}
            {%- if all.owned -%}
                {%- do owners.update({model.unique_id: tables | unique | list}) -%}
                {%- set going.on = true -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(owners) }}
{%- endmacro %}

{# What each column of a feature table is made of, in column order: when the text changes, the column is made again. #}
{% macro definition_texts(model, own) -%}
    {%- set salt = namespace(text=cs_definitions()) -%}
    {%- for one in own -%}{%- set salt.text = salt.text ~ one.checksum.checksum -%}{%- endfor -%}
    {%- if 'features_salt' in context -%}{%- set salt.text = salt.text ~ context['features_salt'](model.alias) -%}{%- endif -%}
    {%- set salt.text = local_md5(salt.text) -%}
    {%- set features = {} -%}
    {%- for table in feature_tables() if table.name == model.alias -%}
        {%- for feature in features_of(table.name) -%}{%- do features.update({feature.name: feature}) -%}{%- endfor -%}
    {%- endfor -%}
    {%- set computed = {} -%}
    {%- for columns in feature_columns_of(model.alias) -%}
        {%- for name, expression in columns.items() -%}{%- do computed.update({name: local_md5(with_columns(expression, computed))}) -%}{%- endfor -%}
    {%- endfor -%}
    {%- set texts = {} -%}
    {%- for column in model.columns.values() -%}
        {%- set parts = column.name.split('_') -%}
        {%- set found = namespace(feature=none, twin='') -%}
        {%- for count in range(parts | length, 0, -1) if found.feature is none and parts[:count] | join('_') in features -%}
            {%- set found.feature = features[parts[:count] | join('_')] -%}
            {%- set found.twin = parts[count:] | join('_') -%}
        {%- endfor -%}
        {%- set text = salt.text ~ '|' ~ column.name ~ '|' ~ column.data_type -%}
        {%- if found.feature is not none -%}
            {%- set text = text ~ '|' ~ with_columns(found.feature.sql, computed) ~ '|' ~ found.feature.quantum -%}
        {%- endif -%}
        {%- do texts.update({column.name: text}) -%}
    {%- endfor -%}
    {{ return(texts) }}
{%- endmacro %}

{# An expression, and after it the digests of all columns that it names, each taken over the digests of those that it names. #}
{% macro with_columns(expression, computed) -%}
    {%- set text = namespace(all=expression) -%}
    {%- for word in modules.re.findall('[a-z_][a-z0-9_]*', expression) | unique | sort if word in computed -%}
        {%- set text.all = text.all ~ '|' ~ word ~ '=' ~ computed[word] -%}
    {%- endfor -%}
    {{ return(text.all) }}
{%- endmacro %}

{# The columns that a table's expressions are written in, in the order in which they are computed. None for a table whose model's text holds them. #}
{% macro feature_columns_of(table) -%}
    {%- for one in feature_tables() if one.name == table and 'columns' in one -%}
        {{ return(one.columns()) }}
    {%- endfor -%}
    {{ return([]) }}
{%- endmacro %}

{# A macro's own text cannot be seen from here, so what cross-sectional operators render to stands for them. #}
{% macro cs_definitions() -%}
    {{ return(
        cs_moments('x', 'q') ~ cs_pooled_moments('x') ~ cs_scale('x', 'q') ~ cs_zscore('x', 's') ~ cs_neutralize('x', 's')
        ~ cs_rank_ends('x', 'date') ~ cs_rank('x', 'p', 's')
    ) }}
{%- endmacro %}

{#
    Sessions after a bar on which a feature may still read it: an absence lasts `delisted_after_sessions`; the bar can move its symbol into the
    universe, or out of it, for `universe_min_history` sessions more; and a window over the universe's returns is `longest_lookback` at most.
    A table whose windows reach further says so in config.meta.reach_sessions.
#}
{% macro reach_sessions(model) -%}
    {{ return(model.config.meta.get(
        'reach_sessions', var('delisted_after_sessions') + [20, var('universe_min_history')] | max + var('longest_lookback')
    )) }}
{%- endmacro %}

{# The dates [first, before) whose rows of a feature table new batches can change, merged, in order. #}
{% macro affected_ranges(model) -%}
    {%- set spans = [] -%}
    {%- set bars = fresh_batches('equity_bars') -%}
    {%- if bars | length -%}
        {#- A late value counts from the first session that could act on it; so late that no window reaches it, never. -#}
        {%- do spans.append(
            "select effective.date as first_date, coalesce(reached.date, date '9999-12-31') as before_date"
            ~ " from (select distinct date, known_at from read_parquet(['" ~ bars | join("', '") ~ "'])) as landed"
            ~ " inner join silver.calendar as bar on landed.date = bar.date"
            ~ " inner join silver.calendar as effective on effective.session_index >= bar.session_index"
            ~ " and effective.session_index <= bar.session_index + " ~ var('longest_lookback')
            ~ " and landed.known_at <= effective.decision_at"
            ~ " and (effective.session_index = bar.session_index or landed.known_at > effective.previous_decision_at)"
            ~ " left join silver.calendar as reached on reached.session_index = bar.session_index + " ~ (reach_sessions(model) + 1)
        ) -%}
    {%- endif -%}
    {%- for dataset, first_effect in [
        ('membership', 'cast(known_at as date)'), ('reference', 'cast(known_at as date)'), ('series', 'least(date, cast(known_at as date))')
    ] if dataset != 'series' or reads_series(model) -%}
        {%- set files = fresh_batches(dataset) -%}
        {%- if files | length -%}
            {%- do spans.append("select min(" ~ first_effect ~ ") as first_date, date '9999-12-31' as before_date from read_parquet(['" ~ files | join("', '") ~ "'])") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if spans | length == 0 -%}{{ return([]) }}{%- endif -%}
    {{ return(run_query(
        "with spans as (select distinct * from (" ~ spans | join(' union all ') ~ ") where first_date is not null),"
        ~ " placed as (select *, coalesce(first_date > max(before_date) over (order by first_date, before_date rows between unbounded preceding and 1 preceding), true) as is_apart from spans),"
        ~ " numbered as (select *, count_if(is_apart) over (order by first_date, before_date rows unbounded preceding) as island from placed)"
        ~ " select cast(min(first_date) as varchar), cast(max(before_date) as varchar) from numbered group by island order by 1"
    ).rows) }}
{%- endmacro %}

{# Whether the series of the lake, such as VIX, are among what a model is made from. #}
{% macro reads_series(model) -%}
    {%- for parent in model.depends_on.nodes -%}
        {%- if parent == 'model.trademl.slv_series' or (parent in graph.nodes and reads_series(graph.nodes[parent])) -%}{{ return(true) }}{%- endif -%}
    {%- endfor -%}
    {{ return(false) }}
{%- endmacro %}
