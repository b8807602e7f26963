"""Sample weights and regimes, recomputed.

Checks:

    weight_differs  weights that are not time decay times average uniqueness: made of outcomes, or of later data
    regime_differs  regimes that are not those of the market's volatility within its own trailing year
"""

from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.scope import PriceTables, Scope
from trademl.lake.names import quoted

_TOLERANCE = 1e-6
_LONGEST = 400
_ALWAYS_UNIQUE = ("ret_1d", "fwd_1d")
_YEAR, _MONTH, _GRADED_FROM = 252, 20, 232


def audit_weights(scope: Scope, prices: PriceTables) -> AuditRow:
    """Recompute decay and product on every row, average uniqueness (AFML, section 4.4) on the sampled days."""
    check = "weight_differs"
    columns = scope.columns(scope.table("rows"))
    needed = ("time_decay_weight", "uniqueness_weight", "sample_weight")
    if missing := [name for name in needed if name not in columns]:
        return scope.found(check, 0, 0, f"{scope.sleeve.training} has no {', '.join(missing)}")
    rules = prices.rules
    half_life = rules.time_decay_half_life_days
    decay = f"pow(2, (date - date '{rules.time_decay_epoch}') / {half_life!r}::double)"
    rows, wrong = scope.one(f"""
        select
            count(*),
            count(*) filter (where not ({_equal("time_decay_weight", decay)}
                and {_equal("sample_weight", f"uniqueness_weight * {decay}")}))
        from {scope.table("rows")}
    """)
    compared, differing = _uniqueness(scope, prices)
    return scope.found(
        check,
        wrong + differing,
        rows + compared,
        f"{wrong} of {rows} rows have another decay or product; {differing} of {compared} another uniqueness",
    )


def _uniqueness(scope: Scope, prices: PriceTables) -> tuple[int, int]:
    """Compare uniqueness on the sampled days: the mean of 1 / (labels that run) over a label's sessions."""
    # Labels that ended before the first judged session do not count; none is longer than a listing's last wait.
    start = f"(select min(t) - {_LONGEST} from {scope.table('rows')})"
    started = f"label = {quoted(scope.label)} and outcome <> 'no_entry' and session_index >= {start}"
    spans = f"(select symbol, session_index, end_index from {prices.labels} where {started})"
    lone = "true" if scope.label in _ALWAYS_UNIQUE else "false"
    compared, differing = scope.one(f"""
        with judged as (
            select entity, t, end_index from {scope.table("rows")} semi join {scope.table("days")} using (t)
        ),
        -- Every started label counts from the session after its decision to its end; one without an end still runs.
        moments as (
            select symbol, session_index + 1 as moment, 1 as change from {spans}
            union all
            select symbol, end_index + 1, -1 from {spans} where end_index is not null
        ),
        active as (
            select entity, moment, sum(sum(change)) over (partition by entity order by moment) as labels
            from moments inner join {scope.table("codes")} on symbol = name
            group by entity, moment
        ),
        lived as (select *, unnest(range(t + 1, end_index + 1)) as s from judged),
        due as (
            select lived.entity, lived.t, case when {lone} then 1 else avg(1 / labels) end as weight
            from lived asof inner join active on lived.entity = active.entity and lived.s >= active.moment
            group by lived.entity, lived.t
        )
        select count(*), count(*) filter (where not {_equal("stored.uniqueness_weight", "due.weight")})
        from due inner join {scope.table("rows")} as stored using (entity, t)
    """)
    return int(compared), int(differing)


def audit_regime(scope: Scope, prices: PriceTables) -> AuditRow:
    """Recompute the regime of each audited session from the market's returns up to it."""
    if "regime" not in scope.columns(scope.table("rows")):
        return scope.found("regime_differs", 0, 0, f"{scope.sleeve.training} has no regime")
    compared, differing = scope.one(f"""
        with measured as (
            select
                date, session_index as t,
                case when count(*) over last_month = {_MONTH}
                    then cast(sqrt(252) * stddev_samp(market_return / 1e12) over last_month as float) end as volatility
            from {prices.market}
            window last_month as (order by session_index rows between {_MONTH - 1} preceding and current row)
        ),
        numbered as (select *, row_number() over (order by t) as place from measured),
        placed as (
            select now.date, now.volatility, count(then_.volatility) as n,
                count(*) filter (where then_.volatility <= now.volatility) as not_above,
                -- A volatility that ties with today's up to rounding may count either way.
                count(*) filter (where abs(then_.volatility - now.volatility) <= 1e-6 * now.volatility) - 1 as ties
            from numbered as now
            inner join numbered as then_ on then_.place between now.place - {_YEAR - 1} and now.place
            where {scope.in_dates("now.date")}
            group by now.date, now.volatility
        ),
        due as (
            select date, ties,
                case when volatility is null or n < {_GRADED_FROM} then null
                    when 3 * not_above <= n then 'low' when 3 * not_above <= 2 * n then 'mid' else 'high' end as regime
            from placed
        ),
        stored as (
            select distinct date, regime from {scope.table("rows")}
        )
        select
            count(*),
            count(*) filter (where stored.regime is distinct from due.regime and coalesce(due.ties, 0) <= 0)
        from stored left join due using (date)
    """)
    return scope.found(
        "regime_differs", differing, compared, f"{differing} of {compared} sessions are in another regime"
    )


def _equal(stored: str, due: str) -> str:
    return f"coalesce(abs({stored} - {due}) <= {_TOLERANCE} * abs({due}), false)"
