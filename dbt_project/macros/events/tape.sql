{# The tape: trades, with the side that began them (silver.intraday_trades). #}

{#
    Conditions as flags in hexadecimal (AlgoSeek, QuantConnect): a sale that tells nothing of the price now. events_condition_flags has the
    bits of cash, next day and seller's sales, derivatively priced, sold late, out of sequence, stock and option, average price, price
    variation, official open and close, prior reference price. 0: conditions are no flags.
#}
{% macro is_excluded_sale(condition) -%}
    {%- set flags = var('events_condition_flags') -%}
    {%- if flags -%}
    coalesce(
        case
            when regexp_full_match({{ condition }}, '[0-9a-fA-F]{1,8}')
                then (cast('0x' || {{ condition }} as bigint) & {{ flags }}) <> 0
        end,
        false
    )
    {%- else -%}
    false
    {%- endif -%}
{%- endmacro %}

{# Trades of the windows before each moment: counts, shares and signed shares. #}
{% macro tape_of_moments(rows_near) -%}
    select
        symbol,
        t1,
        {%- for window in [1, 2] %}
        count(*) filter (where micro_window = {{ window }}) as trades_{{ window }},
        sum({{ share_units('size') }}) filter (where micro_window = {{ window }}) as shares_{{ window }},
        sum(side * {{ share_units('size') }}) filter (where micro_window = {{ window }}) as signed_{{ window }},
        {%- endfor %}
        count(*) as trades_long
    from {{ rows_near }}
    group by symbol, t1
{%- endmacro %}

{#
    Sweeps of the last window: trades begun by one side, each within events_sweep_milliseconds of the one before, at events_sweep_prices
    prices or more. Returned as two queries, of which the second reads the first as micro_runs.
#}
{% macro tape_runs(rows_near) -%}
    select
        symbol,
        t1,
        side,
        price,
        tick,
        sum(cast(begins as integer)) over (partition by symbol, t1 order by tick) as run
    from (
        select
            *,
            coalesce(
                side <> lag(side) over in_order
                or ts > lag(ts) over in_order + interval '{{ var("events_sweep_milliseconds") }} milliseconds',
                true
            ) as begins
        from {{ rows_near }}
        where micro_window = 1 and side <> 0
        window in_order as (partition by symbol, t1 order by tick)
    )
{%- endmacro %}

{% macro tape_sweeps(runs) -%}
    select
        symbol,
        t1,
        max(cast(side = 1 as integer)) as swept_up,
        max(cast(side = -1 as integer)) as swept_down
    from (
        select
            symbol,
            t1,
            side
        from {{ runs }}
        group by symbol, t1, run, side
        having count(distinct price) >= {{ var('events_sweep_prices') }}
    )
    group by symbol, t1
{%- endmacro %}

{# Signed shares over shares, positive where the trades were begun in the direction of a break. #}
{% macro tape_imbalance(window) -%}
    direction_sign * signed_{{ window }} / cast(nullif(shares_{{ window }}, 0) as double)
{%- endmacro %}

{# The imbalance, damped where the tape is slow for its long window: half of it at the usual speed. #}
{% macro tape_pressure() -%}
    {{ tape_imbalance(1) }} * trades_1 / (trades_1 + trades_long / {{ var('events_micro_long_windows') }}.0)
{%- endmacro %}

{# name and SQL, over a candidate joined with tape_of_moments and tape_sweeps; counts are 0 where a symbol that trades did not. #}
{% macro tape_features() -%}
    {%- set seconds = var('events_micro_seconds') -%}
    {{ return([
        ['tape_imbalance', tape_imbalance(1)],
        ['tape_velocity', 'trades_1 / ' ~ seconds ~ '.0'],
        ['tape_imbalance_trend', tape_imbalance(1) ~ ' - ' ~ tape_imbalance(2)],
        ['tape_velocity_trend', '(trades_1 - trades_2) / ' ~ seconds ~ '.0'],
        ['sweep_detected', 'case direction_sign when 1 then swept_up else swept_down end'],
        ['tape_pressure', tape_pressure()]
    ]) }}
{%- endmacro %}
