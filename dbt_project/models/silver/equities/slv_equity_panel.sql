{{ config(materialized='table', schema='work') }}

-- The working panel of this build: every session of every symbol, absent ones included, as known in each epoch.
-- An epoch begins where a late value becomes effective. Almost every symbol has one epoch only.
with versions as (
    select * from {{ ref('slv_equity_bar_versions') }}
    where date >= {{ or_what_features_need(sessions_before_affected(var('longest_lookback') + 70)) }}
),

silver_bars as (
    select
        symbol,
        date,
        sector,
        is_member
    from {{ ref('slv_equity_bars') }}
    where date >= {{ or_what_features_need(sessions_before_affected(var('longest_lookback') + 70)) }}
),

epoch_starts as (
    select distinct
        symbol,
        effective_index as starts_at
    from versions
    where is_late and effective_index - session_index <= {{ var('longest_lookback') }}
    union all
    select distinct
        symbol,
        0 as starts_at
    from versions
),

horizon as (
    select max(session_index) as last_index from versions
),

epochs as (
    select
        symbol,
        starts_at,
        coalesce(lead(starts_at) over (partition by symbol order by starts_at), 1000000000) as ends_before,
        count(*) over (partition by symbol) > 1 as is_revised,
        row_number() over (order by symbol, starts_at) as epoch_code
    from epoch_starts
),

-- A symbol with one epoch has timely values only, or values so late that no window can reach them.
plain as (
    select
        versions.*,
        epochs.starts_at,
        epochs.ends_before,
        epochs.is_revised,
        epochs.epoch_code,
        1 as preference
    from versions
    inner join epochs on versions.symbol = epochs.symbol and not epochs.is_revised
    where not versions.is_late
),

revised as (
    select
        versions.*,
        epochs.starts_at,
        epochs.ends_before,
        epochs.is_revised,
        epochs.epoch_code,
        row_number() over (
            partition by versions.symbol, epochs.starts_at, versions.date
            order by versions.known_at desc, versions.ingested_at desc
        ) as preference
    from versions
    inner join epochs
        on
            versions.symbol = epochs.symbol
            and epochs.is_revised
            and versions.effective_index <= greatest(epochs.starts_at, versions.session_index)
            and versions.session_index < epochs.ends_before
            and versions.session_index >= epochs.starts_at - {{ var('longest_lookback') }}
),

repeated as (
    select
        symbol,
        date
    from plain
    group by symbol, date
    having count(*) > 1
),

known as (
    select * from revised
    where preference = 1
    union all by name
    select plain.* from plain
    anti join repeated on plain.symbol = repeated.symbol and plain.date = repeated.date
    union all by name
    select plain.* from plain
    semi join repeated on plain.symbol = repeated.symbol and plain.date = repeated.date
    qualify
        row_number() over (
            partition by plain.symbol, plain.date order by plain.known_at desc, plain.ingested_at desc
        ) = 1
),

neighboured as (
    select
        *,
        case
            when session_index - lag(session_index) over by_epoch <= {{ var('delisted_after_sessions') }}
                then lag(close) over by_epoch
        end as previous_close,
        lead(session_index) over by_epoch as next_index
    from known
    window by_epoch as (partition by epoch_code order by session_index)
),

bars as (
    select
        symbol,
        starts_at,
        ends_before,
        is_revised,
        epoch_code,
        session_index,
        next_index,
        date,
        open,
        high,
        low,
        close,
        volume,
        known_at,
        true as is_present,
        previous_close is null as is_listing_start,
        {{ is_split_mismatch('previous_close') }} as is_suspect,
        case
            when not {{ is_split_mismatch('previous_close') }}
                then {{ to_fixed(log_total_return('close', 'previous_close')) }}
        end as log_return,
        case
            when not {{ is_split_mismatch('previous_close') }}
                then {{ to_fixed(log_total_return('open', 'previous_close')) }}
        end as log_gap,
        {{ to_fixed('ln(open / close)') }} as log_open,
        {{ to_fixed('ln(high / close)') }} as log_high,
        {{ to_fixed('ln(low / close)') }} as log_low,
        {{ to_fixed('ln(nullif(volume, 0))') }} as log_raw_volume,
        {{ to_fixed('ln(split_coefficient)') }} as log_split,
        -- What to add to the log price so that it goes on without the action; a suspect session carries no return.
        case
            when {{ is_split_mismatch('previous_close') }} then -{{ to_fixed('ln(close / previous_close)') }}
            else {{ to_fixed('ln(split_coefficient * (1 + dividend_amount / close))') }}
        end as action,
        cast(round(close * volume) as bigint) as dollar_volume
    from neighboured
),

-- Sessions without a bar, up to the one on which the absence counts as a delisting.
absent as (
    select
        bars.symbol,
        bars.starts_at,
        bars.ends_before,
        bars.is_revised,
        bars.epoch_code,
        sessions.session_index,
        sessions.date,
        false as is_present,
        false as is_listing_start,
        false as is_suspect
    from bars
    cross join horizon
    inner join {{ ref('slv_calendar') }} as sessions
        on
            sessions.session_index > bars.session_index
            and sessions.session_index < least(coalesce(bars.next_index, horizon.last_index + 1), bars.ends_before)
            and sessions.session_index <= bars.session_index + {{ var('delisted_after_sessions') }}
    where least(coalesce(bars.next_index, horizon.last_index + 1), bars.ends_before) > bars.session_index + 1
),

grid as (
    select * exclude (next_index) from bars
    union all by name
    select * from absent
),

-- One number for symbol, epoch and listing: windows partition by an integer, much cheaper than by three columns.
listed as (
    select
        *,
        epoch_code * 1000 + {{ running_total('is_listing_start', 'of_epoch') }} as series_key
    from grid
    window
        of_epoch as (partition by epoch_code order by session_index rows between unbounded preceding and current row)
),

accumulated as (
    select
        listed.*,
        {{ running_total('coalesce(log_return, 0)', 'history') }} as log_index,
        {{ running_total('coalesce(action, 0)', 'history') }} as log_action,
        {{ running_total('coalesce(log_split, 0)', 'history') }} as log_shares,
        log_raw_volume - {{ running_total('coalesce(log_split, 0)', 'history') }} as log_volume,
        cast(row_number() over history as integer) as age,
        cast({{ running_total('is_suspect', 'history') }} as integer) as suspects,
        cast(count(close) over last_20 as integer) as present_20,
        sum(dollar_volume) over last_20 as dollar_volume_20,
        max(known_at) over lookback as known_at_window
    from listed
    window
        history as (partition by series_key order by session_index rows between unbounded preceding and current row),
        last_20 as (partition by series_key order by session_index rows between 19 preceding and current row),
        lookback as (
            partition by series_key order by session_index
            rows between {{ var('longest_lookback') - 1 }} preceding and current row
        )
),

placed as (
    select
        accumulated.symbol,
        accumulated.starts_at,
        accumulated.ends_before,
        accumulated.is_revised,
        accumulated.series_key,
        accumulated.session_index,
        accumulated.date,
        accumulated.is_present,
        accumulated.session_index >= accumulated.starts_at as is_live,
        accumulated.open,
        accumulated.high,
        accumulated.low,
        accumulated.close,
        accumulated.volume,
        accumulated.log_action,
        accumulated.log_shares,
        coalesce(accumulated.log_return, 0) as log_return,
        accumulated.log_gap,
        accumulated.log_open,
        accumulated.log_high,
        accumulated.log_low,
        accumulated.log_volume,
        accumulated.log_index,
        accumulated.dollar_volume_20,
        accumulated.age,
        accumulated.suspects,
        accumulated.present_20,
        accumulated.known_at_window as known_at,
        silver_bars.sector,
        coalesce(
            accumulated.is_present
            and silver_bars.is_member
            and accumulated.close >= {{ var('universe_min_price') }}
            and accumulated.dollar_volume_20 >= {{ var('universe_min_adv_usd') }} * accumulated.present_20
            and accumulated.age >= {{ var('universe_min_history') }},
            false
        ) as in_universe
    from accumulated
    left join silver_bars on accumulated.symbol = silver_bars.symbol and accumulated.date = silver_bars.date
)

-- Blocks of dates and symbols find their rows together, and windows theirs nearly in order.
select * from placed
order by session_index // 250, series_key, session_index
