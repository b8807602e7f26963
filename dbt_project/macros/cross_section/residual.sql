{#
    What a date's linear regression on several factors leaves of a value: y less its projection on an intercept (or one intercept per group,
    such as the sector) and the factors. `cs_residual_fits` gives a list of CTEs, the last of them the regressions; `cs_residual` the residual.

        {{ cs_residual_fits('universe', [momentum], [size, beta]) }},
        ... select {{ cs_residual('universe.momentum', ['universe.size', 'universe.beta'], 'residual_fits') }}
        from universe inner join residual_fits on universe.date = residual_fits.date

    `values` and `factors` are features: mappings with a name, which is a column of `relation`, and a quantum. With a `group`, a column that is
    never NULL, join on it too. Only rows with the value and every factor take part, and only they have a residual. The moments are exact
    integers, so neither threads nor the order of rows show; n * |x| / quantum must stay below 1.3e19.

    Per date and value the correlation matrix of the factors, with the value as its last row, is decomposed by Cholesky (Golub and Van Loan 2013,
    Matrix Computations, section 4.2), written out for the number of factors. Variables enter in the order given, so what is left on the diagonal
    is the share of a variable's variance that the earlier ones do not explain. That settles the edges without a NaN:

    - a factor with a share of 1e-9 or less (collinear with earlier ones, or constant) is dropped;
    - a value with a share of 1e-9 or less is explained: its residual is 0;
    - with no more rows than coefficients (factors and intercepts) nothing is fitted: the residual is the value less its mean (of its group).
#}
{% macro cs_residual_fits(relation, values, factors, group=none, prefix='residual') -%}
    {%- do cs_check_residual(values, factors) -%}
    {%- set groups = 'date' ~ (', ' ~ group if group else '') -%}
    {%- set k = factors | length -%}
    {{ prefix }}_integers as (
        select
            {{ groups }},
            {%- for feature in factors %}
            {{ cs_complete(feature, factors) | indent(8) }} as f_{{ loop.index }},
            {%- endfor %}
            {%- for feature in values %}
            {{ cs_complete(feature, factors) | indent(8) }} as v_{{ feature.name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ relation }}
    ),

    {{ prefix }}_products as (
        select
            *,
            {%- for i, j in cs_factor_pairs(k) %}
            cast(f_{{ i }} as hugeint) * f_{{ j }} as p_{{ i }}_{{ j }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_integers
    ),

    {{ prefix }}_sums as (
        select
            {{ groups }},
            {%- for feature in values %}
            {{ cs_residual_sums(feature.name, k) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_products
        group by {{ groups }}
    ),

    {{ prefix }}_moments as (
        select
            date,
            {%- for feature in values %}
            {{ cs_residual_moments(feature.name, k) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_sums
        group by date
    ),

    {%- for j in range(1, k + 1) %}

    {{ prefix }}_factor_{{ j }} as (
        select
            *,
            {%- for feature in values %}
            {{ cs_cholesky_column(feature.name, j, k) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_{{ 'moments' if j == 1 else 'factor_' ~ (j - 1) }}
    ),
    {%- endfor %}

    {%- for j in range(k, 0, -1) %}

    {{ prefix }}_slope_{{ j }} as (
        select
            *,
            {%- for feature in values %}
            {{ cs_back_substitution(feature.name, j, k) }} as {{ feature.name }}_b_{{ j }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_{{ 'factor_' ~ k if j == k else 'slope_' ~ (j + 1) }}
    ),
    {%- endfor %}

    {{ prefix }}_fits as (
        select
            sums.date,
            {%- if group %}
            sums.{{ group }},
            {%- endif %}
            {%- for feature in values %}
            {{ cs_residual_fit(feature, factors) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_sums as sums
        inner join {{ prefix }}_slope_1 as slopes on sums.date = slopes.date
    )
{%- endmacro %}

{# `column` and `factor_columns` may be qualified; `fits` names the last CTE of cs_residual_fits. #}
{% macro cs_residual(column, factor_columns, fits) -%}
    case
        when {{ cs_any_null([column] + factor_columns) }} then null
        when {{ fits }}.is_explained_{{ column.split('.')[-1] }} then 0e0
        else {{ cs_unexplained(column, factor_columns, fits) }}
    end
{%- endmacro %}

{# The residual over its sample standard deviation on the date; 0 where that is 0 or undefined. #}
{% macro cs_residual_zscore(column, factor_columns, fits) -%}
    {%- set name = column.split('.')[-1] -%}
    case
        when {{ cs_any_null([column] + factor_columns) }} then null
        when {{ fits }}.is_explained_{{ name }} or {{ fits }}.sd_{{ name }} is null then 0e0
        else ({{ cs_unexplained(column, factor_columns, fits) }}) / {{ fits }}.sd_{{ name }}
    end
{%- endmacro %}

{% macro cs_unexplained(column, factor_columns, fits) -%}
    {%- set name = column.split('.')[-1] -%}
    {{ column }} - {{ fits }}.mean_{{ name }}
    {%- for factor in factor_columns %}
    - {{ fits }}.slope_{{ name }}_{{ loop.index }} * ({{ factor }} - {{ fits }}.mean_{{ name }}_{{ loop.index }})
    {%- endfor %}
{%- endmacro %}

{# The quantised value where every factor is there. #}
{% macro cs_complete(feature, factors) -%}
    case
        when {% for factor in factors %}{{ ' and ' if not loop.first }}{{ factor.name }} is not null{% endfor %}
            then {{ cs_quantised(feature.name, feature.quantum) }}
    end
{%- endmacro %}

{# Factors are numbered 1 to k, and v is the value: pairs of them, the later one first. #}
{% macro cs_factor_pairs(k) -%}
    {%- set pairs = [] -%}
    {%- for i in range(1, k + 1) -%}
        {%- for j in range(1, i + 1) -%}{%- do pairs.append([i, j]) -%}{%- endfor -%}
    {%- endfor -%}
    {{ return(pairs) }}
{%- endmacro %}

{% macro cs_variable_pairs(k) -%}
    {%- set pairs = cs_factor_pairs(k) -%}
    {%- for j in range(1, k + 1) -%}{%- do pairs.append(['v', j]) -%}{%- endfor -%}
    {{ return(pairs + [['v', 'v']]) }}
{%- endmacro %}

{#
    Counts, sums and sums of products over the rows with the value, inside a GROUP BY. CASE rather than FILTER, for which DuckDB copies all
    columns once per aggregate: of 6 values on 3 factors the sums take an eighth of the time.
#}
{% macro cs_residual_sums(value, k) -%}
    {%- set taken = 'case when v_' ~ value ~ ' is not null then ' -%}
    count(v_{{ value }}) as {{ value }}_n,
    {%- for i in range(1, k + 1) %}
    sum({{ taken }}f_{{ i }} end) as {{ value }}_s_{{ i }},
    sum(cast(v_{{ value }} as hugeint) * f_{{ i }}) as {{ value }}_q_v_{{ i }},
    {%- endfor %}
    {%- for i, j in cs_factor_pairs(k) %}
    sum({{ taken }}p_{{ i }}_{{ j }} end) as {{ value }}_q_{{ i }}_{{ j }},
    {%- endfor %}
    sum(v_{{ value }}) as {{ value }}_s_v,
    sum(cast(v_{{ value }} as hugeint) * v_{{ value }}) as {{ value }}_q_v_v
{%- endmacro %}

{# Sums of products about the means of the groups, pooled over the date's groups: whole numbers again, so exact in any order. #}
{% macro cs_residual_moments(value, k) -%}
    {%- set n = value ~ '_n' -%}
    cast(sum({{ n }}) as bigint) as {{ n }},
    sum(case when {{ n }} > 0 then 1 else 0 end) as {{ value }}_intercepts,
    {%- for i, j in cs_variable_pairs(k) %}
    {%- set product = n ~ ' * ' ~ value ~ '_q_' ~ i ~ '_' ~ j ~ ' - ' ~ value ~ '_s_' ~ i ~ ' * ' ~ value ~ '_s_' ~ j %}
    {%- set centred = 'round(cast(' ~ product ~ ' as double) / nullif(' ~ n ~ ', 0))' %}
    cast(sum(cast({{ centred }} as hugeint)) as double) as {{ value }}_m_{{ i }}_{{ j }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#
    Column j of the Cholesky factor of the correlations: its diagonal d_j and the entries l_i_j below. A factor that is dropped, or all of them
    where there are too few rows, have no diagonal and entries 0.
#}
{% macro cs_cholesky_column(value, j, k) -%}
    {%- set left = cs_less_products('1e0', value ~ '_l_' ~ j, value ~ '_l_' ~ j, range(1, j)) -%}
    {%- set rows_suffice = value ~ '_n > ' ~ k ~ ' + ' ~ value ~ '_intercepts' -%}
    {%- set enters = rows_suffice ~ ' and ' ~ value ~ '_m_' ~ j ~ '_' ~ j ~ ' > 0 and ' ~ left ~ ' > ' ~ cs_collinear_share() -%}
    {%- set diagonal = 'case when ' ~ enters ~ ' then sqrt(' ~ left ~ ') end' -%}
    {{ diagonal }} as {{ value }}_d_{{ j }},
    {%- for i in (range(j + 1, k + 1) | list) + ['v'] %}
    {%- set variances = value ~ '_m_' ~ i ~ '_' ~ i ~ ' * ' ~ value ~ '_m_' ~ j ~ '_' ~ j %}
    {%- set correlation = value ~ '_m_' ~ i ~ '_' ~ j ~ ' / nullif(sqrt(' ~ variances ~ '), 0)' %}
    {%- set rest = cs_less_products(correlation, value ~ '_l_' ~ i, value ~ '_l_' ~ j, range(1, j)) %}
    coalesce(({{ rest }}) / {{ diagonal }}, 0) as {{ value }}_l_{{ i }}_{{ j }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{# Slopes between standardised variables, from the last factor to the first. #}
{% macro cs_back_substitution(value, j, k) -%}
    {%- set text = namespace(sum=value ~ '_l_v_' ~ j) -%}
    {%- for i in range(j + 1, k + 1) -%}
        {%- set text.sum = text.sum ~ ' - ' ~ value ~ '_l_' ~ i ~ '_' ~ j ~ ' * ' ~ value ~ '_b_' ~ i -%}
    {%- endfor -%}
    coalesce(({{ text.sum }}) / {{ value }}_d_{{ j }}, 0)
{%- endmacro %}

{# Columns mean_y, sd_y, is_explained_y and per factor mean_y_1, slope_y_1, in the units of the values. #}
{% macro cs_residual_fit(feature, factors) -%}
    {%- set value = feature.name -%}
    {%- set left = cs_less_products('1e0', 'slopes.' ~ value ~ '_l_v', 'slopes.' ~ value ~ '_l_v', range(1, (factors | length) + 1)) -%}
    {%- set variance = 'slopes.' ~ value ~ '_m_v_v' -%}
    cast(sums.{{ value }}_s_v as double) / nullif(sums.{{ value }}_n, 0) * {{ feature.quantum }} as mean_{{ value }},
    {%- for factor in factors %}
    {%- set own = 'slopes.' ~ value ~ '_m_' ~ loop.index ~ '_' ~ loop.index %}
    {%- set units = 'sqrt(' ~ variance ~ ' / nullif(' ~ own ~ ', 0)) * (' ~ feature.quantum ~ ' / ' ~ factor.quantum ~ ')' %}
    cast(sums.{{ value }}_s_{{ loop.index }} as double) / nullif(sums.{{ value }}_n, 0) * {{ factor.quantum }} as mean_{{ value }}_{{ loop.index }},
    coalesce(slopes.{{ value }}_b_{{ loop.index }} * {{ units }}, 0) as slope_{{ value }}_{{ loop.index }},
    {%- endfor %}
    {{ variance }} = 0 or {{ left }} <= {{ cs_collinear_share() }} as is_explained_{{ value }},
    nullif(sqrt(greatest({{ left }}, 0) * {{ variance }} / nullif(slopes.{{ value }}_n - 1, 0)) * {{ feature.quantum }}, 0) as sd_{{ value }}
{%- endmacro %}

{# The start less products of two rows of entries, in a written order. #}
{% macro cs_less_products(start, first, second, columns) -%}
    {%- set text = namespace(value=start) -%}
    {%- for m in columns -%}
        {%- set text.value = text.value ~ ' - ' ~ first ~ '_' ~ m ~ ' * ' ~ second ~ '_' ~ m -%}
    {%- endfor -%}
    {{ return(text.value) }}
{%- endmacro %}

{# The share of variance at and below which a variable counts as explained. Factors are stored as FLOAT: rounding leaves about 1e-15. #}
{% macro cs_collinear_share() -%}
    1e-9
{%- endmacro %}

{% macro cs_check_residual(values, factors) -%}
    {%- if not values or not factors -%}
        {%- set remedy = 'name the columns to regress and those to regress them on' -%}
        {%- do cs_refuse('cs_residual_fits', 'values or factors', 'empty', 'at least one of each', remedy) -%}
    {%- endif -%}
    {%- for feature in values + factors if not feature.quantum -%}
        {%- do cs_refuse('cs_residual_fits', 'the quantum of ' ~ feature.name, 'none', 'a grid such as 1e-12', 'give the feature a quantum') -%}
    {%- endfor -%}
{%- endmacro %}
