{{ config(materialized='table') }}

-- Events that somebody else found and measured, in the columns of gold.events_features and gold.events_labels: the
-- first version of each, for what was corrected later was not known then. What a dataset does not bring is NULL.
with versions as (
    select
        *,
        row_number() over (
            partition by event_id
            order by known_at, ingested_at, line
        ) as version_from_first
    from {{ ref('brz_events__external') }}
),

typed as (
    select
        event_id,
        symbol,
        source,
        level_kind_name,
        direction,
        outcome,
        cast(level_price as decimal(18, 6)) as level_price,
        cast(bar_minutes as integer) as bar_minutes,
        cast(approach_velocity as float) as approach_velocity,
        cast(approach_bars as float) as approach_bars,
        cast(approach_distance as float) as approach_distance,
        cast(approach_volume_ratio as float) as approach_volume_ratio,
        cast(dist_pmh as float) as dist_pmh,
        cast(dist_pml as float) as dist_pml,
        cast(dist_orh as float) as dist_orh,
        cast(dist_orl as float) as dist_orl,
        cast(dist_pdh as float) as dist_pdh,
        cast(dist_pdl as float) as dist_pdl,
        cast(dist_pdc as float) as dist_pdc,
        cast(dist_session_high as float) as dist_session_high,
        cast(dist_session_low as float) as dist_session_low,
        cast(distance as float) as distance,
        cast(distance_signed as float) as distance_signed,
        cast(sma_200_distance as float) as sma_200_distance,
        cast(sma_400_distance as float) as sma_400_distance,
        cast(sma_slope_short as float) as sma_slope_short,
        cast(sma_slope_long as float) as sma_slope_long,
        cast(sma_spread as float) as sma_spread,
        cast(mean_reversion_200 as float) as mean_reversion_200,
        cast(mean_reversion_400 as float) as mean_reversion_400,
        cast(confluence_count as float) as confluence_count,
        cast(confluence_score as float) as confluence_score,
        cast(confluence_min_distance as float) as confluence_min_distance,
        cast(bars_since_open as float) as bars_since_open,
        cast(is_first_15m as float) as is_first_15m,
        cast(atr as float) as atr,
        cast(level_price_pct as float) as level_price_pct,
        cast(direction_sign as float) as direction_sign,
        cast(attempt_index as float) as attempt_index,
        cast(attempt_bars_since_last as float) as attempt_bars_since_last,
        cast(prior_touches as float) as prior_touches,
        cast(level_kind_name = 'PMH' as float) as level_kind_pmh,
        cast(level_kind_name = 'PML' as float) as level_kind_pml,
        cast(level_kind_name = 'ORH' as float) as level_kind_orh,
        cast(level_kind_name = 'ORL' as float) as level_kind_orl,
        cast(level_kind_name = 'PDH' as float) as level_kind_pdh,
        cast(level_kind_name = 'PDL' as float) as level_kind_pdl,
        cast(level_kind_name = 'PDC' as float) as level_kind_pdc,
        cast(level_kind_name = 'SMA_200' as float) as level_kind_sma_200,
        cast(level_kind_name = 'SMA_400' as float) as level_kind_sma_400,
        cast(level_kind_name = 'ROUND' as float) as level_kind_round,
        cast(level_kind_name = 'STRIKE' as float) as level_kind_strike,
        cast(barrier_delta_liq as float) as barrier_delta_liq,
        cast(barrier_replenishment_ratio as float) as barrier_replenishment_ratio,
        cast(barrier_delta_liq_trend as float) as barrier_delta_liq_trend,
        cast(barrier_replenishment_trend as float) as barrier_replenishment_trend,
        cast(wall_ratio as float) as wall_ratio,
        cast(liquidity_pressure as float) as liquidity_pressure,
        cast(tape_imbalance as float) as tape_imbalance,
        cast(tape_velocity as float) as tape_velocity,
        cast(tape_imbalance_trend as float) as tape_imbalance_trend,
        cast(tape_velocity_trend as float) as tape_velocity_trend,
        cast(sweep_detected as float) as sweep_detected,
        cast(tape_pressure as float) as tape_pressure,
        cast(net_break_pressure as float) as net_break_pressure,
        cast(fuel_effect as float) as fuel_effect,
        cast(gamma_exposure as float) as gamma_exposure,
        cast(gamma_pressure as float) as gamma_pressure,
        cast(dealer_pressure as float) as dealer_pressure,
        cast(reversion_pressure as float) as reversion_pressure,
        strength_signed,
        cast(tradeable_1 as integer) as tradeable_1,
        cast(tradeable_2 as integer) as tradeable_2,
        time_to_threshold_1,
        time_to_threshold_2,
        time_to_break_1,
        time_to_bounce_1,
        time_to_break_2,
        time_to_bounce_2,
        cast(t1_60 as integer) as t1_60,
        cast(t2_60 as integer) as t2_60,
        cast(t1_break_60 as integer) as t1_break_60,
        cast(t1_bounce_60 as integer) as t1_bounce_60,
        cast(t2_break_60 as integer) as t2_break_60,
        cast(t2_bounce_60 as integer) as t2_bounce_60,
        cast(t1_120 as integer) as t1_120,
        cast(t2_120 as integer) as t2_120,
        cast(t1_break_120 as integer) as t1_break_120,
        cast(t1_bounce_120 as integer) as t1_bounce_120,
        cast(t2_break_120 as integer) as t2_break_120,
        cast(t2_bounce_120 as integer) as t2_bounce_120,
        cast(t1_300 as integer) as t1_300,
        cast(t2_300 as integer) as t2_300,
        cast(t1_break_300 as integer) as t1_break_300,
        cast(t1_bounce_300 as integer) as t1_bounce_300,
        cast(t2_break_300 as integer) as t2_break_300,
        cast(t2_bounce_300 as integer) as t2_bounce_300,
        cast(t1_600 as integer) as t1_600,
        cast(t2_600 as integer) as t2_600,
        cast(t1_break_600 as integer) as t1_break_600,
        cast(t1_bounce_600 as integer) as t1_bounce_600,
        cast(t2_break_600 as integer) as t2_break_600,
        cast(t2_bounce_600 as integer) as t2_bounce_600,
        tape_imbalance is not null as has_trades,
        tape_pressure is not null as has_quotes,
        barrier_delta_liq is not null as has_book,
        gamma_exposure is not null as has_chain,
        ts_ns,
        date,
        known_at
    from versions
    where version_from_first = 1
),

-- Its labels are known when the longest window of the sleeve is over, and the session with it.
resolved as (
    select
        typed.*,
        greatest(
            typed.known_at + interval '{{ event_longest_window() }} seconds',
            coalesce(sessions.close_at, typed.known_at)
        ) as resolved_at
    from typed
    left join {{ ref('slv_calendar') }} as sessions on typed.date = sessions.date
)

select * from resolved
order by date, symbol, ts_ns, event_id
