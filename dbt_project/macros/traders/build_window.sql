{#
    What a build must redo of the traders sleeve. A fill or an account-day changes nothing before its effective date: its own, or the first one
    whose end came after it was known. Silver tables are redone whole when anything has landed, gold tables from the first effective date on;
    a build without news of traders leaves them all as they are.
#}
{% macro trader_changed_date() -%}
    {%- if not execute or flags.WHICH not in ['build', 'run'] -%}{{ return('1900-01-01') }}{%- endif -%}
    {%- set build = run_query("select affected_from from meta.builds where build_id = '" ~ invocation_id ~ "'").rows -%}
    {%- if build | length == 0 or build[0][0] is none -%}{{ return('1900-01-01') }}{%- endif -%}
    {%- set changes = [] -%}
    {%- for dataset in ['trader_fills', 'trader_days'] -%}
        {%- for file in fresh_batches(dataset) -%}
            {%- do changes.append("select min(greatest(date, " ~ trader_effective_date() ~ ")) as changed from read_parquet('" ~ file ~ "')") -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if not changes -%}{{ return('9999-12-31') }}{%- endif -%}
    {{ return(run_query("select coalesce(min(changed), date '9999-12-31') from (" ~ changes | join(' union all ') ~ ")").columns[0].values()[0] | string) }}
{%- endmacro %}

{# The first date by whose end a row was known. #}
{% macro trader_effective_date(column='known_at') -%}
    cast({{ column }} - interval 1 microsecond as date)
{%- endmacro %}

{# Whether silver is redone: the condition of its rows, and the statement that empties it first. #}
{% macro traders_have_news() -%}
    {{ 'false' if is_incremental() and trader_changed_date() == '9999-12-31' else 'true' }}
{%- endmacro %}

{% macro delete_trader_rows() -%}
    {%- if execute and is_incremental() and trader_changed_date() != '9999-12-31' -%}delete from {{ this }}{%- endif -%}
{%- endmacro %}

{#
    The first date of a gold table that this build replaces, `days` earlier where given: a literal. Dates after the table's last one are new in
    any case, since silence of those who landed makes snapshots too.
#}
{% macro traders_from(column, days=0) -%}
    {%- set found = namespace(day='1900-01-01') -%}
    {%- if execute and trader_keeps_table() -%}{%- set found.day = trader_first_new_date([[this, column]], days) -%}{%- endif -%}
    cast('{{ found.day }}' as date)
{%- endmacro %}

{# The first date that any of the tables which are made of the panel replaces: the panel is made before they can be asked. #}
{% macro trader_panel_from() -%}
    {%- set found = namespace(day='1900-01-01') -%}
    {%- if execute and flags.WHICH in ['build', 'run'] and not flags.FULL_REFRESH -%}
        {%- set tables = [] -%}
        {%- for name in ['ml_feature_snapshots', 'traders_labels'] -%}
            {%- set table = adapter.get_relation(this.database, 'gold', name) -%}
            {%- if table is not none -%}{%- do tables.append([table, 'snapshot_date']) -%}{%- endif -%}
        {%- endfor -%}
        {%- if tables | length == 2 -%}{%- set found.day = trader_first_new_date(tables) -%}{%- endif -%}
    {%- endif -%}
    cast('{{ found.day }}' as date)
{%- endmacro %}

{% macro trader_first_new_date(tables, days=0) -%}
    {%- set changed = trader_changed_date() -%}
    {%- if changed in ['1900-01-01', '9999-12-31'] -%}{{ return(changed) }}{%- endif -%}
    {%- set dates = ["date '" ~ changed ~ "'"] -%}
    {%- for table, column in tables -%}
        {%- do dates.append("coalesce((select max(" ~ column ~ ") + 1 from " ~ table ~ "), date '1901-01-01')") -%}
    {%- endfor -%}
    {{ return(run_query('select cast(least(' ~ dates | join(', ') ~ ') - ' ~ days ~ ' as varchar)').columns[0].values()[0]) }}
{%- endmacro %}
