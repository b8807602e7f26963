{#
    The constructor of every feature's definition, and the checks that refuse a wrong one while dbt parses.

    name         column name: lower case, digits and underscores
    family       the file of macros/features/ that defines it
    window       sessions that the value speaks of, the row's own included; at least 1
    unit         of the value, such as `return`, `ratio` or `USD millions`
    lookback     sessions before the row that the value reads; never negative: that would be the future
    formula      for readers, in the symbols of docs/features.md
    sources      columns of silver.equity_bars, separated by commas
    sql          the expression, over the columns of the model that the feature is computed in
    quantum      grid on which its cross-section is summed; none: it has no cross-sectional twins
    alias        its name elsewhere, such as Qlib's
    version      2 and more for a new definition, which is a new column: a definition is never edited once a set lists it
    description  one sentence, where the formula does not say enough
#}
{% macro feature(name, family, window, unit, lookback, formula, sources, sql, quantum=none, alias='', version=1, description='') -%}
    {%- if not modules.re.fullmatch('[a-z][a-z0-9_]{0,62}', name | string) -%}
        {%- do refuse_feature(family, name, 'the name', name, 'lower case letters, digits and underscores, at most 63, a letter first', 'rename it') -%}
    {%- endif -%}
    {%- if window is not integer or window < 1 -%}
        {%- do refuse_feature(family, name, 'window', window, 'a whole number of sessions, at least 1', 'count the sessions that the value speaks of, its own included') -%}
    {%- endif -%}
    {%- if lookback is not integer or lookback < 0 -%}
        {%- do refuse_feature(family, name, 'lookback', lookback, 'a whole number, at least 0', 'a negative one would read the future: give the sessions before the row') -%}
    {%- endif -%}
    {%- if version is not integer or version < 1 -%}
        {%- do refuse_feature(family, name, 'version', version, 'a whole number, at least 1', 'count the definitions that the feature has had') -%}
    {%- endif -%}
    {%- for field, value in {'unit': unit, 'formula': formula, 'sources': sources, 'sql': sql}.items() -%}
        {%- if not value | string | trim -%}
            {%- do refuse_feature(family, name, field, 'nothing', 'some text', 'every feature says its ' ~ field) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return({
        'name': name, 'family': family, 'window': window, 'unit': unit, 'lookback': lookback, 'formula': formula, 'sources': sources, 'sql': sql,
        'quantum': quantum, 'alias': alias, 'version': version, 'description': description
    }) }}
{%- endmacro %}

{% macro refuse_feature(family, name, what, received, limit, remedy) -%}
    {{ exceptions.raise_compiler_error(
        'macros/features/' ~ family ~ '.sql: feature ' ~ name ~ ': ' ~ what ~ ' is ' ~ received ~ '; it must be ' ~ limit ~ '. Remedy: ' ~ remedy
    ) }}
{%- endmacro %}

{# The column that holds `column` as it was `k` sessions before the row: the column itself for 0. #}
{% macro lagged(column, k) -%}
    {%- if k is not integer or k < 0 -%}
        {%- do refuse_feature('*', 'lagged(' ~ column ~ ', ' ~ k ~ ')', 'the lag', k, 'a whole number, at least 0', 'a negative lag is a later session, which the row cannot know') -%}
    {%- endif -%}
    {{ return(column if k == 0 else column ~ '_' ~ k) }}
{%- endmacro %}

{#
    The list itself, after two checks that no single definition can make: names are distinct, and expressions use only `columns`. `columns` are
    names or, ending in *, beginnings of names.
#}
{% macro checked_features(features, columns) -%}
    {%- set seen = {} -%}
    {%- set known = {} -%}
    {%- set beginnings = [] -%}
    {%- for column in columns -%}
        {%- if column[-1] == '*' -%}{%- do beginnings.append(column[:-1]) -%}{%- else -%}{%- do known.update({column: true}) -%}{%- endif -%}
    {%- endfor -%}
    {%- for one in features -%}
        {%- if one.name in seen -%}
            {%- do refuse_feature(one.family, one.name, 'the name', 'taken by family ' ~ seen[one.name], 'unique in its table', 'name it otherwise, or delete one of the two') -%}
        {%- endif -%}
        {%- do seen.update({one.name: one.family}) -%}
        {%- for word in modules.re.findall("(?<![a-z0-9_.'])[a-z_][a-z0-9_]*(?![a-z0-9_]*\\s*\\(|[a-z0-9_]*')", modules.re.sub("'[^']*'", '', one.sql)) -%}
            {%- if word not in known and word not in sql_words() -%}
                {%- set begins = namespace(found=false) -%}
                {%- for beginning in beginnings -%}
                    {%- if word.startswith(beginning) -%}{%- set begins.found = true -%}{%- endif -%}
                {%- endfor -%}
                {%- if not begins.found -%}
                    {%- do refuse_feature(one.family, one.name, 'a column of its expression', word, 'a column that its model computes', 'correct the name, or add the column to the model') -%}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}

{# Words of an expression that are no columns. #}
{% macro sql_words() -%}
    {{ return([
        'case', 'when', 'then', 'else', 'end', 'and', 'or', 'not', 'null', 'is', 'between', 'in', 'as', 'true', 'false',
        'double', 'float', 'integer', 'bigint', 'hugeint', 'date'
    ]) }}
{%- endmacro %}
