{#
    Tables of traders that are filled in blocks, so that memory does not grow with traders or history, and that keep the dates which nothing new
    can change. `meta` says how:

        config(materialized='trader_table', meta={'date_column': 'as_of', 'blocks': 'addresses', 'input_schema': 'gold',
            'input': 'traders_windows', 'input_date': 'snapshot_date'})

    blocks       dates: a model's rows depend on those of their own date alone; addresses: on those of their own address alone; none
    days_before  how many days before the first new date are replaced too
    date_column  of the table; input_schema, input, input_date: the table that is read, whose rows are counted
    Its SQL keeps to `trader_in_block(column)`. The bounds are DuckDB variables, constants while a statement is planned; unset they bound nothing.
#}
{% macro trader_in_block(column, kind) -%}
    {%- set first, last = ("''", 'chr(1114111)') if kind == 'varchar' else ("cast('1900-01-01' as date)", "cast('9999-12-31' as date)") -%}
    {{ column }} >= coalesce(cast(getvariable('trader_block_from') as {{ kind }}), {{ first }})
    and {{ column }} < coalesce(cast(getvariable('trader_block_to') as {{ kind }}), {{ last }})
{%- endmacro %}

{% materialization trader_table, adapter='duckdb' -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- set keeps = trader_keeps_table() -%}
    {%- set column = config.get('meta').date_column -%}
    {%- set first_date = traders_from(column, config.get('meta').get('days_before', 0)) -%}
    {%- set filling = target if keeps else make_intermediate_relation(target) -%}

    {%- if not keeps -%}{{ drop_relation_if_exists(load_cached_relation(filling)) }}{%- endif -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- call statement('main') -%}
        {%- if keeps -%}
            delete from {{ target }} where {{ column }} >= {{ first_date }}
        {%- else -%}
            {{ create_feature_table(filling) }}
        {%- endif -%}
    {%- endcall -%}
    {%- set names = [] -%}
    {%- for one in adapter.get_columns_in_relation(filling) -%}{%- do names.append(one.quoted) -%}{%- endfor -%}
    {%- for from, to in trader_blocks(first_date) -%}
        {%- do run_query("set variable trader_block_from = '" ~ from ~ "'; set variable trader_block_to = '" ~ to ~ "'") -%}
        {%- do run_query('insert into ' ~ filling ~ ' (' ~ names | join(', ') ~ ') select ' ~ names | join(', ') ~ ' from (' ~ sql ~ ') as block') -%}
    {%- endfor -%}
    {%- do run_query('reset variable trader_block_from; reset variable trader_block_to') -%}
    {%- if not keeps -%}
        {%- if existing is not none -%}{%- do adapter.drop_relation(existing) -%}{%- endif -%}
        {%- do adapter.rename_relation(filling, target) -%}
    {%- endif -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{%- endmaterialization %}

{# First and next bound of each block; none where there is nothing to fill. #}
{% macro trader_blocks(first_date) -%}
    {%- set meta = config.get('meta') -%}
    {%- set input = adapter.get_relation(this.database, meta.input_schema, meta.input) -%}
    {%- set by_date = meta.blocks == 'dates' -%}
    {%- set counts = run_query(
        'select ' ~ meta.input_date ~ ', count(*) from ' ~ input ~ ' where ' ~ meta.input_date ~ ' >= ' ~ first_date ~ ' group by 1 order by 1'
    ).rows -%}
    {%- if counts | length == 0 -%}{{ return([]) }}{%- endif -%}
    {%- set found = namespace(starts=['1900-01-01' if by_date else ''], rows=0) -%}
    {%- if by_date -%}
        {%- for day, rows in counts -%}
            {%- if found.rows and found.rows + rows > var('trader_block_rows') -%}
                {%- do found.starts.append(day) -%}
                {%- set found.rows = 0 -%}
            {%- endif -%}
            {%- set found.rows = found.rows + rows -%}
        {%- endfor -%}
    {%- elif meta.blocks == 'addresses' -%}
        {%- set total = run_query('select count(*) from ' ~ input).columns[0].values()[0] -%}
        {%- set parts = total // var('trader_block_rows') + 1 -%}
        {%- if parts > 1 -%}
            {%- set found.starts = [''] + run_query(
                'select min(address) from (select address, ntile(' ~ parts ~ ') over (order by address) as part from (select distinct address from ' ~ input
                ~ ')) group by part order by 1'
            ).columns[0].values()[1:] | list -%}
        {%- endif -%}
    {%- endif -%}
    {%- set blocks = [] -%}
    {%- for start in found.starts -%}
        {%- do blocks.append([start, found.starts[loop.index] if not loop.last else ('9999-12-31' if by_date else '\U0010ffff')]) -%}
    {%- endfor -%}
    {{ return(blocks) }}
{%- endmacro %}

{# Whether the table of the last good build stays, but for the dates that new rows can change. #}
{% macro trader_keeps_table() -%}
    {%- if not execute or flags.WHICH not in ['build', 'run'] or flags.FULL_REFRESH -%}{{ return(false) }}{%- endif -%}
    {%- set existing = adapter.get_relation(this.database, this.schema, this.identifier) -%}
    {{ return(existing is not none and existing.is_table and trader_changed_date() != '1900-01-01') }}
{%- endmacro %}
