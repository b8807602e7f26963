{#
    Feature tables: filled and refilled in blocks of dates, so that memory does not grow with history.

    A model with `materialized='feature_table'` reads and returns the dates of one block, and no window of it looks back further than it says:

        with panel as (
            select * from {{ ref('slv_equity_panel') }}
            where date >= {{ sessions_before_block(60) }} and date < {{ block_to() }}
        ),
        ...
        where is_live and is_present and date >= {{ block_from() }} and date < {{ block_to() }}

    The bounds are DuckDB variables, constants while a statement is planned. Unset they bound nothing, as in a unit test. A model whose rows depend
    on their own symbol alone adds `and {{ is_in_block('symbol') }}` to the first: then blocks are spans of dates and, in these, parts of the symbols, so
    that what windows read before a block stays a small share however many symbols there are.
    `meta={'serves': 'equities_x'}` makes it a working table of the feature table equities_x: it holds what that table is filled from in this
    build, and nothing else.
#}
{% macro block_from() -%}
    {%- if var('for_device') -%}{{ return(affected_from()) }}{%- endif -%}
    coalesce(cast(getvariable('block_from') as date), cast('1900-01-01' as date))
{%- endmacro %}

{# The first date after the block. #}
{% macro block_to() -%}
    {%- if var('for_device') -%}{{ return("cast('9999-12-31' as date)") }}{%- endif -%}
    coalesce(cast(getvariable('block_to') as date), cast('9999-12-31' as date))
{%- endmacro %}

{# The session `sessions` before the block's first date: where its windows begin. The materialization sets the variable that it names. #}
{% macro sessions_before_block(sessions) -%}
    {%- if sessions == 0 -%}{{ return(block_from()) }}{%- endif -%}
    {%- if var('for_device') -%}{{ return(sessions_before_affected(sessions)) }}{%- endif -%}
    coalesce(cast(getvariable('before_block_{{ sessions }}') as date), cast('1900-01-01' as date))
{%- endmacro %}

{# Whether a symbol is among those of the block. #}
{% macro is_in_block(symbol) -%}
    {%- if var('for_device') -%}{{ return('true') }}{%- endif -%}
    {{ symbol }} >= coalesce(cast(getvariable('block_first_symbol') as varchar), '')
    and {{ symbol }} < coalesce(cast(getvariable('block_next_symbol') as varchar), chr(1114111))
{%- endmacro %}

{# `bound`, the first date that a build reads, or an earlier one where a feature table is to be filled over more dates than those affected. #}
{% macro or_what_features_need(bound) -%}
    {%- if var('for_device') or not execute -%}{{ return(bound) }}{%- endif -%}
    {%- if run_query("select count(*) from meta.feature_plans where action <> 'dates'").columns[0].values()[0] -%}
        {{ return("cast('1900-01-01' as date)") }}
    {%- endif -%}
    {%- set files = fresh_batches('series') -%}
    {%- set readers = [] -%}
    {%- for one in feature_models() if files | length and reads_series(one) -%}{%- do readers.append(one) -%}{%- endfor -%}
    {%- if readers | length -%}
        {%- set first = run_query("select min(least(date, cast(known_at as date))) from read_parquet(['" ~ files | join("', '") ~ "'])").columns[0].values()[0] -%}
        {%- if first is not none -%}
            {{ return('least(' ~ bound ~ ", cast('" ~ sessions_before(first, var('longest_lookback') + 70) ~ "' as date))") }}
        {%- endif -%}
    {%- endif -%}
    {{ return(bound) }}
{%- endmacro %}

{% materialization feature_table, adapter='duckdb' -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- set filling = make_intermediate_relation(target) -%}
    {%- set plan = feature_plan() -%}
    {%- set everything = [['1900-01-01', '9999-12-31']] -%}
    {%- set ranges = everything if plan.action == 'all' else affected_ranges(graph.nodes[plan.unique_id]) -%}
    {%- if plan.action != 'dates' -%}{%- do require_whole_inputs() -%}{%- endif -%}

    {{ drop_relation_if_exists(load_cached_relation(filling)) }}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if plan.serves or plan.action != 'dates' -%}
        {%- call statement('main') -%}{{ create_feature_table(filling) }}{%- endcall -%}
        {%- if plan.action == 'columns' -%}
            {%- do fill_blocks(filling, other_dates(ranges), plan, earlier=existing or target) -%}
        {%- endif -%}
        {%- do fill_blocks(filling, ranges, plan) -%}
        {%- if existing is not none -%}{%- do adapter.drop_relation(existing) -%}{%- endif -%}
        {%- do adapter.rename_relation(filling, target) -%}
    {%- else -%}
        {%- call statement('main') -%}
            {%- if ranges | length -%}delete from {{ target }} where {{ in_ranges(ranges) }}{%- else -%}select 1{%- endif -%}
        {%- endcall -%}
        {%- for column in plan.removed -%}{%- do run_query('alter table ' ~ target ~ ' drop column ' ~ adapter.quote(column)) -%}{%- endfor -%}
        {%- do fill_blocks(target, ranges, plan) -%}
    {%- endif -%}
    {%- if not plan.serves and (plan.action != 'dates' or plan.removed | length) -%}{%- do record_columns() -%}{%- endif -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{%- endmaterialization %}

{# The plan of the present model, or of the table that it serves. #}
{% macro feature_plan() -%}
    {%- set serves = model.config.meta.get('serves') -%}
    {%- set rows = run_query("select action, array_to_string(changed, ','), array_to_string(removed, ',') from meta.feature_plans where table_name = '" ~ (serves or this.identifier) ~ "'").rows -%}
    {%- for one in feature_models() if one.alias == (serves or this.identifier) and rows | length -%}
        {{ return({'action': rows[0][0], 'columns': names_in(rows[0][1]), 'removed': names_in(rows[0][2]), 'serves': serves, 'unique_id': one.unique_id}) }}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error(
        this.identifier ~ " is no feature table of this build" ~ (': it serves ' ~ serves ~ ', which is none' if serves else '')
        ~ '. Remedy: run it by `dbt build` or `dbt run`, and name a feature table that the project builds'
    ) }}
{%- endmacro %}

{% macro names_in(text) -%}
    {{ return((text or '').split(',') | select | list) }}
{%- endmacro %}

{# New columns are filled over all dates: working tables that hold the last dates only must be made in the same run. #}
{% macro require_whole_inputs() -%}
    {%- for id in model.depends_on.nodes if id in graph.nodes and graph.nodes[id].schema == 'work' and id not in selected_resources -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ ' has new or changed columns, which are filled over all dates, and its input ' ~ graph.nodes[id].name
            ~ ' holds the last dates only. Remedy: build everything, or select its inputs too: --select +' ~ model.name
        ) }}
    {%- endfor -%}
{%- endmacro %}

{#
    Empty, with the columns of the contract, or of the query without one. Never `create table as ... limit 0`: rows that the same transaction then
    inserts on several threads cannot be seen before a checkpoint (DuckDB 2.0.0).
#}
{% macro create_feature_table(relation) -%}
    {%- if config.get('contract').enforced -%}
        {{ get_assert_columns_equivalent(sql) }}
        create table {{ relation }} {{ get_table_columns_and_constraints() }}
    {%- else -%}
        {%- set columns = [] -%}
        {%- for name, type in run_query('select column_name, column_type from (describe ' ~ sql ~ ')').rows -%}{%- do columns.append(name ~ ' ' ~ type) -%}{%- endfor -%}
        create table {{ relation }} ({{ columns | join(', ') }})
    {%- endif -%}
{%- endmacro %}

{#
    Insert the model's rows of some ranges of dates, one block after another. `earlier`, the table as it was before: only the plan's columns are
    computed, the others copied from there. (A working table computes just those, and nothing is copied.)
#}
{% macro fill_blocks(relation, ranges, plan, earlier=none) -%}
    {%- set lookbacks = modules.re.findall("'before_block_([0-9]+)'", sql) | unique | map('int') | list -%}
    {%- set blocks = feature_blocks(ranges, 8 * ([1] + lookbacks) | max if 'block_first_symbol' in sql else 0) -%}
    {%- for first, before, first_symbol, next_symbol in blocks -%}
        {%- set bounds = {'block_from': first, 'block_to': before, 'block_first_symbol': first_symbol, 'block_next_symbol': next_symbol} -%}
        {%- for sessions in lookbacks -%}{%- do bounds.update({'before_block_' ~ sessions: sessions_before(first, sessions)}) -%}{%- endfor -%}
        {%- do set_variables(bounds) -%}
        {%- do run_query(
            'insert into ' ~ relation ~ ' by name '
            ~ (block_of_all_columns() if earlier is none else block_of_new_columns(plan, earlier, first, before))
        ) -%}
        {%- if loop.last -%}
            {%- for variable in bounds -%}{%- do run_query('set variable ' ~ variable ~ ' = null') -%}{%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if earlier is not none and not plan.serves -%}{%- do require_same_rows(relation, earlier, ranges) -%}{%- endif -%}
    {%- if not plan.serves -%}
        {%- for first, before in ranges -%}
            {%- do run_query(
                "insert into meta.feature_builds values ('" ~ invocation_id ~ "', '" ~ this.identifier ~ "', '" ~ plan.action ~ "', '"
                ~ ('all' if earlier is none else plan.columns | join(',')) ~ "', date '" ~ first ~ "', date '" ~ before ~ "', " ~ blocks | length ~ ")"
            ) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{% macro block_of_all_columns() -%}
    select {{ model.columns.keys() | join(', ') if config.get('contract').enforced else '*' }} from ({{ sql }}) as model_subq
{%- endmacro %}

{# DuckDB computes only what these columns need. #}
{% macro block_of_new_columns(plan, earlier, first, before) -%}
    {%- set grain = model.config.meta.get('grain', []) -%}
    {%- if plan.serves -%}
        {%- set others = features_without(plan) -%}
        select * {{ 'exclude (' ~ others | join(', ') ~ ')' if others | length }} from ({{ sql }}) as model_subq
    {%- else -%}
        select
            {% for column in model.columns -%}
            {{ 'fresh' if column in plan.columns else 'held' }}.{{ column }}{{ ',' if not loop.last }}
            {% endfor -%}
        from {{ earlier }} as held
        inner join (select {{ (grain + plan.columns) | join(', ') }} from ({{ sql }}) as model_subq) as fresh using ({{ grain | join(', ') }})
        where held.date >= date '{{ first }}' and held.date < date '{{ before }}'{{ ' and ' ~ is_in_block('held.symbol') if 'block_first_symbol' in sql }}
    {%- endif -%}
{%- endmacro %}

{# The features of the served table that none of its new columns is made from: a twin bears its feature's name and more. #}
{% macro features_without(plan) -%}
    {%- set others = [] -%}
    {%- for feature in features_of(plan.serves) -%}
        {%- set used = [] -%}
        {%- for column in plan.columns if column == feature.name or column.startswith(feature.name ~ '_') -%}{%- do used.append(column) -%}{%- endfor -%}
        {%- if used | length == 0 -%}{%- do others.append(feature.name) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(others) }}
{%- endmacro %}

{# What was copied are the rows that were there, no fewer and no more. #}
{% macro require_same_rows(relation, earlier, ranges) -%}
    {%- set counts = run_query(
        'select (select count(*) from ' ~ relation ~ ' where ' ~ in_ranges(ranges) ~ '), (select count(*) from ' ~ earlier ~ ' where ' ~ in_ranges(ranges) ~ ')'
    ).rows[0] -%}
    {%- if counts[0] != counts[1] -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ ' has ' ~ counts[1] ~ ' rows where its model gives ' ~ counts[0] ~ ' for its new columns. Remedy: build with --full-refresh'
        ) }}
    {%- endif -%}
{%- endmacro %}

{# The definitions that the table now holds, in the transaction that made it hold them. #}
{% macro record_columns() -%}
    {%- set of_this = " where schema_name = '" ~ this.schema ~ "' and table_name = '" ~ this.identifier ~ "'" -%}
    {%- do run_query('delete from meta.feature_columns' ~ of_this) -%}
    {%- do run_query(
        "insert into meta.feature_columns select schema_name, table_name, column_name, position, definition_sha256, '" ~ invocation_id
        ~ "' from meta.wanted_columns" ~ of_this
    ) -%}
{%- endmacro %}

{% macro in_ranges(ranges) -%}
    ({% for first, before in ranges -%}
    (date >= date '{{ first }}' and date < date '{{ before }}'){{ ' or ' if not loop.last }}
    {%- else %}false{% endfor -%})
{%- endmacro %}

{# The dates outside of some ranges. #}
{% macro other_dates(ranges) -%}
    {%- set others = [] -%}
    {%- set from = namespace(day='1900-01-01') -%}
    {%- for first, before in ranges -%}
        {%- if first > from.day -%}{%- do others.append([from.day, first]) -%}{%- endif -%}
        {%- set from.day = before -%}
    {%- endfor -%}
    {%- if from.day < '9999-12-31' -%}{%- do others.append([from.day, '9999-12-31']) -%}{%- endif -%}
    {{ return(others) }}
{%- endmacro %}

{# Variables of this connection: text, or none for NULL. #}
{% macro set_variables(values) -%}
    {%- for name, value in values.items() -%}
        {%- do run_query('set variable ' ~ name ~ ' = ' ~ ('null' if value is none else "'" ~ value | string | replace("'", "''") ~ "'")) -%}
    {%- endfor -%}
{%- endmacro %}

{#
    Blocks of ranges of dates: first date, first date after it, first symbol, first symbol after it (none: no bound). Each has so many bars that its rows
    and windows fit in memory. `sessions`: the length of a span of dates whose symbols may be divided; 0: blocks are dates, with all their symbols.
#}
{% macro feature_blocks(ranges, sessions) -%}
    {%- if ranges | length == 0 -%}{{ return([]) }}{%- endif -%}
    {%- set values = [] -%}
    {%- for first, before in ranges -%}{%- do values.append("(date '" ~ first ~ "', date '" ~ before ~ "')") -%}{%- endfor -%}
    {%- set rows_allowed = rows_per_block(by_symbol=sessions > 0) -%}
    {%- set counted = "row_number() over (partition by first_date order by date) - 1" if sessions else "sum(bars) over (partition by first_date order by date) - bars" -%}
    {%- set counts = "greatest(" ~ sessions ~ ", " ~ rows_allowed ~ " // (select max(bars) from days))" if sessions else rows_allowed -%}
    {%- set spans = run_query(
        "with ranges as (select * from (values " ~ values | join(', ') ~ ") as given (first_date, before_date)),"
        ~ " days as (select ranges.first_date, bars.date, count(*) as bars from silver.equity_bars as bars"
        ~ " inner join ranges on bars.date >= ranges.first_date and bars.date < ranges.before_date group by ranges.first_date, bars.date),"
        ~ " numbered as (select *, cast(" ~ counted ~ " as bigint) // " ~ counts ~ " as span from days)"
        ~ " select cast(min(date) as varchar), cast(max(date) + 1 as varchar), cast(sum(bars) as bigint)"
        ~ " from numbered group by first_date, span order by 1"
    ).rows -%}
    {%- set blocks = [] -%}
    {%- for first, before, bars in spans -%}
        {%- if sessions == 0 or bars <= rows_allowed -%}
            {%- do blocks.append([first, before, none, none]) -%}
        {%- else -%}
            {%- set starts = run_query(
                "with symbols as (select symbol, count(*) as bars from silver.equity_bars where date >= date '" ~ first ~ "' and date < date '" ~ before ~ "' group by symbol),"
                ~ " numbered as (select symbol, cast(sum(bars) over (order by symbol) - bars as bigint) // " ~ rows_allowed ~ " as part from symbols)"
                ~ " select min(symbol) from numbered group by part order by 1"
            ).columns[0].values() -%}
            {%- for start in starts -%}
                {%- do blocks.append([first, before, none if loop.first else start, none if loop.last else starts[loop.index]]) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(blocks) }}
{%- endmacro %}

{#
    By DuckDB's memory limit: a row needs its own cells, those that its windows are computed from, and as much again while it is sorted and written. A
    table of cross-sections holds all of that at once: a quarter of the limit is for it. Where symbols stand alone rows pass through, and only what the
    windows look back on is held, about half of it. `feature_block_rows` of dbt_project.yml decides where it is not 0.
#}
{% macro rows_per_block(by_symbol=false) -%}
    {%- if var('feature_block_rows') -%}{{ return(var('feature_block_rows')) }}{%- endif -%}
    {%- set limit = run_query("select current_setting('memory_limit')").columns[0].values()[0] -%}
    {%- set units = {'B': 1, 'KiB': 1024, 'MiB': 1048576, 'GiB': 1073741824, 'TiB': 1099511627776} -%}
    {%- set parts = limit.split(' ') -%}
    {%- set share = 2.5 if by_symbol else 0.25 -%}
    {{ return([(parts[0] | float * units[parts[1]] * share / (model.columns | length * 8 + 1000)) | int, 1000] | max) }}
{%- endmacro %}
