{#
    Quantiles of all finite values of all dates up to and including each date, exactly, without a window over all of history: values are counted
    in buckets, the bucket that holds an order statistic is found from running counts, and only its rows are sorted. The bucket of x is
    floor(sign(x) sqrt(|x|) * scale): square roots are correctly rounded, so buckets are in the order of the values, and no choice of
    `scale` can change a result, only its cost.

    A list of CTEs (no `with`, no comma at the end); the last one, `<prefix>_quantiles`, has a row per date from `first_date` on that has rows:
    date, n_x (finite values so far) and quantile_1, quantile_2, ..., NULL where n_x is 0.

    relation       CTE with date and the column; read three times
    probabilities  list of numbers from 0 to 1
    first_date     SQL of the first date that is wanted; earlier ones only count
#}
{% macro cs_expanding_quantiles(prefix, relation, column, probabilities, first_date, scale=16) -%}
    {%- for probability in probabilities -%}
        {%- if probability is not number or probability < 0 or probability > 1 -%}
            {%- do cs_refuse('cs_expanding_quantiles', 'a probability', probability, 'a number from 0 to 1', 'give 0.05, not 5, for 5 %') -%}
        {%- endif -%}
    {%- endfor -%}
    {{ prefix }}_values as (
        select
            greatest(date, {{ first_date }}) as date,
            cast({{ column }} as double) as x,
            cast(floor(sign({{ column }}) * sqrt(abs(cast({{ column }} as double))) * {{ cs_double(scale) }}) as bigint) as bucket
        from {{ relation }}
        where {{ cs_is_finite(column) }}
    ),

    {{ prefix }}_dates as (
        select distinct date
        from {{ relation }}
        where date >= {{ first_date }}
    ),

    {{ prefix }}_counts as (
        select
            date,
            bucket,
            count(*) as n
        from {{ prefix }}_values
        group by date, bucket
    ),

    {{ prefix }}_grid as (
        select
            dates.date,
            buckets.bucket,
            cast(
                sum(coalesce(counts.n, 0)) over (
                    partition by buckets.bucket order by dates.date rows between unbounded preceding and current row
                ) as bigint
            ) as n
        from (
            select date from {{ prefix }}_dates
            union
            select date from {{ prefix }}_counts
        ) as dates
        cross join (select distinct bucket from {{ prefix }}_counts) as buckets
        left join {{ prefix }}_counts as counts on dates.date = counts.date and buckets.bucket = counts.bucket
    ),

    {{ prefix }}_placed as (
        select
            date,
            bucket,
            n,
            cast(sum(n) over (partition by date order by bucket rows between unbounded preceding and current row) as bigint)
                - n as n_below,
            cast(sum(n) over (partition by date) as bigint) as n_all
        from {{ prefix }}_grid
    ),

    {#- Each quantile lies between two order statistics, counted from 0; they may lie in two buckets. #}

    {{ prefix }}_wanted as (
        {%- for statistic in range(2 * probabilities | length) %}
        {%- set place = ['floor', 'ceil'][statistic % 2] ~ '(' ~ cs_double(probabilities[statistic // 2]) ~ ' * (n_all - 1))' %}
        select
            date,
            bucket,
            {{ statistic + 1 }} as statistic,
            cast({{ place }} as bigint) - n_below + 1 as place
        from {{ prefix }}_placed
        where cast({{ place }} as bigint) >= n_below and cast({{ place }} as bigint) < n_below + n
        {{ 'union all' if not loop.last }}
        {%- endfor %}
    ),

    {{ prefix }}_sorted as (
        select
            targets.date,
            targets.bucket,
            listed.x,
            row_number() over (partition by targets.date, targets.bucket order by listed.x) as place
        from (select distinct date, bucket from {{ prefix }}_wanted) as targets
        inner join {{ prefix }}_values as listed
            on targets.bucket = listed.bucket and targets.date >= listed.date
    ),

    {{ prefix }}_quantiles as (
        select
            dates.date,
            coalesce(max(totals.n_all), 0) as n_x,
            {%- for probability in probabilities %}
            {%- set low = 'max(sorted.x) filter (where wanted.statistic = ' ~ (2 * loop.index0 + 1) ~ ')' %}
            {%- set high = 'max(sorted.x) filter (where wanted.statistic = ' ~ (2 * loop.index0 + 2) ~ ')' %}
            {%- set h = cs_double(probability) ~ ' * (max(totals.n_all) - 1)' %}
            {{ low }} + ({{ h }} - floor({{ h }})) * ({{ high }} - {{ low }}) + 0e0 as quantile_{{ loop.index }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ prefix }}_dates as dates
        left join (select distinct date, n_all from {{ prefix }}_placed) as totals on dates.date = totals.date
        left join {{ prefix }}_wanted as wanted on dates.date = wanted.date
        left join {{ prefix }}_sorted as sorted
            on wanted.date = sorted.date and wanted.bucket = sorted.bucket and wanted.place = sorted.place
        group by dates.date
    )
{%- endmacro %}
