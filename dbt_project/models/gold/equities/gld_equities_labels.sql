{%- set horizons = equities_label_horizons() -%}
{%- set barrier = barrier_label() -%}
{%- set sessions_in_barrier = var('barrier_sessions') -%}
{%- set longest = 20 + var('delisted_after_sessions') + 1 -%}
{%- set overlapping = {'fwd_5d': 1, 'fwd_20d': 2, barrier: 3} -%}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_from(labels_from()) }}"
) }}

with panel as (
    select * from {{ ref('slv_equity_panel') }}
),

-- Where an exit falls on an absent session: the next bar of the listing, or the session on which the absence became a delisting.
exits as (
    select
        *,
        min(case when is_present then session_index end) over next_bars as exit_index,
        first_value(case when is_present then log_index end ignore nulls) over next_bars as exit_log_index,
        log_index + log_open as entry_log_index
    from panel
    window
        next_bars as (
            partition by symbol, starts_at, listing order by session_index
            rows between current row and {{ var('delisted_after_sessions') - 1 }} following
        )
),

-- The absence of a listing's last rows becomes a delisting on its tenth session, if that session has come.
listings as (
    select
        symbol,
        starts_at,
        listing,
        max(case when is_present then session_index end) as last_index,
        max(session_index) >= max(case when is_present then session_index end) + {{ var('delisted_after_sessions') }} as is_delisted,
        max_by(log_index, case when is_present then session_index end) as last_log_index,
        max_by(suspects, case when is_present then session_index end) as last_suspects
    from panel
    group by symbol, starts_at, listing
),

volatile as (
    select
        exits.*,
        case
            when age > 20 and present_20 >= 16
                then sqrt(
                    {{ fixed_variance(
                        20,
                        '(log_index - lag(log_index, 20) over history)::hugeint',
                        'sum(cast(log_return as hugeint) * log_return) over last_20'
                    ) }}
                ) / 1e12
        end as daily_volatility
    from exits
    window
        history as (partition by symbol, starts_at, listing order by session_index),
        last_20 as (partition by symbol, starts_at, listing order by session_index rows between 19 preceding and current row)
),

ahead as (
    select
        symbol,
        starts_at,
        ends_before,
        is_revised,
        listing,
        session_index,
        date,
        is_present,
        log_index,
        suspects,
        {{ to_fixed('ln(1 + ' ~ var('barrier_take_profit') ~ ' * daily_volatility)') }} as take_profit,
        case
            when 1 - {{ var('barrier_stop') }} * daily_volatility > 0
                then {{ to_fixed('ln(1 - ' ~ var('barrier_stop') ~ ' * daily_volatility)') }}
        end as stop,
        lead(is_present, 1) over history as next_is_present,
        lead(suspects, 1) over history as next_suspects,
        lead(entry_log_index, 1) over history as entry,
        {%- for k in [1, 5, 10, 20] %}
        lead(exit_index, {{ k }}) over history as exit_index_{{ k }},
        lead(exit_log_index, {{ k }}) over history as exit_log_index_{{ k }},
        lead(session_index, {{ k }}) over history as planned_index_{{ k }},
        {%- endfor %}
        {%- for h in range(1, sessions_in_barrier + 1) %}
        lead(log_index + log_high, {{ h }}) over history as high_{{ h }},
        lead(log_index + log_low, {{ h }}) over history as low_{{ h }},
        lead(log_index + log_open, {{ h }}) over history as open_{{ h }}{{ ',' if not loop.last }}
        {%- endfor %}
    from volatile
    window history as (partition by symbol, starts_at, listing order by session_index)
),

touched as (
    select
        ahead.*,
        listings.last_index,
        listings.is_delisted,
        listings.last_log_index,
        listings.last_suspects,
        {{ first_touch(sessions_in_barrier, 'low_{h} <= entry + stop or high_{h} >= entry + take_profit') }} as touch
    from ahead
    inner join listings
        on ahead.symbol = listings.symbol and ahead.starts_at = listings.starts_at and ahead.listing = listings.listing
    where ahead.is_present and ahead.date >= {{ sessions_before_affected(2 * longest) }}
),

barriers as (
    select
        *,
        case touch
            {%- for h in range(1, sessions_in_barrier + 1) %}
            when {{ h }} then low_{{ h }} <= entry + stop
            {%- endfor %}
        end as is_stopped,
        case touch
            {%- for h in range(1, sessions_in_barrier + 1) %}
            when {{ h }} then case
                when low_{{ h }} <= entry + stop then least(open_{{ h }}, entry + stop)
                else greatest(open_{{ h }}, entry + take_profit)
            end
            {%- endfor %}
        end as touch_log_index
    from touched
),

fixed_horizons as (
    {%- for label, k in horizons.items() %}
    select
        symbol,
        starts_at,
        ends_before,
        is_revised,
        session_index,
        date,
        '{{ label }}' as label,
        {% if label == 'ret_1d' -%}
        log_index
        {%- else -%}
        entry
        {%- endif %} as entry_log_index,
        case
            when exit_index_{{ k }} is not null then exit_log_index_{{ k }}
            when is_delisted and session_index < last_index then last_log_index
        end as exit_log_index,
        case
            when not next_is_present then session_index + 1
            when exit_index_{{ k }} is not null then exit_index_{{ k }}
            when is_delisted and session_index < last_index then last_index + {{ var('delisted_after_sessions') }}
            when is_delisted then session_index + 1
        end as end_index,
        case
            when not coalesce(next_is_present, not is_delisted) then 'no_entry'
            when exit_index_{{ k }} is not null then 'resolved'
            when is_delisted then 'delisted'
            else 'pending'
        end as outcome,
        {% if label == 'ret_1d' -%} suspects {%- else -%} next_suspects {%- endif %} as suspects_at_entry
    from touched
    union all
    {%- endfor %}
    select
        symbol,
        starts_at,
        ends_before,
        is_revised,
        session_index,
        date,
        '{{ barrier }}' as label,
        entry as entry_log_index,
        case
            when touch is not null then touch_log_index
            when exit_index_{{ sessions_in_barrier }} is not null then exit_log_index_{{ sessions_in_barrier }}
            when is_delisted and session_index < last_index then last_log_index
        end as exit_log_index,
        case
            when not next_is_present then session_index + 1
            when touch is not null then session_index + touch
            when exit_index_{{ sessions_in_barrier }} is not null then exit_index_{{ sessions_in_barrier }}
            when is_delisted and session_index < last_index then last_index + {{ var('delisted_after_sessions') }}
            when is_delisted then session_index + 1
        end as end_index,
        case
            when not coalesce(next_is_present, not is_delisted) then 'no_entry'
            when is_stopped then 'stop'
            when touch is not null then 'take_profit'
            when exit_index_{{ sessions_in_barrier }} is not null then 'timeout'
            when is_delisted then 'delisted'
            else 'pending'
        end as outcome,
        next_suspects as suspects_at_entry
    from barriers
    where take_profit is not null and stop is not null and take_profit > 0
),

-- An epoch can only end a label while it lasts, and no earlier than it begins.
candidates as (
    select
        *,
        case when end_index is not null then greatest(end_index, starts_at) end as known_index
    from fixed_horizons
    where coalesce(end_index, ends_before - 1) < ends_before
),

chosen as (
    select * from candidates
    where not is_revised
    union all
    select * from candidates
    where is_revised
    qualify row_number() over (partition by symbol, date, label order by known_index asc nulls last, starts_at) = 1
),

-- Concurrency counts every started label, resolved or not: one starts on the session after its decision and stops after its end.
symbols as (
    select
        symbol,
        row_number() over (order by symbol) as symbol_code
    from listings
    group by symbol
),

started as (
    select
        chosen.symbol,
        chosen.date,
        chosen.label,
        chosen.session_index,
        chosen.known_index,
        (symbols.symbol_code * 4 + case chosen.label {% for label, code in overlapping.items() %}when '{{ label }}' then {{ code }} {% endfor %}end) * 1000000 as series_key
    from chosen
    inner join symbols on chosen.symbol = symbols.symbol
    where
        chosen.label in ({% for label in overlapping %}'{{ label }}'{{ ', ' if not loop.last }}{% endfor %})
        and chosen.outcome <> 'no_entry'
),

changes as (
    select
        series_key + session_index + 1 as session_key,
        1 as change
    from started
    union all
    select
        series_key + known_index + 1 as session_key,
        -1 as change
    from started
    where known_index is not null
),

concurrency as (
    select
        session_key,
        session_key // 1000000 as series,
        sum(change) as change
    from changes
    group by session_key
),

running as (
    select
        session_key,
        series,
        lead(session_key) over by_series - session_key as sessions,
        sum(change) over by_series as active
    from concurrency
    window by_series as (partition by series order by session_key)
),

-- Sum of 1 / concurrency over the sessions before each change, exact in units of 1e-12.
weighed as (
    select
        session_key,
        sum(case when active > 0 then cast(round(1e12 / active) as bigint) * sessions else 0 end) over (
            partition by series order by session_key rows between unbounded preceding and 1 preceding
        ) as uniqueness_before
    from running
),

unique_weights as (
    select
        started.symbol,
        started.date,
        started.label,
        {{ from_fixed('finish.uniqueness_before - coalesce(start.uniqueness_before, 0)') }}
        / (started.known_index - started.session_index) as uniqueness_weight
    from started
    inner join weighed as start on started.series_key + started.session_index + 1 = start.session_key
    inner join weighed as finish on started.series_key + started.known_index + 1 = finish.session_key
    where started.date >= {{ labels_from() }}
),

-- A split the prices do not show lies inside the label: its value is not a return.
checked as (
    select
        chosen.symbol,
        chosen.label,
        case
            when chosen.outcome in ('pending', 'no_entry') then chosen.outcome
            when ending.suspects > chosen.suspects_at_entry then 'suspect'
            else chosen.outcome
        end as outcome,
        case
            when chosen.outcome in ('pending', 'no_entry') or ending.suspects > chosen.suspects_at_entry then null
            else exp({{ from_fixed('chosen.exit_log_index - chosen.entry_log_index') }}) - 1
        end as value,
        chosen.session_index,
        chosen.known_index as end_index,
        case when chosen.label in ('ret_1d', 'fwd_1d') then 1.0 else unique_weights.uniqueness_weight end as uniqueness_weight,
        chosen.date
    from chosen
    left join unique_weights
        on chosen.symbol = unique_weights.symbol and chosen.date = unique_weights.date and chosen.label = unique_weights.label
    left join (
        select
            symbol,
            starts_at,
            session_index,
            max(suspects) as suspects
        from panel
        where suspects > 0
        group by symbol, starts_at, session_index
    ) as ending
        on
            chosen.symbol = ending.symbol
            and chosen.starts_at = ending.starts_at
            and chosen.known_index = ending.session_index
    where chosen.date >= {{ labels_from() }}
),

dated as (
    select
        checked.symbol,
        checked.label,
        checked.outcome,
        checked.value,
        case when checked.outcome not in ('pending', 'no_entry') then checked.uniqueness_weight end as uniqueness_weight,
        checked.session_index,
        case when checked.outcome <> 'pending' then checked.end_index end as end_index,
        checked.date,
        case when checked.outcome <> 'pending' then sessions.date end as label_end_date
    from checked
    left join {{ ref('slv_calendar') }} as sessions on checked.end_index = sessions.session_index
)

select * from dated
order by date, symbol, label
