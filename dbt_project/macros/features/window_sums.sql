{#
    Sums over the windows of 5, 10, 20, 30 and 60 sessions, from twelve blocks of five.

    Each row adds up its own last five bars (`block_terms`), in the units of its session; a window of n is n / 5 such blocks, of the row and of those 5,
    10, ... sessions before it, brought to the row's units (`window_terms`): prices y = P / anchor - 1 become x = R (1 + y) - 1 with R the ratio of the
    anchors, sums of x, x^2, k x and x z follow from those of y. Twelve blocks for sixty bars: a fifth of the additions, and deviations from a
    number near the mean keep all their digits. What is missing adds nothing.
#}
{% macro window_sums(panel) -%}
    recent_bars as (
        select
            *,
            {%- for k in range(1, 6) %}
            lag(bar, {{ k }}) over by_series as bar_{{ k }}{{ ',' if not loop.last }}
            {%- endfor %}
        from (
            select
                *,
                struct_pack(
                    high := high, low := low, close := close, volume := cast(volume as double), action := log_action, shares := log_shares,
                    log_volume := {{ single('ln(' ~ single('volume + 1') ~ ')') }}
                ) as bar
            from {{ panel }}
            where date >= {{ sessions_before_block(60) }} and date < {{ block_to() }} and {{ is_in_block('symbol') }}
        ) as packed
        window by_series as (partition by series_key order by session_index)
    ),

    aligned as (
        select
            *,
            {%- for k in range(6) %}
            {%- set bar = lagged('bar', k) %}
            {%- for field in ['high', 'low', 'close'] %}
            {{ bar }}.{{ field }} * exp({{ from_fixed(bar ~ '.action - log_action') }}) as {{ field }}_at_{{ k }},
            {%- endfor %}
            {{ bar }}.volume * exp({{ from_fixed('log_shares - ' ~ bar ~ '.shares') }}) as volume_at_{{ k }},
            {{ bar }}.log_volume + {{ from_fixed('log_shares - ' ~ bar ~ '.shares') }} as log_volume_at_{{ k }}{{ ',' if not loop.last }}
            {%- endfor %}
        from recent_bars
    ),

    measured as (
        select
            *,
            coalesce({% for k in range(5) %}close_at_{{ k }}{{ ', ' if not loop.last }}{% endfor %}) as anchor,
            {%- for k in range(5) %}
            {%- for name, value in block_values().items() %}
            {{ at_lag(value, k) }} as {{ name }}_at_{{ k }},
            {%- endfor %}
            {%- endfor %}
            greatest({% for k in range(5) %}high_at_{{ k }}{{ ', ' if not loop.last }}{% endfor %}) as block_high,
            least({% for k in range(5) %}low_at_{{ k }}{{ ', ' if not loop.last }}{% endfor %}) as block_low
        from aligned
    ),

    blocks as (
        select
            *,
            {{ to_fixed('ln(close)') }} + log_action as log_price,
            struct_pack(
                anchor := coalesce(anchor, 0),
                action := log_action,
                shares := log_shares,
                high := block_high,
                low := block_low,
                {%- for k in range(6) %}
                close_{{ k }} := close_at_{{ k }},
                {%- endfor %}
                {%- for field in ['high', 'low'] %}
                {{ field }}_lag := case{% for k in range(4, -1, -1) %} when {{ field }}_at_{{ k }} = block_{{ field }} then {{ k }}{% endfor %} end,
                {%- endfor %}
                {%- for name, term in block_terms().items() %}
                {{ name }} := {% for k in range(5) %}{{ at_lag(term, k) }}{{ ' + ' if not loop.last }}{% endfor %}{{ ',' if not loop.last }}
                {%- endfor %}
            ) as block_0
        from measured
    ),

    reached as (
        select
            symbol,
            in_universe,
            is_live,
            is_present,
            age,
            open,
            high,
            low,
            close,
            cast(volume as double) as volume,
            log_action,
            log_shares,
            date,
            known_at,
            block_0,
            {%- for n in long_windows() %}
            quantile_disc(log_price, {{ quantile_places(n) }}) over last_{{ n }} as log_quantiles_{{ n }},
            {%- endfor %}
            {%- for offset in range(5, 60, 5) %}
            lag(block_0, {{ offset }}, {{ no_block() }}) over by_series as block_{{ offset }}{{ ',' if not loop.last }}
            {%- endfor %}
        from blocks
        window
            {%- for n in long_windows() %}
            last_{{ n }} as (partition by series_key order by session_index rows between {{ n - 1 }} preceding and current row),
            {%- endfor %}
            by_series as (partition by series_key order by session_index)
    ),

    rescaled as (
        select
            *,
            {%- for offset in range(0, 60, 5) %}
            {%- set block = 'block_' ~ offset %}
            exp({{ from_fixed(block ~ '.action - log_action') }}) as price_scale_{{ offset }},
            exp({{ from_fixed('log_shares - ' ~ block ~ '.shares') }}) as volume_scale_{{ offset }},
            {{ from_fixed('log_shares - ' ~ block ~ '.shares') }} as log_volume_shift_{{ offset }},
            {{ block }}.anchor * exp({{ from_fixed(block ~ '.action - log_action') }}) / close as ratio_{{ offset }}{{ ',' if not loop.last }}
            {%- endfor %}
        from reached
        where is_live and is_present and date >= {{ block_from() }}
    ),

    contributions as (
        select
            *,
            {%- for k in range(1, 61) %}
            {%- set offset = [k // 5 * 5, 55] | min %}
            block_{{ offset }}.close_{{ k - offset }} * price_scale_{{ offset }} as close_{{ k }},
            {%- endfor %}
            {%- for offset in range(0, 60, 5) %}
            block_{{ offset }}.high * price_scale_{{ offset }} as high_of_{{ offset }},
            block_{{ offset }}.low * price_scale_{{ offset }} as low_of_{{ offset }},
            {%- for name, term in window_terms().items() %}
            {{ at_block(term, offset) }} as {{ name }}_of_{{ offset }}{{ '' if offset == 55 and loop.last else ',' }}
            {%- endfor %}
            {%- endfor %}
        from rescaled
    ),

    extremes as (
        select
            *,
            {%- for n, lags in window_parts().items() %}
            {%- set last_window = loop.last %}
            {% for k in lags if k > 0 %}coalesce(sign(close_{{ k }} - close), 0){{ ' + ' if not loop.last }}{% endfor %} as sign_part_{{ n }},
            {%- for field, extreme in [('high', 'greatest'), ('low', 'least')] %}
            {{ extreme }}({% for offset in range(0, n, 5) %}{{ field }}_of_{{ offset }}{{ ', ' if not loop.last }}{% endfor %}) as {{ field }}_extreme_{{ n }}
            {{- '' if last_window and loop.last else ',' }}
            {%- endfor %}
            {%- endfor %}
        from contributions
    ),

    windows as (
        select
            *,
            {%- for n in window_parts() %}
            {%- set last_window = loop.last %}
            {%- for field in ['high', 'low'] %}
            case
                {%- for offset in range(n - 5, -1, -5) %}
                when {{ field }}_of_{{ offset }} = {{ field }}_extreme_{{ n }} then block_{{ offset }}.{{ field }}_lag + {{ offset }}
                {%- endfor %}
            end as {{ field }}_extreme_lag_{{ n }},
            {%- endfor %}
            {% set quantiles %}list_aggregate(
                [close, {% for k in range(1, n) %}close_{{ k }}{{ ', ' if not loop.last }}{% endfor %}], 'quantile_cont', [0.2, 0.8]
            ){% endset %}
            {%- if n not in long_windows() -%}
            {{ quantiles }}
            {%- else -%}
            case
                when {% for offset in range(0, n, 5) %}bars_of_{{ offset }}{{ ' + ' if not loop.last }}{% endfor %} = {{ n }}
                    then [{{ between_places(n, 1, 0.8) }}, {{ between_places(n, 3, 0.2) }}]
                else {{ quantiles }}
            end
            {%- endif %} as quantiles_{{ n }},
            {% for one in window_parts() if one <= n %}sign_part_{{ one }}{{ ' + ' if not loop.last }}{% endfor %} as sign_sum_{{ n }},
            {%- for name in window_terms() %}
            {% for offset in range(0, n, 5) %}{{ name }}_of_{{ offset }}{{ ' + ' if not loop.last }}{% endfor %} as {{ name }}_sum_{{ n }}
            {{- '' if last_window and loop.last else ',' }}
            {%- endfor %}
            {%- endfor %}
        from extremes
    )
{%- endmacro %}

{#
    Quantiles of the longer windows, which lists of their closes would make for a third of the whole time. A complete window has the fractions 0.2 and
    0.8 of n values between the places 0.2 n - 1 and 0.2 n, 0.8 n - 1 and 0.8 n, counted from 0. The logs of prices in fixed point stand in the same order
    in the units of any session, so one sliding window finds these four; the nearest to a place's rank never is another's. What is missing leaves it to lists.
#}
{% macro long_windows() -%}
    {{ return([20, 30, 60]) }}
{%- endmacro %}

{% macro quantile_places(n) -%}
    {%- set fractions = [] -%}
    {%- for place in [n // 5 - 1, n // 5, n * 4 // 5 - 1, n * 4 // 5] -%}{%- do fractions.append('(' ~ place ~ ' + 0.5) / ' ~ n) -%}{%- endfor -%}
    [{{ fractions | join(', ') }}]
{%- endmacro %}

{# The price that stands `share` of the way from one place to the next, in the units of the row. #}
{% macro between_places(n, first, share) -%}
    {%- set price = namespace(at=[]) -%}
    {%- for at in [first, first + 1] -%}{%- do price.at.append('exp(' ~ from_fixed('log_quantiles_' ~ n ~ '[' ~ at ~ '] - log_action') ~ ')') -%}{%- endfor -%}
    {{ price.at[0] }} + {{ share }} * ({{ price.at[1] }} - {{ price.at[0] }})
{%- endmacro %}

{# The windows, each with the lags that the one before it does not have. #}
{% macro window_parts() -%}
    {{ return({5: range(0, 5), 10: range(5, 10), 20: range(10, 20), 30: range(20, 30), 60: range(30, 60)}) }}
{%- endmacro %}

{# Of one bar [k] sessions back, in the units of the block's session. #}
{% macro block_values() -%}
    {{ return({
        'move': '[close] - [close-before]',
        'volume_move': '[volume] - [volume-before]',
        'rate': single('[close] / [close-before]') ~ ' - 1',
        'change': single('ln(' ~ single(single('[volume] / nullif([volume-before], 0)') ~ ' + 1') ~ ')')
    }) }}
{%- endmacro %}

{# Added up over the five bars of a block, NULL as 0. #}
{% macro block_terms() -%}
    {%- set y = '([close] / anchor - 1)' -%}
    {%- set weighted = single('abs([rate]) * [volume]') -%}
    {%- set paired = '[rate] + [change] is not null' -%}
    {%- set terms = {
        'n': 'case when [close] is null then 0.0 else 1.0 end',
        'lags': 'case when [close] is null then 0.0 else [k].0 end',
        'lags_squared': 'case when [close] is null then 0.0 else [k].0 * [k].0 end',
        'y': y,
        'y_squared': y ~ ' * ' ~ y,
        'y_by_lag': '[k].0 * ' ~ y,
        'z': '[log_volume]',
        'z_squared': '[log_volume] * [log_volume]',
        'y_by_z': y ~ ' * [log_volume]',
        'moves': 'case when [move] is null then 0.0 else 1.0 end',
        'ups': 'case when [move] > 0 then 1.0 else 0.0 end',
        'downs': 'case when [move] < 0 then 1.0 else 0.0 end',
        'move': '[move]',
        'move_size': 'abs([move])',
        'pairs': 'case when ' ~ paired ~ ' then 1.0 else 0.0 end',
        'rate': 'case when ' ~ paired ~ ' then [rate] end',
        'rate_squared': 'case when ' ~ paired ~ ' then [rate] * [rate] end',
        'change': 'case when ' ~ paired ~ ' then [change] end',
        'change_squared': 'case when ' ~ paired ~ ' then [change] * [change] end',
        'rate_by_change': '[rate] * [change]',
        'volume': '[volume]',
        'volume_squared': '[volume] * [volume]',
        'weighted': weighted,
        'weighted_squared': weighted ~ ' * ' ~ weighted,
        'volume_move': '[volume_move]',
        'volume_move_size': 'abs([volume_move])'
    } -%}
    {%- set filled = {} -%}
    {%- for name, term in terms.items() -%}
        {%- do filled.update({name: 'cast(coalesce(' ~ term ~ ', 0) as double)'}) -%}
    {%- endfor -%}
    {{ return(filled) }}
{%- endmacro %}

{#
    What a block adds to a window's sums, in the units of the row: [name] is the block's term, [o] its offset in sessions, R the ratio of the anchors,
    G and V the scales of prices and volumes, D the shift of log volumes. k counts sessions back from the row.
#}
{% macro window_terms() -%}
    {%- set x = '([R] * [y] + ([R] - 1) * [n])' -%}
    {{ return({
        'bars': '[n]',
        'lags': '[o] * [n] + [lags]',
        'lags_squared': '[o] * [o] * [n] + 2 * [o] * [lags] + [lags_squared]',
        'price': x,
        'price_squared': '[R] * [R] * [y_squared] + 2 * [R] * ([R] - 1) * [y] + ([R] - 1) * ([R] - 1) * [n]',
        'price_by_lag': '[o] * ' ~ x ~ ' + [R] * [y_by_lag] + ([R] - 1) * [lags]',
        'log_volume': '[z] + [D] * [n]',
        'log_volume_squared': '[z_squared] + 2 * [D] * [z] + [D] * [D] * [n]',
        'price_by_log_volume': '[R] * [y_by_z] + ([R] - 1) * [z] + [D] * ' ~ x,
        'moves': '[moves]',
        'ups': '[ups]',
        'downs': '[downs]',
        'move': '[G] * [move]',
        'move_size': '[G] * [move_size]',
        'pairs': '[pairs]',
        'rate': '[rate]',
        'rate_squared': '[rate_squared]',
        'change': '[change]',
        'change_squared': '[change_squared]',
        'rate_by_change': '[rate_by_change]',
        'volume': '[V] * [volume]',
        'volume_squared': '[V] * [V] * [volume_squared]',
        'weighted': '[V] * [weighted]',
        'weighted_squared': '[V] * [V] * [weighted_squared]',
        'volume_move': '[V] * [volume_move]',
        'volume_move_size': '[V] * [volume_move_size]'
    }) }}
{%- endmacro %}

{# The block of sessions before the series began. #}
{% macro no_block() -%}
    struct_pack(
        anchor := cast(0 as double), action := cast(0 as bigint), shares := cast(0 as bigint), high := cast(null as double), low := cast(null as double),
        {%- for k in range(6) %} close_{{ k }} := cast(null as double),{% endfor %} high_lag := cast(null as integer), low_lag := cast(null as integer),
        {%- for name in block_terms() %} {{ name }} := cast(0 as double){{ ',' if not loop.last }}{% endfor %}
    )
{%- endmacro %}

{# A block's template at lag k: [name] is the value there, [name-before] that of the session before. #}
{% macro at_lag(template, k) -%}
    {{ return(modules.re.sub('\\[([a-z_]+)\\]', '\\1_at_' ~ k, modules.re.sub('\\[([a-z_]+)-before\\]', '\\1_at_' ~ (k + 1), template | replace('[k]', k | string)))) }}
{%- endmacro %}

{# A window's template for the block at an offset. #}
{% macro at_block(template, offset) -%}
    {%- set filled = namespace(text=template | replace('[o]', offset ~ '.0')) -%}
    {%- for letter, column in {'R': 'ratio_', 'G': 'price_scale_', 'V': 'volume_scale_', 'D': 'log_volume_shift_'}.items() -%}
        {%- set filled.text = filled.text | replace('[' ~ letter ~ ']', column ~ offset) -%}
    {%- endfor -%}
    {{ return(modules.re.sub('\\[([a-z_]+)\\]', 'block_' ~ offset ~ '.\\1', filled.text)) }}
{%- endmacro %}
