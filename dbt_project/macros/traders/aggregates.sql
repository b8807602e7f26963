{#
    Mean and trend of each column over a trader's windows of the lookback, as a list of CTEs that ends with `aggregated`: address, the columns,
    n_windows, as_of, known_at. The trend is the mean of the last third of the windows less the mean of the first third, each of at least one.
    Sums are sums of whole numbers, in units of 1e-11, so that both ways to them give the same bits: for a few dates the windows of each are added
    up; for a whole history running totals are taken and subtracted.

    relation    CTE with address, snapshot_date, known_at and the columns: all windows of the lookback of the first date and later
    first_date  SQL of the first date that is wanted
    few         whether only a few dates are wanted
#}
{% macro trader_aggregates(relation, names, first_date, few) -%}
    {%- set lookback = var('trader_lookback_days') -%}
    placed as (
        select
            address,
            snapshot_date,
            row_number() over (partition by address order by snapshot_date) as place,
            count(*) over (
                partition by address order by snapshot_date
                range between interval {{ lookback }} day preceding and current row
            ) as n_windows
        -- Without the columns: a window would carry them all through its sort.
        from (select address, snapshot_date from {{ relation }}) as narrow
    ),

    spans as (
        select
            address,
            snapshot_date as as_of,
            place,
            n_windows,
            greatest(n_windows // 3, 1) as third
        from placed
        where snapshot_date >= {{ first_date }} and n_windows >= {{ var('trader_min_windows') }}
    ),

    {% if few -%}
    -- 1 in the last third, -1 in the first, 0 between, and where they overlap.
    weighed as (
        select
            spans.as_of,
            spans.n_windows,
            spans.third,
            case when placed.place > spans.place - spans.third then 1 else 0 end
            - case when placed.place <= spans.place - spans.n_windows + spans.third then 1 else 0 end as sign_of_third,
            windows.*
        from {{ relation }} as windows
        inner join placed on windows.address = placed.address and windows.snapshot_date = placed.snapshot_date
        inner join spans
            on placed.address = spans.address
            and placed.place <= spans.place
            and placed.place > spans.place - spans.n_windows
    ),

    summed as (
        select
            address,
            as_of,
            n_windows,
            third,
            {%- for name in names %}
            sum({{ trader_fixed(name) }}) as sum_{{ name }},
            sum({{ trader_fixed(name) }} * sign_of_third) as turn_{{ name }},
            {%- endfor %}
            max(known_at) as known_at
        from weighed
        group by address, as_of, n_windows, third
    ),
    {%- else -%}
    totalled as (
        select
            windows.address,
            windows.snapshot_date,
            {%- for name in names %}
            cast(sum({{ trader_fixed('windows.' ~ name) }}) over so_far as bigint) as total_{{ name }},
            {%- endfor %}
            placed.place,
            windows.known_at
        from {{ relation }} as windows
        inner join placed on windows.address = placed.address and windows.snapshot_date = placed.snapshot_date
        window
            so_far as (
                partition by windows.address order by windows.snapshot_date
                rows between unbounded preceding and current row
            )
    ),

    -- Running totals at the date, before the lookback, after its first third, and before its last third.
    summed as (
        select
            spans.address,
            spans.as_of,
            spans.n_windows,
            spans.third,
            {%- for name in names %}
            reached.total_{{ name }} - coalesce(begun.total_{{ name }}, 0) as sum_{{ name }},
            (reached.total_{{ name }} - coalesce(last_third.total_{{ name }}, 0))
            - (first_third.total_{{ name }} - coalesce(begun.total_{{ name }}, 0)) as turn_{{ name }},
            {%- endfor %}
            reached.known_at
        from spans
        inner join totalled as reached on spans.address = reached.address and spans.place = reached.place
        inner join totalled as first_third
            on spans.address = first_third.address
            and spans.place - spans.n_windows + spans.third = first_third.place
        left join totalled as last_third
            on spans.address = last_third.address and spans.place - spans.third = last_third.place
        left join totalled as begun
            on spans.address = begun.address and spans.place - spans.n_windows = begun.place
    ),
    {%- endif %}

    aggregated as (
        select
            address,
            {%- for name in names %}
            cast(sum_{{ name }} as double) / 1e11 / n_windows as {{ name }}_mean,
            cast(turn_{{ name }} as double) / 1e11 / third as {{ name }}_trend,
            {%- endfor %}
            cast(n_windows as double) as n_windows,
            as_of,
            known_at
        from summed
    )
{%- endmacro %}

{# Scores and ranks in units of 1e-11: sums of 91 stay below 2^63 for any number of traders. #}
{% macro trader_fixed(column) -%}
    cast(round({{ column }} * 1e11) as bigint)
{%- endmacro %}

{# Whether a model adds up only a few new dates. #}
{% macro trader_few_dates(first_date, model) -%}
    {%- if not execute -%}{{ return(false) }}{%- endif -%}
    {%- set relation = adapter.get_relation(model.database, model.schema, model.identifier) -%}
    {%- if relation is none -%}{{ return(false) }}{%- endif -%}
    {{ return(run_query(
        'select count(distinct snapshot_date) from ' ~ relation ~ ' where snapshot_date >= ' ~ first_date
    ).columns[0].values()[0] <= 5) }}
{%- endmacro %}
