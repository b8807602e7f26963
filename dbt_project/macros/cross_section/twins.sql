{#
    Cross-sectional twins of a list of features, as a list of CTEs (no `with`, no comma at the end). The last one, `<prefix>_twins`, has one row
    per row of `relation`: the keys, then the twins as FLOAT, feature by feature, in the order of cs_twin_names.

    suffix    twin of x, over the rows of the date
    _dm       z-score: (x - mean) / sd
    _rank     average-tie rank over the number of values: pandas' rank(pct=True)
    _sn       z-score within the group (the sector)
    _wz       z-score after clipping at median +- 5 * 1.4826 MAD
    _gauss    standard normal quantile of (rank - 1/2) / n
    _fn       residual of a regression on `factors` and an intercept, over its sd

    NULL stays NULL; sd is the sample standard deviation, and a z-score is 0 where that is 0 or undefined.

    relation    CTE with the rows of the cross-section only, one per key: date, the keys, the group, and features and factors under their own
                names, finite or NULL. It is read several times: a cheap selection (`as not materialized`), or one that the engine materializes
    features    mappings with name and quantum (macros/features/)
    twins       suffixes for all features, or a mapping from suffix to a list of feature names or 'all'; their order is that of the columns
    keys        columns that identify a row; one integer is quicker than symbol and date
    group       column of the groups; never NULL
    factors     features to regress on; in the order given, a later one that is collinear with earlier ones is dropped
#}
{% macro cs_twins(relation, features, twins, keys=['symbol', 'date'], group='sector_group', factors=[], prefix='cs') -%}
    {%- do cs_check_twins(features, twins, factors) -%}
    {%- set plan = cs_twin_plan(features, twins) -%}
    {%- set twinned = cs_twinned(features, twins, cs_twin_suffixes()) -%}
    {%- set grouped = cs_twinned(features, twins, ['_sn']) -%}
    {%- set ranked = cs_twinned(features, twins, ['_rank', '_gauss']) -%}
    {%- set clipped = cs_twinned(features, twins, ['_wz']) -%}
    {%- set regressed = cs_twinned(features, twins, ['_fn']) -%}
    {{ prefix }}_group_moments as (
        select
            date,
            {{ group }},
            count(*) as n_rows,
            {%- for feature in twinned %}
            {{ cs_moments(feature.name, feature.quantum) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ relation }}
        group by date, {{ group }}
    ),

    {#- Exact integers: the date's moments are the sum of its groups'. #}

    {{ prefix }}_date_moments as (
        select
            date,
            cast(sum(n_rows) as bigint) as n_rows,
            {%- for feature in twinned %}
            {{ cs_pooled_moments(feature.name) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_group_moments
        group by date
    ),

    {{ prefix }}_by_date as (
        select
            date,
            n_rows,
            {%- for feature in twinned %}
            {{ cs_scale(feature.name, feature.quantum) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_date_moments
    ),

    {%- if grouped %}

    {{ prefix }}_by_group as (
        select
            date,
            {{ group }},
            {%- for feature in grouped %}
            {{ cs_scale(feature.name, feature.quantum) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_group_moments
    ),
    {%- endif %}

    {%- for batch in ranked | batch(6) %}

    {{ prefix }}_ranked_{{ loop.index }} as (
        select
            {{ keys | join(', ') }},
            {%- for feature in batch %}
            {{ cs_rank_ends(feature.name, 'date') | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ relation }}
    ),
    {%- endfor %}

    {%- if clipped %}

    {{ cs_clipped_scale(relation, clipped, prefix) }},
    {%- endif %}

    {%- if regressed %}

    {{ cs_residual_fits(relation, regressed, factors, prefix=prefix ~ '_residual') }},
    {%- endif %}

    {{ prefix }}_joined as (
        select
            {%- for key in keys %}
            {{ relation }}.{{ key }},
            {%- endfor %}
            {%- for feature, suffix in plan %}
            {{ cs_twin(feature, suffix, relation, ranked, factors, prefix) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ relation }}
        inner join {{ prefix }}_by_date on {{ relation }}.date = {{ prefix }}_by_date.date
        {%- if grouped %}
        inner join {{ prefix }}_by_group on {{ relation }}.date = {{ prefix }}_by_group.date
            and {{ relation }}.{{ group }} = {{ prefix }}_by_group.{{ group }}
        {%- endif %}
        {%- for batch in ranked | batch(6) %}
        {%- set name = prefix ~ '_ranked_' ~ loop.index %}
        inner join {{ name }} on {% for key in keys %}{{ ' and ' if not loop.first }}{{ relation }}.{{ key }} = {{ name }}.{{ key }}{% endfor %}
        {%- endfor %}
        {%- if clipped %}
        inner join {{ prefix }}_caps on {{ relation }}.date = {{ prefix }}_caps.date
        inner join {{ prefix }}_clipped_scale on {{ relation }}.date = {{ prefix }}_clipped_scale.date
        {%- endif %}
        {%- if regressed %}
        inner join {{ prefix }}_residual_fits on {{ relation }}.date = {{ prefix }}_residual_fits.date
        {%- endif %}
    ),

    {{ prefix }}_twins as (
        select
            {{ keys | join(', ') }},
            {%- for feature, suffix in plan %}
            {%- set value = cs_gaussian_rank(feature.name, prefix ~ '_joined') if suffix == '_gauss' else feature.name ~ suffix %}
            cast({{ value | indent(8) }} as float) as {{ feature.name }}{{ suffix }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_joined
    )
{%- endmacro %}

{# Columns of <prefix>_joined: the twin, or the arguments of its last step. #}
{% macro cs_twin(feature, suffix, relation, ranked, factors, prefix) -%}
    {%- set column = relation ~ '.' ~ feature.name -%}
    {%- set by_date = prefix ~ '_by_date' -%}
    {%- set ends = namespace(name=none) -%}
    {%- for batch in ranked | batch(6) -%}
        {%- if feature in batch -%}{%- set ends.name = prefix ~ '_ranked_' ~ loop.index -%}{%- endif -%}
    {%- endfor -%}
    {%- if suffix == '_dm' -%}
        {{ cs_zscore(column, by_date) }} as {{ feature.name }}_dm
    {%- elif suffix == '_rank' -%}
        {{ cs_rank(column, ends.name, by_date) }} as {{ feature.name }}_rank
    {%- elif suffix == '_sn' -%}
        {{ cs_neutralize(column, prefix ~ '_by_group') }} as {{ feature.name }}_sn
    {%- elif suffix == '_wz' -%}
        {%- set scale = prefix ~ '_clipped_scale' -%}
        case
            when {{ column }} is not null
                then coalesce(
                    ({{ cs_winsorize(column, prefix ~ '_caps') | indent(12) }} - {{ scale }}.mean_{{ feature.name }})
                    / {{ scale }}.sd_{{ feature.name }},
                    0
                )
        end as {{ feature.name }}_wz
    {%- elif suffix == '_gauss' -%}
        {{ cs_gaussian_rank_arguments(column, ends.name, by_date) }}
    {%- elif suffix == '_fn' -%}
        {%- set factor_columns = [] -%}
        {%- for factor in factors -%}{%- do factor_columns.append(relation ~ '.' ~ factor.name) -%}{%- endfor -%}
        {{ cs_residual_zscore(column, factor_columns, prefix ~ '_residual_fits') }} as {{ feature.name }}_fn
    {%- endif -%}
{%- endmacro %}

{# CTEs with the caps at 5 MAD, and mean and deviation of what they leave. #}
{% macro cs_clipped_scale(relation, features, prefix) -%}
    {{ prefix }}_medians as (
        select
            date,
            {%- for feature in features %}
            {{ cs_median(feature.name) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ relation }}
        group by date
    ),

    {{ prefix }}_deviations as (
        select
            {{ relation }}.date,
            {%- for feature in features %}
            min({{ prefix }}_medians.mid_{{ feature.name }}) as mid_{{ feature.name }},
            {{ cs_mad(relation ~ '.' ~ feature.name, prefix ~ '_medians') }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ relation }}
        inner join {{ prefix }}_medians on {{ relation }}.date = {{ prefix }}_medians.date
        group by {{ relation }}.date
    ),

    {{ prefix }}_caps as (
        select
            date,
            {%- for feature in features %}
            {{ cs_mad_caps(feature.name, prefix ~ '_deviations', 5) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_deviations
    ),

    {{ prefix }}_clipped as (
        select
            {{ relation }}.date,
            {%- for feature in features %}
            {{ cs_winsorize(relation ~ '.' ~ feature.name, prefix ~ '_caps') | indent(8) }} as {{ feature.name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ relation }}
        inner join {{ prefix }}_caps on {{ relation }}.date = {{ prefix }}_caps.date
    ),

    {{ prefix }}_clipped_moments as (
        select
            date,
            {%- for feature in features %}
            {{ cs_moments(feature.name, feature.quantum) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_clipped
        group by date
    ),

    {{ prefix }}_clipped_scale as (
        select
            date,
            {%- for feature in features %}
            {{ cs_scale(feature.name, feature.quantum) | indent(8) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_clipped_moments
    )
{%- endmacro %}

{# Names of the twins in the order of their columns. #}
{% macro cs_twin_names(features, twins) -%}
    {%- set names = [] -%}
    {%- for feature, suffix in cs_twin_plan(features, twins) -%}{%- do names.append(feature.name ~ suffix) -%}{%- endfor -%}
    {{ return(names) }}
{%- endmacro %}

{# The twins of a row outside the cross-section, for the other side of a UNION ALL. #}
{% macro cs_twin_nulls(features, twins) -%}
    {%- for name in cs_twin_names(features, twins) -%}
    cast(null as float) as {{ name }}{{ ',\n' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# Pairs of feature and suffix in the order of their columns. #}
{% macro cs_twin_plan(features, twins) -%}
    {%- set plan = [] -%}
    {%- for feature in features -%}
        {%- for suffix in twins -%}
            {%- if twins is not mapping or twins[suffix] == 'all' or feature.name in twins[suffix] -%}
                {%- do plan.append([feature, suffix]) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(plan) }}
{%- endmacro %}

{# The features that have one of these twins. #}
{% macro cs_twinned(features, twins, suffixes) -%}
    {%- set found = [] -%}
    {%- for feature, suffix in cs_twin_plan(features, twins) -%}
        {%- if suffix in suffixes and feature not in found -%}{%- do found.append(feature) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{% macro cs_twin_suffixes() -%}
    {{ return(['_dm', '_rank', '_sn', '_wz', '_gauss', '_fn']) }}
{%- endmacro %}

{% macro cs_check_twins(features, twins, factors) -%}
    {%- set names = features | map(attribute='name') | list -%}
    {%- for suffix in twins -%}
        {%- if suffix not in cs_twin_suffixes() -%}
            {%- do cs_refuse('cs_twins', 'a suffix', suffix, 'one of ' ~ cs_twin_suffixes() | join(', '), 'correct it') -%}
        {%- endif -%}
        {%- if twins is mapping and twins[suffix] != 'all' -%}
            {%- for name in twins[suffix] if name not in names -%}
                {%- do cs_refuse('cs_twins', 'a feature of ' ~ suffix, name, 'one of the features', 'correct the name, or add the feature') -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not cs_twin_plan(features, twins) -%}
        {%- do cs_refuse('cs_twins', 'the list of twins', 'empty', 'at least one feature with one suffix', 'name some') -%}
    {%- endif -%}
    {%- for feature, suffix in cs_twin_plan(features, twins) -%}
        {%- if not feature.quantum -%}
            {%- set remedy = 'give it a quantum, or leave it out: without one it has no twins' -%}
            {%- do cs_refuse('cs_twins', 'the quantum of ' ~ feature.name, 'none', 'a grid such as 1e-12', remedy) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if '_fn' in twins and not factors -%}
        {%- do cs_refuse('cs_twins', 'the list of factors', 'empty', 'at least one factor where a twin is _fn', 'name the factors, or leave _fn out') -%}
    {%- endif -%}
{%- endmacro %}
