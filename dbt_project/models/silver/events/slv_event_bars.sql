{{ config(materialized='table') }}

-- Every regular bar with what its features need, as known when it begins (levels, ATR) and when it ends (the rest).
-- Prices are millionths of a dollar.
{%- set opening_range = var('events_opening_range_minutes') %}

with bars as (
    select
        bars.symbol,
        bars.bar_minutes,
        days.history,
        bars.minute_of_session,
        days.pmh,
        days.pml,
        days.pdh,
        days.pdl,
        days.pdc,
        {{ price_units('bars.open') }} as open,
        {{ price_units('bars.high') }} as high,
        {{ price_units('bars.low') }} as low,
        {{ price_units('bars.close') }} as close,
        cast(round(bars.volume * 1e3) as bigint) as volume,
        bars.date,
        bars.ts,
        bars.ends_at
    from {{ ref('slv_intraday_bars') }} as bars
    inner join {{ ref('slv_event_days') }} as days on bars.symbol = days.symbol and bars.date = days.date
    where bars.session_part = 'regular'
),

compared as (
    select
        *,
        row_number() over within_session as bar_number,
        lag(close) over within_session as close_before
    from bars
    window within_session as (partition by symbol, date order by ts)
),

ranged as (
    select
        *,
        coalesce(close_before, open) as previous_close,
        greatest(high, coalesce(close_before, high)) - least(low, coalesce(close_before, low)) as true_range,
        case when close <= close_before or close_before is null then bar_number end as last_not_up,
        case when close >= close_before or close_before is null then bar_number end as last_not_down,
        case when minute_of_session < {{ opening_range }} then high end as opening_high,
        case when minute_of_session < {{ opening_range }} then low end as opening_low
    from compared
),

windowed as (
    select
        *,
        {{ round_step('previous_close') }} as round_step,
        count(*) over before_bar as ranges_before,
        {{ exact_sum('true_range', 'before_bar') }} as total_range,
        max(high) over so_far as session_high,
        min(low) over so_far as session_low,
        max(opening_high) over so_far as opening_range_high,
        min(opening_low) over so_far as opening_range_low,
        bar_number - max(last_not_up) over so_far as bars_up,
        bar_number - max(last_not_down) over so_far as bars_down,
        first_value(close) over five_bars as close_five_before,
        count(*) over five_bars - 1 as bars_five_before,
        min(low) over ten_bars as low_of_ten,
        max(high) over ten_bars as high_of_ten,
        count(*) over volume_bars as volumes_before,
        {{ exact_sum('volume', 'volume_bars') }} as total_volume
    from ranged
    window
        before_bar as (partition by symbol, history order by ts rows between 14 preceding and 1 preceding),
        so_far as (partition by symbol, date order by ts rows between unbounded preceding and current row),
        five_bars as (partition by symbol, date order by ts rows between 5 preceding and current row),
        ten_bars as (partition by symbol, date order by ts rows between 9 preceding and current row),
        volume_bars as (partition by symbol, date order by ts rows between 20 preceding and 1 preceding)
),

prepared as (
    select
        windowed.symbol,
        windowed.history,
        windowed.bar_minutes,
        windowed.bar_number,
        windowed.minute_of_session,
        windowed.open,
        windowed.high,
        windowed.low,
        windowed.close,
        windowed.volume,
        windowed.previous_close,
        windowed.round_step,
        case
            when
                windowed.ranges_before = 14
                and windowed.total_range > 14 * {{ var('events_least_atr_bps') }} / 1e4 * windowed.close
                then windowed.total_range / 14
        end as atr,
        windowed.pmh,
        windowed.pml,
        case when windowed.minute_of_session >= {{ opening_range }} then windowed.opening_range_high end as orh,
        case when windowed.minute_of_session >= {{ opening_range }} then windowed.opening_range_low end as orl,
        windowed.pdh,
        windowed.pdl,
        windowed.pdc,
        windowed.session_high,
        windowed.session_low,
        windowed.bars_up,
        windowed.bars_down,
        (windowed.close - windowed.close_five_before)
        / cast(nullif(windowed.bars_five_before, 0) as double) as velocity,
        windowed.low_of_ten,
        windowed.high_of_ten,
        windowed.volume * windowed.volumes_before / nullif(windowed.total_volume, 0) as volume_ratio,
        windowed.date,
        windowed.ts,
        windowed.ends_at
    from windowed
),

with_average_before as (
    select
        prepared.*,
        cast(round(averages.sma_200) as bigint) as sma_200_before,
        cast(round(averages.sma_400) as bigint) as sma_400_before
    from prepared
    asof left join {{ ref('slv_event_averages') }} as averages
        on
            prepared.symbol = averages.symbol
            and prepared.history = averages.history
            and prepared.ts >= averages.ends_at
),

with_averages as (
    select
        bars.*,
        averages.sma_200,
        averages.sma_400,
        averages.variance_200,
        averages.variance_400,
        averages.sma_slope_short,
        averages.sma_slope_long
    from with_average_before as bars
    asof left join {{ ref('slv_event_averages') }} as averages
        on bars.symbol = averages.symbol and bars.history = averages.history and bars.ends_at >= averages.ends_at
)

select * from with_averages
order by symbol, ts
