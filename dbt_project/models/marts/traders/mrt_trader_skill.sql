with rankings as (
    select
        *,
        max(recorded_at) over (partition by as_of) as last_recorded_at
    from {{ ref('ops_trader_skill') }}
),

judged as (
    select
        as_of,
        address,
        status,
        evidence,
        skill_rank,
        rank_low,
        rank_high,
        n_ranked,
        n_observed,
        n_days,
        n_active_days,
        n_trades,
        net_pnl,
        sharpe,
        skew,
        kurtosis,
        psr,
        dsr,
        sharpe_threshold,
        deflated_skill,
        1 - deflated_skill as luck,
        min_track_record,
        best_day_share,
        best_trade_share,
        size_after_loss,
        flat_share,
        is_martingale,
        is_single_trade,
        is_wash,
        is_martingale or is_single_trade or is_wash as is_flagged,
        settings,
        first_date,
        last_date,
        recorded_at
    from rankings
    -- A trader that an earlier ranking of the date had, and the last one has not, is no longer part of it.
    where recorded_at = last_recorded_at
)

select * from judged
