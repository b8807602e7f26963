{#
    Bars of earlier sessions as columns of a row, in the shares and the reinvested dividends of the row's own session:

        price[t-k]  = raw[t-k] * exp(A[t-k] - A[t])       volume[t-k] = raw[t-k] * exp(S[t] - S[t-k])

    with A the running sum of ln(split * (1 + dividend / close)) and S that of ln(split). Without an action in the window these are the raw numbers
    themselves, ties included. An absent session is NULL.

    Every rolling value is then an expression of its row, added up in one written order: no thread, block or start of history shows in a bit,
    which a window function over doubles cannot promise.
#}
{# Rounded to single precision where Qlib, which computes element by element in it, rounds: values agree to 1e-6 only if these roundings do. #}
{% macro single(expression) -%}
    cast(cast({{ expression }} as float) as double)
{%- endmacro %}

{# `<field>_<k>` for each lag k up to `sessions`. One lag of a whole bar costs less than half of what a lag of each of its fields does. #}
{% macro aligned_bars(panel, sessions) -%}
    {%- set fields = ['open', 'high', 'low', 'close'] -%}
    lagged_bars as (
        select
            *,
            {%- for k in range(1, sessions + 1) %}
            lag(bar, {{ k }}) over by_series as bar_{{ k }}{{ ',' if not loop.last }}
            {%- endfor %}
        from (
            select
                *,
                struct_pack(
                    open := open, high := high, low := low, close := close, volume := cast(volume as double),
                    action := log_action, shares := log_shares
                ) as bar
            from {{ panel }}
            where date >= {{ sessions_before_block(sessions) }} and date < {{ block_to() }} and {{ is_in_block('symbol') }}
        ) as packed
        window by_series as (partition by series_key order by session_index)
    ),

    bars as (
        select
            *,
            {%- for k in range(1, sessions + 1) %}
            {%- for field in fields %}
            bar_{{ k }}.{{ field }} * exp({{ from_fixed('bar_' ~ k ~ '.action - log_action') }}) as {{ field }}_{{ k }},
            {%- endfor %}
            bar_{{ k }}.volume * exp({{ from_fixed('log_shares - bar_' ~ k ~ '.shares') }}) as volume_{{ k }}{{ ',' if not loop.last }}
            {%- endfor %}
        from lagged_bars
        where is_live and is_present and date >= {{ block_from() }}
    )
{%- endmacro %}
