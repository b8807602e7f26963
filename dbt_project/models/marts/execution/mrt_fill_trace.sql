with fills as (
    select * from {{ ref('ops_fills') }}
),

order_events as (
    select
        *,
        row_number() over (partition by client_order_id order by event_seq desc) as event_from_last
    from {{ ref('ops_orders') }}
),

orders as (
    select * from order_events
    where event_from_last = 1
),

-- What was ordered, and every symbol and session that has to be looked up.
ordered as (
    select
        fills.fill_id,
        fills.order_id,
        fills.account,
        fills.symbol,
        fills.quantity,
        fills.price,
        fills.fee_usd,
        fills.filled_at,
        orders.status as order_status,
        orders.side,
        orders.slice,
        orders.sleeve,
        orders.run_id,
        orders.model_id,
        orders.portfolio_hash,
        orders.expected_price,
        orders.session,
        orders.dt
    from fills
    left join orders on fills.order_id = orders.client_order_id
),

decided as (
    select
        ordered.*,
        targets.symbol is not null as has_target,
        targets.weight as target_weight,
        targets.score,
        targets.horizon
    from ordered
    left join {{ ref('ops_targets') }} as targets
        on
            ordered.sleeve = targets.sleeve
            and ordered.dt = targets.dt
            and ordered.symbol = targets.symbol
            and ordered.portfolio_hash = targets.portfolio_hash
),

predicted as (
    select
        decided.*,
        scores.ticker is not null as has_prediction,
        scores.label,
        scores.yhat,
        scores.prob_up,
        scores.scored_at
    from decided
    left join {{ ref('prd_equities') }} as scores
        on
            decided.symbol = scores.ticker
            and decided.dt = scores.dt
            and decided.horizon = scores.horizon
            and decided.model_id = scores.model_id
),

computed as (
    select
        predicted.*,
        runs.run_id is not null as has_run,
        runs.path as run_path,
        runs.git_revision,
        runs.data_hash,
        runs.config_hash,
        features.symbol is not null as has_features,
        features.in_universe
    from predicted
    left join {{ ref('ops_runs') }} as runs on predicted.run_id = runs.run_id
    left join {{ ref('gld_equities_features') }} as features
        on predicted.symbol = features.symbol and predicted.dt = features.date
),

-- Of a corrected bar the version that was known at the decision is the one that was acted on.
known_origins as (
    select
        origins.*,
        row_number() over (
            partition by origins.symbol, origins.date order by origins.known_at desc, origins.ingested_at desc
        ) as version_from_latest
    from {{ ref('slv_equity_bar_origins') }} as origins
    inner join {{ ref('slv_calendar') }} as sessions
        on origins.date = sessions.date and origins.known_at <= sessions.decision_at
    where (origins.symbol, origins.date) in (select (wanted.symbol, wanted.dt) from computed as wanted)
),

traced as (
    select
        computed.fill_id,
        computed.order_id,
        computed.account,
        computed.sleeve,
        computed.symbol,
        computed.side,
        computed.order_status,
        computed.run_id,
        computed.model_id,
        computed.portfolio_hash,
        computed.label,
        computed.run_path,
        computed.git_revision,
        computed.data_hash,
        computed.config_hash,
        origins.batch_id,
        origins.file as raw_file,
        computed.slice,
        computed.horizon,
        origins.line as raw_line,
        computed.quantity,
        computed.price,
        computed.fee_usd,
        computed.expected_price,
        cast(
            10000 * sign(computed.quantity) * (computed.price / nullif(computed.expected_price, 0) - 1) as double
        ) as slippage_bps,
        computed.target_weight,
        computed.score,
        computed.yhat,
        computed.prob_up,
        computed.has_target,
        computed.has_prediction,
        computed.has_run,
        computed.has_features,
        computed.in_universe,
        -- A position that is closed because its symbol has no score any more has a target and no prediction.
        computed.has_target
        and computed.has_run
        and (computed.has_prediction or computed.score is null)
        and (computed.has_features or computed.score is null)
        and origins.line is not null as is_traced,
        computed.dt,
        computed.session,
        origins.known_at as bar_known_at,
        origins.ingested_at as bar_ingested_at,
        computed.scored_at,
        computed.filled_at
    from computed
    left join known_origins as origins
        on computed.symbol = origins.symbol and computed.dt = origins.date and origins.version_from_latest = 1
)

select * from traced
