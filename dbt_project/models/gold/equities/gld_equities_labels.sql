{%- set horizons = equities_label_horizons() -%}
{%- set barrier = barrier_label() -%}
{%- set sessions_in_barrier = var('barrier_sessions') -%}
{%- set longest = 20 + var('delisted_after_sessions') + 1 -%}
{%- set overlapping = ['fwd_5d', 'fwd_20d', barrier] -%}
{%- set labels = ['ret_1d', 'fwd_1d', 'fwd_5d', 'fwd_20d', barrier] -%}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_from(labels_from()) }}"
) }}

-- The labels that follow, and before them the 20 sessions of their volatility and the absence that may lie between.
with panel as (
    select * from {{ ref('slv_equity_panel') }}
    where date >= {{ sessions_before_affected(2 * longest + 20 + var('delisted_after_sessions') + 1) }}
),

-- Where an exit falls on an absent session: the next bar of the listing, or the session on which the absence became a
-- delisting.
exits as (
    select
        *,
        min(case when is_present then session_index end) over next_bars as exit_index,
        first_value(case when is_present then log_index end ignore nulls) over next_bars as exit_log_index,
        log_index + log_open as entry_log_index
    from panel
    window
        next_bars as (
            partition by series_key order by session_index
            rows between current row and {{ var('delisted_after_sessions') - 1 }} following
        )
),

-- The absence of a listing's last rows becomes a delisting on its tenth session, if that session has come.
listings as (
    select
        any_value(symbol) as symbol,
        series_key,
        max(case when is_present then session_index end) as last_index,
        max(session_index) >= max(case when is_present then session_index end) + {{ var('delisted_after_sessions') }}
            as is_delisted,
        max_by(log_index, case when is_present then session_index end) as last_log_index
    from panel
    group by series_key
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
        history as (partition by series_key order by session_index),
        last_20 as (partition by series_key order by session_index rows between 19 preceding and current row)
),

ahead as (
    select
        symbol,
        starts_at,
        ends_before,
        is_revised,
        series_key,
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
    window history as (partition by series_key order by session_index)
),

touched as (
    select
        ahead.*,
        listings.last_index,
        listings.is_delisted,
        listings.last_log_index,
        {{ first_touch(sessions_in_barrier, 'low_{h} <= entry + stop or high_{h} >= entry + take_profit') }} as touch
    from ahead
    inner join listings
        on ahead.series_key = listings.series_key
    where ahead.is_present and ahead.date >= {{ sessions_before_affected(2 * longest) }}
),

barriers as (
    select
        *,
        coalesce(next_is_present, not is_delisted) as has_entry,
        is_delisted and session_index < last_index as is_cut_short,
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

ended as (
    select
        symbol,
        starts_at,
        ends_before,
        is_revised,
        session_index,
        date,
        has_entry,
        take_profit > 0 and stop is not null as has_barriers,
        suspects as suspects_at_close,
        next_suspects as suspects_at_entry,
        log_index as close_log_index,
        entry as entry_log_index,
        {%- for label, k in horizons.items() %}
        {{ label_exit('exit_log_index_' ~ k, 'last_log_index') }} as exit_{{ label }},
        {{ label_end('exit_index_' ~ k) }} as end_{{ label }},
        {{ label_outcome("'resolved'", 'exit_index_' ~ k) }} as outcome_{{ label }},
        {%- endfor %}
        case
            when touch is not null then touch_log_index
            else {{ label_exit('exit_log_index_' ~ sessions_in_barrier, 'last_log_index') }}
        end as exit_{{ barrier }},
        case
            when has_entry and touch is not null then session_index + touch
            else {{ label_end('exit_index_' ~ sessions_in_barrier) }}
        end as end_{{ barrier }},
        case
            when has_entry and is_stopped then 'stop'
            when has_entry and touch is not null then 'take_profit'
            else {{ label_outcome("'timeout'", 'exit_index_' ~ sessions_in_barrier) }}
        end as outcome_{{ barrier }}
    from barriers
),

-- An epoch can only end a label while it lasts, and no earlier than it begins; of several epochs the first to end it
-- counts.
revised as (
    select
        symbol,
        session_index,
        {%- for label in labels %}
        min_by(exit_{{ label }}, greatest(end_{{ label }}, starts_at))
            filter (where end_{{ label }} < ends_before) as exit_{{ label }},
        min_by(entry_log_index, greatest(end_{{ label }}, starts_at))
            filter (where end_{{ label }} < ends_before) as entry_{{ label }},
        min_by(close_log_index, greatest(end_{{ label }}, starts_at))
            filter (where end_{{ label }} < ends_before) as close_{{ label }},
        min_by(outcome_{{ label }}, greatest(end_{{ label }}, starts_at))
            filter (where end_{{ label }} < ends_before) as outcome_{{ label }},
        min(greatest(end_{{ label }}, starts_at))
            filter (where end_{{ label }} < ends_before) as end_{{ label }},
        {%- endfor %}
        min(date) as date,
        bool_or(has_barriers) as has_barriers,
        min(suspects_at_close) as suspects_at_close,
        min(suspects_at_entry) as suspects_at_entry
    from ended
    where is_revised
    group by symbol, session_index
),

chosen as (
    select
        symbol,
        session_index,
        date,
        has_barriers,
        suspects_at_close,
        suspects_at_entry,
        {%- for label in labels %}
        end_{{ label }},
        case when end_{{ label }} is null then 'pending' else outcome_{{ label }} end as outcome_{{ label }},
        exit_{{ label }} - {{ 'close_log_index' if label == 'ret_1d' else 'entry_log_index' }}
            as log_return_{{ label }}{{ ',' if not loop.last }}
        {%- endfor %}
    from ended
    where not is_revised
    union all by name
    select
        symbol,
        session_index,
        date,
        has_barriers,
        suspects_at_close,
        suspects_at_entry,
        {%- for label in labels %}
        end_{{ label }},
        coalesce(outcome_{{ label }}, 'pending') as outcome_{{ label }},
        exit_{{ label }} - {{ 'close_' ~ label if label == 'ret_1d' else 'entry_' ~ label }}
            as log_return_{{ label }}{{ ',' if not loop.last }}
        {%- endfor %}
    from revised
),

symbols as (
    select
        symbol,
        row_number() over (order by symbol) * 100000 as first_key
    from listings
    group by symbol
),

-- Concurrency counts every started label, resolved or not: one runs from the session after its decision to its end.
coded as (
    select
        chosen.*,
        symbols.first_key + chosen.session_index as row_key
    from chosen
    inner join symbols on chosen.symbol = symbols.symbol
),

{% for label in overlapping -%}
ends_{{ label }} as (
    select
        row_key - session_index + end_{{ label }} as session_key,
        count(*) as ends
    from coded
    where end_{{ label }} is not null and outcome_{{ label }} <> 'no_entry'{{ ' and has_barriers' if label == barrier }}
    group by row_key - session_index + end_{{ label }}
),

{% endfor -%}
-- Every session on which a label of the symbol starts or ends.
sessions_of_labels as (
    select row_key as session_key from coded
    {%- for label in overlapping %}
    union
    select session_key from ends_{{ label }}
    {%- endfor %}
),

changes as (
    select
        sessions_of_labels.session_key,
        {%- for label in overlapping %}
        case
            when coded.outcome_{{ label }} <> 'no_entry'{{ ' and coded.has_barriers' if label == barrier }} then 1
            else 0
        end as starts_{{ label }},
        coalesce(ends_{{ label }}.ends, 0) as ends_{{ label }}{{ ',' if not loop.last }}
        {%- endfor %}
    from sessions_of_labels
    left join coded on sessions_of_labels.session_key = coded.row_key
    {%- for label in overlapping %}
    left join ends_{{ label }} on sessions_of_labels.session_key = ends_{{ label }}.session_key
    {%- endfor %}
),

-- Labels that run on the sessions after this one, up to and with the next one listed here.
running as (
    select
        session_key,
        lead(session_key) over by_symbol - session_key as sessions,
        {%- for label in overlapping %}
        {{ running_total('starts_' ~ label ~ ' - ends_' ~ label, 'up_to_now') }}
            as active_{{ label }}{{ ',' if not loop.last }}
        {%- endfor %}
    from changes
    window
        by_symbol as (partition by session_key // 100000 order by session_key),
        up_to_now as (
            partition by session_key // 100000 order by session_key rows between unbounded preceding and current row
        )
),

-- Sum of 1 / concurrency over all sessions up to and with this one, exact in units of 1e-11: 90,000 sessions stay
-- below 2^53.
weighed as (
    select
        session_key,
        {%- for label in overlapping %}
        coalesce(
            {{ running_total(
                'case when active_' ~ label ~ ' > 0 then round(1e11 / active_' ~ label ~ ') * sessions else 0 end', 'before_now'
            ) }},
            0
        ) as total_{{ label }}{{ ',' if not loop.last }}
        {%- endfor %}
    from running
    window
        before_now as (
            partition by session_key // 100000 order by session_key
            rows between unbounded preceding and 1 preceding
        )
),

weighted as (
    select
        coded.*,
        {%- for label in overlapping %}
        (finish_{{ label }}.total_{{ label }} - start.total_{{ label }}) / 1e11
            / nullif(end_{{ label }} - session_index, 0) as uniqueness_{{ label }}{{ ',' if not loop.last }}
        {%- endfor %}
    from coded
    inner join weighed as start on coded.row_key = start.session_key
    {%- for label in overlapping %}
    left join weighed as finish_{{ label }}
        on coded.row_key - coded.session_index + coded.end_{{ label }} = finish_{{ label }}.session_key
    {%- endfor %}
    where coded.date >= {{ labels_from() }}
),

-- How many split mismatches lie at or before a session: a label that spans one has no return.
mismatches as (
    select
        symbol,
        session_index,
        max(suspects) as suspects
    from panel
    where suspects > 0
    group by symbol, session_index
),

labelled as (
    {%- for label in labels %}
    {%- set suspects_before = 'weighted.' ~ ('suspects_at_close' if label == 'ret_1d' else 'suspects_at_entry') %}
    select
        weighted.symbol,
        '{{ label }}' as label,
        case
            when
                weighted.outcome_{{ label }} not in ('pending', 'no_entry')
                and mismatches.suspects > {{ suspects_before }}
                then 'suspect'
            else weighted.outcome_{{ label }}
        end as outcome,
        case
            when
                weighted.outcome_{{ label }} not in ('pending', 'no_entry')
                and not coalesce(mismatches.suspects > {{ suspects_before }}, false)
                then exp({{ from_fixed('weighted.log_return_' ~ label) }}) - 1
        end as value,
        case
            when weighted.outcome_{{ label }} not in ('pending', 'no_entry')
                then {{ 'weighted.uniqueness_' ~ label if label in overlapping else '1.0' }}
        end as uniqueness_weight,
        weighted.session_index,
        weighted.end_{{ label }} as end_index,
        weighted.date,
        sessions.date as label_end_date
    from weighted
    left join mismatches on weighted.symbol = mismatches.symbol and weighted.end_{{ label }} = mismatches.session_index
    left join {{ ref('slv_calendar') }} as sessions on weighted.end_{{ label }} = sessions.session_index
    {%- if label == barrier %}
    where weighted.has_barriers
    {%- else %}
    union all
    {%- endif %}
    {%- endfor %}
)

select * from labelled
