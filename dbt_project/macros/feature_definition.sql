{#
    What a feature's definition is, for the catalogue and for the feature sets that pin it: the text behind `sql_sha256`.

    Not the text of a model, nor what a build keeps to find out what it must do again (macros/feature_plan.sql): a definition changes only when the
    feature's own expression does, or that of a column which the expression names and which its table states.
#}
{% macro feature_definition(table, feature) -%}
    {%- set computed = {} -%}
    {%- for columns in feature_columns_of(table.name) -%}{%- do computed.update(columns) -%}{%- endfor -%}
    {%- set parts = [feature.sql] -%}
    {%- if computed -%}
        {%- set named = {} -%}
        {%- set waiting = [feature.sql] -%}
        {#- Expressions name columns of earlier steps, so no column waits twice. -#}
        {%- for _ in range(computed | length + 1) if waiting -%}
            {%- set words = modules.re.findall('[a-z_][a-z0-9_]*', waiting | join(' ')) | unique | list -%}
            {%- do waiting.clear() -%}
            {%- for word in words if word in computed and word not in named -%}
                {%- do named.update({word: computed[word]}) -%}
                {%- do waiting.append(computed[word]) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- for column in named | sort -%}{%- do parts.append(column ~ ' = ' ~ named[column]) -%}{%- endfor -%}
    {%- endif -%}
    {{ return(parts | join('; ')) }}
{%- endmacro %}

{# The definition of one of its columns: the same, and for a twin what it is on which grid. #}
{% macro column_definition(definition, feature, suffix) -%}
    {{ return(definition ~ ('; twin ' ~ suffix ~ ' on ' ~ feature.quantum if suffix else '')) }}
{%- endmacro %}

{# The columns of a feature as suffixes of its name: none for its own, then those of its cross-sectional twins. #}
{% macro feature_suffixes(table, feature) -%}
    {%- set suffixes = [''] -%}
    {%- if feature.quantum is not none -%}
        {%- for twin in table.twins -%}
            {%- set chosen = table.twins[twin] if table.twins is mapping else 'all' -%}
            {%- if chosen == 'all' or feature.name in chosen -%}{%- do suffixes.append('_' ~ (twin[1:] if twin[0] == '_' else twin)) -%}{%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(suffixes) }}
{%- endmacro %}

{# What a twin says of its feature's formula, and its unit. #}
{% macro twin_meanings() -%}
    {{ return({
        '_dm': ['z-score over the universe of the date: ', 'standard deviations'],
        '_rank': ['average-tie rank in (0, 1] over the universe of the date: ', 'fraction'],
        '_sn': ['z-score within the sector of the date: ', 'standard deviations'],
        '_wz': ['z-score over the universe of the date, clipped at 5 scaled MAD around the median: ', 'standard deviations'],
        '_gauss': ['inverse normal of the rank over the universe of the date: ', 'standard deviations'],
        '_fn': ['residual on factors over the universe of the date, over its standard deviation: ', 'standard deviations']
    }) }}
{%- endmacro %}
