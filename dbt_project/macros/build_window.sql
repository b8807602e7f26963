{#
    What a build must redo.

    `start_build` notes which landed batches the build may read (a batch that lands while the build runs waits for the next one) and the
    first date that any new row can change. Models then replace that date and everything after it, and read `longest_lookback` sessions
    more; feature tables replace only the dates that a new row can reach (macros/feature_plan.sql). `finish_build` marks the batches as built
    only after a whole, green `dbt build`: a build that was killed, failed or covered a selection is redone from the same date.
#}
{% macro start_build() -%}
    {%- if execute and flags.WHICH in ['build', 'run'] -%}
        {%- do run_query("create schema if not exists meta") -%}
        {%- do run_query("create table if not exists meta.builds (build_id varchar, invocation_id varchar, started_at timestamp, finished_at timestamp, affected_from date, definition_hash varchar, as_known_at varchar, status varchar)") -%}
        {%- do run_query("create table if not exists meta.batches (dataset varchar, batch_id varchar, built_by varchar)") -%}
        {%- set pattern = lake_path() ~ '/raw/*/*/rows.parquet' -%}
        {%- do run_query(
            "insert into meta.batches select dataset, batch_id, null from ("
            ~ "select split_part(replace(file, '\\', '/'), '/', -3) as dataset, split_part(replace(file, '\\', '/'), '/', -2) as batch_id"
            ~ " from glob('" ~ pattern ~ "')) where (dataset, batch_id) not in (select (dataset, batch_id) from meta.batches)"
        ) -%}
        {%- set affected = first_affected_date() -%}
        {%- do run_query(
            "insert into meta.builds values ('" ~ invocation_id ~ "', '" ~ invocation_id ~ "', current_timestamp::timestamp, null, "
            ~ ("date '" ~ affected ~ "'" if affected else "null") ~ ", '" ~ definition_hash() ~ "', '" ~ var('as_known_at') ~ "', 'running')"
        ) -%}
        {%- do plan_feature_tables(affected) -%}
    {%- endif -%}
    select 1
{%- endmacro %}

{# The date before which nothing can have changed since the last green build; none when everything must be redone. #}
{% macro first_affected_date() -%}
    {%- if flags.FULL_REFRESH -%}{{ return(none) }}{%- endif -%}
    {%- set last = run_query("select definition_hash, as_known_at from meta.builds where status = 'success' order by finished_at desc limit 1").rows -%}
    {%- if last | length == 0 or last[0][0] != definition_hash() or last[0][1] != var('as_known_at') -%}{{ return(none) }}{%- endif -%}
    {#- Without any spell everyone is a member: the first ones change every date. -#}
    {%- if fresh_batches('membership') | length
        and run_query("select count(*) from meta.batches where dataset = 'membership' and built_by is not null").columns[0].values()[0] == 0 -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set changes = [] -%}
    {%- for dataset, first_effect in [
        ('equity_bars', 'min(date)'), ('membership', 'min(cast(known_at as date))'), ('reference', 'min(cast(known_at as date))')
    ] -%}
        {%- for file in fresh_batches(dataset) -%}
            {%- do changes.append("select " ~ first_effect ~ " as changed from read_parquet('" ~ file ~ "')") -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if changes | length == 0 -%}{{ return('9999-12-31') }}{%- endif -%}
    {%- set earliest = run_query("select coalesce(min(changed), date '9999-12-31') from (" ~ changes | join(' union all ') ~ ")").columns[0].values()[0] -%}
    {{ return(earliest) }}
{%- endmacro %}

{# The files of a dataset's batches that no green build has used. #}
{% macro fresh_batches(dataset) -%}
    {%- set files = [] -%}
    {%- for batch in run_query("select batch_id from meta.batches where dataset = '" ~ dataset ~ "' and built_by is null order by 1").columns[0].values() -%}
        {%- do files.append(lake_path() ~ '/raw/' ~ dataset ~ '/' ~ batch ~ '/rows.parquet') -%}
    {%- endfor -%}
    {{ return(files) }}
{%- endmacro %}

{% macro finish_build(results) -%}
    {%- if execute and flags.WHICH in ['build', 'run'] -%}
        {%- set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | list -%}
        {%- set seen = namespace(models=0, bad=0) -%}
        {%- for result in results -%}
            {%- if result.node.resource_type == 'model' -%}{%- set seen.models = seen.models + 1 -%}{%- endif -%}
            {%- if result.status | string not in ['success', 'pass', 'warn'] -%}{%- set seen.bad = seen.bad + 1 -%}{%- endif -%}
        {%- endfor -%}
        {%- set whole = flags.WHICH == 'build' and seen.models == models | length -%}
        {%- set status = 'failed' if seen.bad else ('success' if whole else 'partial') -%}
        {%- if status == 'success' -%}
            {%- do run_query("update meta.batches set built_by = '" ~ invocation_id ~ "' where built_by is null") -%}
            {%- do record_tables(models) -%}
            {%- do drop_unknown_tables(models) -%}
        {%- endif -%}
        {%- do run_query("update meta.builds set status = '" ~ status ~ "', finished_at = current_timestamp::timestamp where build_id = '" ~ invocation_id ~ "'") -%}
    {%- endif -%}
    select 1
{%- endmacro %}

{# The grain of every relation, for readers that never see this project. #}
{% macro record_tables(models) -%}
    {%- do run_query("create or replace table meta.tables (schema_name varchar, table_name varchar, grain varchar, materialized varchar)") -%}
    {%- for model in models if model.config.get('meta', {}).get('grain') -%}
        {%- do run_query("insert into meta.tables values ('" ~ model.schema ~ "', '" ~ model.alias ~ "', '" ~ model.config.meta.grain | join(',') ~ "', '" ~ model.config.materialized ~ "')") -%}
    {%- endfor -%}
{%- endmacro %}

{#
    Tables that no model of the project makes any more, as when a feature table is switched off: nothing keeps them up to date, so nobody may
    read them, nor may a later build take them up where they were left.
#}
{% macro drop_unknown_tables(models) -%}
    {%- set known = [] -%}
    {%- for model in models -%}{%- do known.append("('" ~ model.schema ~ "', '" ~ model.alias ~ "')") -%}{%- endfor -%}
    {%- set unknown = run_query(
        "select schema_name, table_name from duckdb_tables() where database_name = current_database() and not temporary"
        ~ " and schema_name in ('silver', 'work', 'gold') and (schema_name, table_name) not in (values " ~ known | join(', ') ~ ")"
    ).rows -%}
    {%- for schema_name, table_name in unknown -%}
        {%- do run_query('drop table "' ~ schema_name ~ '"."' ~ table_name ~ '"') -%}
    {%- endfor -%}
    {%- do run_query("delete from meta.feature_columns where (schema_name, table_name) not in (select (schema_name, table_name) from meta.wanted_columns)") -%}
{%- endmacro %}

{# Changes when any model or setting does, feature tables left out, which compare their own columns: then everything is rebuilt. #}
{% macro definition_hash() -%}
    {%- set parts = namespace(text='') -%}
    {%- set owners = owners_of_models() -%}
    {%- for model in graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | sort(attribute='unique_id') if model.unique_id not in owners -%}
        {%- set parts.text = parts.text ~ model.unique_id ~ model.checksum.checksum -%}
    {%- endfor -%}
    {#- A macro's own text cannot be seen from here, so what the models use of them is rendered. -#}
    {%- set parts.text = parts.text ~ running_total('x', 'w') ~ to_fixed('x') ~ from_fixed('x') ~ fixed_variance('n', 's', 'q') -%}
    {%- set parts.text = parts.text ~ log_total_return('x', 'p') ~ is_split_mismatch('p') -%}
    {%- set parts.text = parts.text ~ (trader_twinned() | string) ~ (trader_composite_parts() | string) ~ trader_value('x', 1, '1e3') -%}
    {%- set parts.text = parts.text ~ trader_cross_section('r') ~ trader_aggregates('r', ['x'], 'd', true) ~ trader_aggregates('r', ['x'], 'd', false) ~ cs_expanding_quantiles('p', 'r', 'x', [0.5], 'd') -%}
    {%- set parts.text = parts.text ~ (equities_label_horizons() | string) ~ barrier_label() ~ first_touch(2, 'x{h}') -%}
    {%- set parts.text = parts.text ~ label_exit('x', 'l') ~ label_end('x') ~ label_outcome('r', 'x') -%}
    {%- for name in [
        'calendar', 'delisted_after_sessions', 'longest_lookback', 'released_sessions', 'universe_min_price', 'universe_min_adv_usd', 'universe_min_history', 'jump_threshold',
        'split_mismatch_threshold', 'stale_sessions', 'coverage_green', 'coverage_amber', 'barrier_take_profit', 'barrier_stop', 'barrier_sessions',
        'trader_gone_after_days', 'trader_lookback_days', 'trader_min_windows', 'trader_dust_usd', 'trader_capital_floor_usd',
        'trader_features_from'
    ] -%}
        {%- set parts.text = parts.text ~ name ~ var(name) -%}
    {%- endfor -%}
    {{ return(local_md5(parts.text)) }}
{%- endmacro %}

{#
    The first date this build replaces: a literal. Everything, unless the table exists and only later dates are affected. A model that only feature
    tables read goes with them: when one of them is filled over all dates, so is it.
    A device, which compiles nothing, gets the same models with a variable in its place: `set variable first_session`.
#}
{% macro affected_from() -%}
    {%- if var('for_device') -%}{{ return("cast(getvariable('first_session') as date)") }}{%- endif -%}
    {%- set found = namespace(day='1900-01-01') -%}
    {%- if execute and is_incremental() -%}{%- set found.day = first_replaced_date() -%}{%- endif -%}
    cast('{{ found.day }}' as date)
{%- endmacro %}

{# The same date for working tables, which hold only what this build replaces. #}
{% macro replaced_from() -%}
    {%- if var('for_device') -%}{{ return(affected_from()) }}{%- endif -%}
    cast('{{ first_replaced_date() if execute else '1900-01-01' }}' as date)
{%- endmacro %}

{% macro first_replaced_date() -%}
    {%- if serves_new_columns() -%}{{ return('1900-01-01') }}{%- endif -%}
    {%- set rows = run_query("select coalesce(affected_from, date '1900-01-01') from meta.builds where build_id = '" ~ invocation_id ~ "'").rows -%}
    {{ return(rows[0][0] if rows | length else '1900-01-01') }}
{%- endmacro %}

{# The session `sessions` before the first affected date: where a model starts reading or replacing. #}
{% macro sessions_before_affected(sessions) -%}
    {%- if var('for_device') and sessions == 0 -%}{{ return(affected_from()) }}{%- endif -%}
    {%- if var('for_device') -%}
        {{ return(
            "(select coalesce(min(earlier.date), date '1900-01-01') from (select date from silver.calendar where date < "
            ~ affected_from() ~ " order by date desc limit " ~ sessions ~ ") as earlier)"
        ) }}
    {%- endif -%}
    {%- set found = namespace(day='1900-01-01') -%}
    {%- if execute -%}
        {%- set rows = run_query("select affected_from from meta.builds where build_id = '" ~ invocation_id ~ "'").rows -%}
        {%- if rows | length and rows[0][0] is not none -%}{%- set found.day = sessions_before(rows[0][0], sessions) -%}{%- endif -%}
    {%- endif -%}
    cast('{{ found.day }}' as date)
{%- endmacro %}

{# The session `sessions` before a day; the beginning of time where there are not as many. #}
{% macro sessions_before(day, sessions) -%}
    {%- if sessions == 0 -%}{{ return(day) }}{%- endif -%}
    {{ return(run_query(
        "select coalesce(min(date), date '1900-01-01') from (select date from silver.calendar where date < date '" ~ day ~ "' order by date desc limit " ~ sessions ~ ")"
    ).columns[0].values()[0]) }}
{%- endmacro %}

{# Labels that a new session can end started at most this many sessions ago. #}
{% macro labels_from() -%}
    {%- if execute and is_incremental() -%}
        {{ sessions_before_affected(20 + var('delisted_after_sessions') + 1) }}
    {%- else -%}
        cast('1900-01-01' as date)
    {%- endif -%}
{%- endmacro %}

{# Incremental models replace a range of dates in one transaction: this deletes it, the append that follows fills it. #}
{% macro delete_from(first_date, column='date') -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }} where {{ column }} >= {{ first_date }}
    {%- endif -%}
{%- endmacro %}

{# The table of released bars loses the dates to be replaced and, before that, those that are no longer among the newest. #}
{% macro delete_outside_window() -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }}
        where date >= {{ affected_from() }} or date < (
            select min(date) from (
                select distinct date from {{ ref('slv_equity_bar_versions') }} order by date desc limit {{ var('released_sessions') }}
            )
        )
    {%- endif -%}
{%- endmacro %}
