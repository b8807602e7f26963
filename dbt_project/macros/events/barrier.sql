{#
    The barrier: the shares at the best price on the side of the level that defends it, the offer when price comes from below, the bid
    when it comes from above.
#}

{#
    What a row did to the shares at the best price of a side: Cont, Kukanov and Stoikov (2014), equation 2. At a better price the old
    shares stay behind it and the new ones are added; at a worse one the old shares are gone. `better`: how a better or equal price compares.
#}
{% macro side_change(side, better, worse) -%}
    (
        case when {{ side }} {{ better }} {{ side }}_before then {{ side }}_size else 0 end
        - case when {{ side }} {{ worse }} {{ side }}_before then {{ side }}_size_before else 0 end
    ) / 1e3
{%- endmacro %}

{#
    Quotes of the windows before each moment (symbol, date, t1): a row per moment, with the shares added to and taken from each side in the
    last window and the one before, the mean shares shown over the long window, and those in force.
#}
{% macro barrier_of_moments(rows_near) -%}
    select
        symbol,
        t1,
        {%- for side in ['bid', 'ask'] %}
        {%- for window in [1, 2] %}
        sum(greatest({{ share_units(side ~ '_change') }}, 0)) filter (where micro_window = {{ window }}) as {{ side }}_added_{{ window }},
        sum(greatest(-{{ share_units(side ~ '_change') }}, 0)) filter (where micro_window = {{ window }}) as {{ side }}_taken_{{ window }},
        {%- endfor %}
        sum({{ share_units(side ~ '_size') }}) / nullif(count({{ side }}), 0) as {{ side }}_mean,
        max_by(case when {{ side }} is not null then {{ share_units(side ~ '_size') }} else 0 end, tick) as {{ side }}_now,
        {%- endfor %}
        max(is_book) as is_book
    from {{ rows_near }}
    group by symbol, t1
{%- endmacro %}

{# A column of the defending side, or of the one that attacks. #}
{% macro defending(column) -%}
    case direction_sign when 1 then ask_{{ column }} else bid_{{ column }} end
{%- endmacro %}

{% macro attacking(column) -%}
    case direction_sign when 1 then bid_{{ column }} else ask_{{ column }} end
{%- endmacro %}

{# Net change of the defending shares in a window, in mean shares shown. No change at all is 0 while there are quotes. #}
{% macro barrier_delta(window) -%}
    (coalesce({{ defending('added_' ~ window) }}, 0) - coalesce({{ defending('taken_' ~ window) }}, 0))
    / nullif({{ defending('mean') }}, 0)
{%- endmacro %}

{% macro barrier_replenishment(window) -%}
    {{ defending('added_' ~ window) }} / cast(nullif({{ defending('taken_' ~ window) }}, 0) as double)
{%- endmacro %}

{# name and SQL, over a candidate joined with barrier_of_moments. #}
{% macro barrier_features() -%}
    {{ return([
        ['barrier_delta_liq', barrier_delta(1)],
        ['barrier_replenishment_ratio', barrier_replenishment(1)],
        ['barrier_delta_liq_trend', barrier_delta(1) ~ ' - ' ~ barrier_delta(2)],
        ['barrier_replenishment_trend', barrier_replenishment(1) ~ ' - ' ~ barrier_replenishment(2)],
        ['wall_ratio', defending('now') ~ ' / nullif(' ~ defending('mean') ~ ', 0)'],
        ['liquidity_pressure', liquidity_pressure()]
    ]) }}
{%- endmacro %}

{# Imbalance of the shares in force, positive where more stand behind the move than before it (Gould and Bonart 2016). #}
{% macro liquidity_pressure() -%}
    ({{ attacking('now') }} - {{ defending('now') }})
    / cast(nullif({{ attacking('now') }} + {{ defending('now') }}, 0) as double)
{%- endmacro %}

{# The share of what happened to the defending shares in the last window that was added, less the share that was taken. #}
{% macro barrier_net() -%}
    coalesce(
        ({{ defending('added_1') }} - {{ defending('taken_1') }})
        / cast(nullif({{ defending('added_1') }} + {{ defending('taken_1') }}, 0) as double),
        0
    )
{%- endmacro %}
