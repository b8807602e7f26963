"""Features and universe, recomputed on sampled days from the bars that were known at each day's decision.

Each (entity, day) gets its own window of bars, cut at the day's decision, and plain formulas over it. The build works
the other way round, with running windows over one panel and corrections as epochs, so the two share no step.

Checks:

    feature_not_point_in_time        stored features that differ from those of the bars known at the decision
    universe_differs_from_membership members with a bar that should be in the cross-section and are not, or the reverse
    known_at_before_source           rows that claim to have been known before the bars they are made from
"""

from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.record import cumulated
from trademl.governance.data_audit.scope import PriceTables, Scope
from trademl.governance.data_audit.twins import base_of
from trademl.lake.names import identifier

_WINDOW = 140
_LATE_AT_MOST, _REVISED_AT_MOST = 200, 4000
_ABSOLUTE, _RELATIVE = 1e-6, 2e-5


def formulas() -> dict[str, str]:
    """Return the independent formula of each raw feature, over the window of one entity and day.

    Columns: ``day`` the day's session, ``age`` sessions of the listing, ``x`` the log index less today's, ``until`` the
    session of the next bar. A missing session carries its price, so a bar weighs as many sessions as it stands for.
    """

    def ready(n: int) -> str:
        return f"any_value(age) > {n} and present_20 >= {min(16, (4 * n + 4) // 5)}"

    def over(n: int) -> str:
        return f"filter (where t > day - {n})"

    def weight(n: int) -> str:
        return f"greatest(until - greatest(t, day - {n - 1}), 0)"

    def mean(n: int) -> str:
        return f"(sum({weight(n)} * x) / {n})"

    def deviation(n: int) -> str:
        return f"sqrt(greatest(sum({weight(n)} * x * x) - pow(sum({weight(n)} * x), 2) / {n}, 0) / {n - 1})"

    def returned(n: int) -> str:
        return f"coalesce(sum(log_return) {over(n)}, 0)"

    found: dict[str, str] = {}
    for n in (5, 20, 60, 126):
        found[f"momentum_{n}d"] = f"case when {ready(n)} then exp({returned(n)}) - 1 end"
    for n in (20, 60):
        squares = f"coalesce(sum(log_return * log_return) {over(n)}, 0)"
        found[f"realised_volatility_{n}d"] = (
            f"case when {ready(n)} then sqrt(252 * greatest({squares} - pow({returned(n)}, 2) / {n}, 0) / {n - 1}) end"
        )
        found[f"zscore_price_{n}d"] = f"case when {ready(n - 1)} then -{mean(n)} / nullif({deviation(n)}, 0) end"
    found["distance_upper_band_20d"] = f"case when {ready(19)} then -{mean(20)} - 2 * {deviation(20)} end"
    found["distance_lower_band_20d"] = f"case when {ready(19)} then -{mean(20)} + 2 * {deviation(20)} end"
    found["drawdown_126d"] = f"case when {ready(125)} then exp(-max(x) filter (where until > day - 125)) - 1 end"
    found["gap_1d"] = "max(log_gap) filter (where t = day)"
    gaps = f"{ready(20)} and count(log_gap) {over(20)} >= 16"
    found["gap_mean_20d"] = f"case when {gaps} then avg(log_gap) {over(20)} end"
    found["gap_std_20d"] = f"case when {gaps} then stddev_samp(log_gap) {over(20)} end"
    dollars = f"sum(round(close * volume)) {over(20)} / present_20"
    found["adv_20d"] = f"case when {ready(19)} then {dollars} / 1e6 end"
    found["size_log_adv_20d"] = f"case when {ready(19)} and {dollars} > 0 then ln({dollars}) end"
    found["zscore_volume_20d"] = (
        f"case when {ready(19)} and count(log_volume) {over(20)} >= 16 then (max(log_volume) filter (where t = day) "
        f"- avg(log_volume) {over(20)}) / nullif(stddev_samp(log_volume) {over(20)}, 0) end"
    )
    for name in ("sin", "cos"):
        found[f"day_of_week_{name}"] = f"{name}(2 * pi() * (any_value(isodow(date)) - 1) / 5)"
    products = f"coalesce(sum(log_return * market) {over(60)}, 0)"
    found["beta_60d"] = (
        f"case when {ready(60)} and any_value(m_count) = 60 then (60 * {products} - {returned(60)} * any_value(m_sum)) "
        "/ nullif(60 * any_value(m_squares) - pow(any_value(m_sum), 2), 0) end"
    )
    return {name: text.replace("present_20", f"(count(*) {over(20)})") for name, text in found.items()}


def audit_features_and_universe(scope: Scope, prices: PriceTables) -> list[AuditRow]:
    """Recompute the run's raw features and the universe on the sampled days, and on days around corrections."""
    present = scope.columns(scope.sleeve.features_table)
    known = formulas()
    wanted = list(dict.fromkeys(base_of(name) for name in scope.core_features))
    chosen = [name for name in wanted if name in known and name in present]
    _windows(scope, prices)
    values = "".join(f"{known[name]} as {identifier(name)}, " for name in chosen)
    rules = prices.rules
    expected = scope.make(
        "expected",
        f"""
        select
            entity, day, any_value(is_sampled) as is_sampled, any_value(is_judged) as is_judged,
            {values}
            max(known_at) filter (where t > day - {rules.longest_lookback}) as known_at,
            (
                max(close) filter (where t = day) >= {rules.universe_min_price}
                and sum(round(close * volume)) filter (where t > day - 20)
                    >= {rules.universe_min_adv_usd} * count(*) filter (where t > day - 20)
                and any_value(age) >= {rules.universe_min_history}
            ) as in_universe
        from {scope.table("windows")}
        group by entity, day
        having max(t) = day
        """,
    )
    stored = scope.make(
        "stored",
        f"""
        select codes.entity, sessions.session_index as day, features.in_universe
            {"".join(f", features.{identifier(name)}" for name in chosen)}
        from {scope.sleeve.features_table} as features
        inner join {scope.table("codes")} as codes on features.{scope.entity} = codes.name
        inner join {prices.calendar} as sessions on features.date = sessions.date
        where sessions.session_index in (select day from {expected} union select t from {scope.table("days")})
        """,
    )
    return [
        _features(scope, expected, stored, chosen, [name for name in wanted if name not in chosen]),
        _universe(scope, prices, expected, stored),
        _known_at(scope, expected),
    ]


def _windows(scope: Scope, prices: PriceTables) -> None:
    """Make ``windows``: for each sampled (entity, day) the bars of the last 140 sessions as known at its decision."""
    days, versions, late = scope.table("days"), scope.table("versions"), scope.table("late")
    scope.make(
        "pairs",
        f"""
        with sampled as (
            select entity, days.t as day, days.date, days.decision_at, true as is_sampled
            from {scope.table("members")} inner join {days} as days using (t)
            where entity is not null
        ),
        -- Days that stand between a bar's session and the moment it was corrected or arrived, and the first ones after.
        revised as (
            select distinct
                late.entity, sessions.session_index as day, sessions.date, sessions.decision_at, false as is_sampled
            from (from {late} order by hash(entity, t) limit {_LATE_AT_MOST}) as late
            inner join {prices.calendar} as sessions
                on sessions.session_index >= late.t and sessions.session_index < late.t + 125
            where {scope.in_dates("sessions.date")}
        )
        select * from sampled
        union all
        select * from (
            from revised anti join sampled using (entity, day)
            order by hash(entity, day) limit {_REVISED_AT_MOST}
        )
        """,
    )
    scope.make(
        "known_bars",
        f"""
        with wanted as (
            select * from (select *, unnest(range(day - {_WINDOW - 1}, day + 1)) as t from {scope.table("pairs")})
        )
        select
            wanted.entity, wanted.day, wanted.date, wanted.is_sampled, versions.t, versions.open, versions.close,
            versions.volume, versions.dividend_amount, versions.split_coefficient, versions.known_at
        from wanted
        inner join {versions} as versions on wanted.entity = versions.entity and wanted.t = versions.t
        where versions.known_at <= wanted.decision_at and versions.superseded_at > wanted.decision_at
        """,
    )
    # Without the landed versions, what stood before a late one is unknown, and a window that holds one is not judged.
    unjudged = (
        f"select distinct pairs.entity, pairs.day from {scope.table('pairs')} as pairs inner join {late} as late "
        f"on pairs.entity = late.entity and late.t between pairs.day - {_WINDOW - 1} and pairs.day "
        "and late.known_at > pairs.decision_at"
        if prices.landed_bars is None
        else "select null as entity, null as day where false"
    )
    scope.make(
        "windows",
        f"""
        with cumulated as ({cumulated(scope.table("known_bars"), "entity, day", prices.rules)}),
        ended as (
            select entity, day, listing, min(t) as first_t, max_by(cum, t) as cum_now
            from cumulated
            group by entity, day, listing
            qualify listing = max(listing) over (partition by entity, day)
        ),
        market as (
            select session_index as t, market_return / 1e12 as market,
                sum(market_return / 1e12) over last_60 as m_sum,
                sum(pow(market_return / 1e12, 2)) over last_60 as m_squares,
                count(*) over last_60 as m_count
            from {prices.market}
            window last_60 as (order by session_index range between 59 preceding and current row)
        ),
        unjudged as ({unjudged})
        select
            cumulated.entity, cumulated.day, cumulated.date, cumulated.is_sampled, cumulated.t, cumulated.close,
            cumulated.volume, cumulated.known_at, cumulated.log_return, cumulated.log_gap,
            cumulated.cum - ended.cum_now as x,
            ln(nullif(cumulated.volume, 0)) - cumulated.cum_split as log_volume,
            coalesce(cumulated.next_t, cumulated.day + 1) as until,
            cumulated.day - ended.first_t + 1 as age,
            own.market, today.m_sum, today.m_squares, today.m_count,
            unjudged.entity is null as is_judged
        from cumulated
        inner join ended using (entity, day, listing)
        left join market as own on cumulated.t = own.t
        left join market as today on cumulated.day = today.t
        left join unjudged on cumulated.entity = unjudged.entity and cumulated.day = unjudged.day
        """,
    )


def _features(scope: Scope, expected: str, stored: str, chosen: list[str], others: list[str]) -> AuditRow:
    left_out = f"; no formula for {', '.join(others)}" if others else ""
    for table, columns in scope.other_tables.items():
        left_out += (
            f"; no second formula for the {len(columns)} features of {table}: of them rows, known times, twins and "
            "correlations with the outcome are judged, and the warehouse's own tests hold their values"
        )
    if not chosen:
        return scope.found("feature_not_point_in_time", 0, 0, f"no feature of the run can be recomputed{left_out}")
    counts = ", ".join(
        f"count_if(not ({_equal(f'stored.{identifier(name)}', f'expected.{identifier(name)}')}))" for name in chosen
    )
    judged, skipped, *wrong = scope.one(f"""
        select count_if(is_judged), count_if(not is_judged), {counts.replace("count_if(", "count_if(is_judged and ")}
        from {expected} as expected
        inner join {stored} as stored on expected.entity = stored.entity and expected.day = stored.day
    """)
    differing = {name: count for name, count in zip(chosen, wrong, strict=True) if count}
    text = f"{len(chosen)} raw features of {judged} rows recomputed from the bars known at the decision"
    if differing:
        worst = sorted(differing, key=lambda name: -differing[name])
        text += "; differing: " + ", ".join(f"{name} in {differing[name]}" for name in worst[:8])
    if skipped:
        text += f"; {skipped} rows near late bars not judged"
    return scope.found("feature_not_point_in_time", sum(differing.values()), judged * len(chosen), text + left_out)


def _equal(stored: str, expected: str) -> str:
    return (
        f"({stored} is null and {expected} is null) "
        f"or coalesce(abs({stored} - {expected}) <= {_ABSOLUTE} + {_RELATIVE} * abs({expected}), false)"
    )


def _universe(scope: Scope, prices: PriceTables, expected: str, stored: str) -> AuditRow:
    """Compare the cross-sections of the sampled days; a row of the feature table that no bar explains counts too."""
    compared, missing, foreign, examples = scope.one(f"""
        with should as (select entity, day from {expected} where is_sampled and is_judged and in_universe),
        unsure as (
            select entity, day from {expected} where not is_judged
            union select entity, t from {scope.table("late")} where {"true" if prices.landed_bars is None else "false"}
        ),
        have as (
            select entity, day from {stored} where in_universe and day in (select t from {scope.table("days")})
            except select entity, day from unsure
        ),
        missing as (from should except from have),
        foreign_rows as (from have except from should)
        select
            (select count(*) from should), (select count(*) from missing), (select count(*) from foreign_rows),
            (
                select list(distinct name order by name)[1:5] from (from missing union all from foreign_rows)
                inner join {scope.table("codes")} using (entity)
            )
    """)
    named = f" ({', '.join(examples)})" if examples else ""
    text = (
        f"{compared} members due in the cross-sections of the sampled days: {missing} missing, {foreign} foreign{named}"
    )
    landed, members = scope.one(f"""
        select count(versions.entity), count(*) from {scope.table("members")} as members
        left join {scope.table("series")} as versions using (entity, t)
    """)
    text += f"; {landed} of {members} index members have a bar"
    return scope.found("universe_differs_from_membership", missing + foreign, compared, text)


def _known_at(scope: Scope, expected: str) -> AuditRow:
    early, compared = scope.one(f"""
        select count_if((rows.known_at >= expected.known_at) is not true), count(*)
        from {scope.table("rows")} as rows
        inner join {expected} as expected on rows.entity = expected.entity and rows.t = expected.day
        where expected.is_judged
    """)
    own_early, own = scope.one(f"""
        select count_if((rows.known_at >= bars.known_at) is not true), count(*)
        from {scope.table("rows")} as rows
        inner join {scope.table("series")} as bars on rows.entity = bars.entity and rows.t = bars.t
    """)
    return scope.found(
        "known_at_before_source",
        max(early, own_early),
        compared + own,
        f"{own_early} of {own} rows claim to be known before their own bar, "
        f"{early} of {compared} before a bar of their window",
    )
