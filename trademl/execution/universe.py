"""Which symbols may be traded on a date, judged on what was known at its close, and why each of the others may not.

A universe is a batch of ``ops.universe``: an immutable file, one row per symbol, the excluded ones among them. Bars
that became known after the decision of the session, late ones and corrections, count as absent; so a universe made
today for a date of the past is not better informed than the one that was made then.
"""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.config.home import Home
from trademl.errors import DataGateError, SnapshotError
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.reading import show_batches
from trademl.lake.snapshot import snapshot_batches
from trademl.portfolio.config import UniverseConfig
from trademl.warehouse.read import read_snapshot

TABLE = "ops.universe"

# As silver does: a listing that was absent for so many sessions has ended, and a later bar begins another one.
_ENDED_AFTER = 10


@dataclass(frozen=True)
class Judged:
    """A symbol and the verdict on it; None: not known. ``reasons`` is empty for a symbol that may be traded."""

    symbol: str
    sector: str | None
    is_member: bool
    price_usd: float | None
    day_value_usd: float
    history_sessions: int
    present_ratio: float
    reasons: tuple[str, ...]
    liquidity_rank: int | None

    @property
    def is_included(self) -> bool:
        return not self.reasons

    @property
    def broken(self) -> tuple[str, ...]:
        """The rules behind the reasons, by their names in configs/portfolio.yml where they have one."""
        return tuple(reason.partition(":")[0] for reason in self.reasons)


@dataclass(frozen=True)
class Universe:
    """The universe of a session: included symbols first, by liquidity, then the others by name.

    ``written`` says whether rows were added; False for a dry run, and when they were there already.
    """

    dt: date
    settings: UniverseConfig
    judged: tuple[Judged, ...]
    written: bool

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that may be traded, the most liquid first."""
        return tuple(one.symbol for one in self.judged if one.is_included)


def build_universe(
    home: Home, asof: date | None, settings: UniverseConfig, *, write: bool = True, now: Clock = utc_now
) -> Universe:
    """Judge every member and every symbol that was recently traded, and write the verdicts to ``ops.universe``.

    Args:
        home: where the snapshot is.
        asof: the session; None: the last one with bars.
        settings: the rules.
        write: False only judges.
        now: the clock of what is written.

    Raises:
        DataGateError: the date is no session, or no symbol has a bar on it.
        SnapshotError: there is no snapshot, or it lacks a table.
    """
    layout = layout_of(home)
    with read_snapshot(home, now=now) as snapshot:
        try:
            session = _session(snapshot.con, asof)
            facts = _facts(snapshot.con, session, settings.window_sessions)
            show_batches(snapshot.con, layout, TABLE)
            earlier = {
                row[0] for row in snapshot.con.execute(f"select symbol from {TABLE} where dt = ?", [session]).fetchall()
            }
        except duckdb.CatalogException as error:
            raise SnapshotError(
                f"the snapshot lacks a table that a universe needs: {str(error).splitlines()[0]}",
                remedy="run `trademl build`",
            ) from error
    judged = judge(facts, settings)
    if not write:
        return Universe(session, settings, judged, False)
    there = set(layout.batch_files(TABLE))
    # A symbol that an earlier verdict on the session knew and this one does not is no longer of the universe.
    gone = [
        Judged(symbol, None, False, None, 0.0, 0, 0.0, ("not known any more",), None)
        for symbol in sorted(earlier - {one.symbol for one in judged})
    ]
    shared = {"dt": session, "settings": settings.model_dump_json(), "recorded_at": sql_utc(now())}
    rows = [
        {**shared, **asdict(one), "reasons": "; ".join(one.reasons), "is_included": one.is_included}
        for one in (*judged, *gone)
    ]
    batch = write_rows(layout, TABLE, rows, now=now)
    snapshot_batches(layout, now=now)
    return Universe(session, settings, judged, batch is not None and batch not in there)


def read_universe(home: Home, session: date, *, now: Clock = utc_now) -> tuple[date, frozenset[str]]:
    """Return the symbols of the newest universe of a date up to ``session``, and its date.

    Raises:
        DataGateError: there is none.
    """
    with read_snapshot(home, now=now) as snapshot:
        show_batches(snapshot.con, layout_of(home), TABLE)
        rows = snapshot.con.execute(
            f"select dt, symbol from {TABLE} where is_included and dt = "
            f"(select max(dt) from {TABLE} where dt <= ?) order by symbol",
            [session],
        ).fetchall()
    if not rows:
        raise DataGateError(
            f"{TABLE} has no universe of {session} or before", remedy=f"`trademl universe build --asof {session}`"
        )
    return rows[0][0], frozenset(row[1] for row in rows)


def judge(facts: list[Judged], settings: UniverseConfig) -> tuple[Judged, ...]:
    """Give each symbol its reasons, and rank by traded value those that have none; ties go by name."""
    passed, failed = [], []
    for one in facts:
        reasons = _reasons(one, settings)
        if reasons:
            failed.append(Judged(**{**asdict(one), "reasons": reasons}))
        else:
            passed.append(one)
    passed.sort(key=lambda one: (-one.day_value_usd, one.symbol))
    ranked = []
    for rank, one in enumerate(passed, start=1):
        beyond = settings.max_names is not None and rank > settings.max_names
        reasons = (f"max_names: liquidity rank {rank}, beyond {settings.max_names}",) if beyond else ()
        ranked.append(Judged(**{**asdict(one), "reasons": reasons, "liquidity_rank": rank}))
    return (*ranked, *sorted(failed, key=lambda one: one.symbol))


def _reasons(one: Judged, settings: UniverseConfig) -> tuple[str, ...]:
    """Return each rule that a symbol breaks, as ``rule: what was found``."""
    reasons = []
    if settings.members_only and not one.is_member:
        reasons.append("members_only: not a member on the session")
    if one.present_ratio == 0:
        return (*reasons, "no bar within the window")
    if one.price_usd is None:
        reasons.append("no bar on the session")
    elif one.price_usd < settings.min_price_usd:
        reasons.append(f"min_price_usd: {one.price_usd:.2f} USD, below {settings.min_price_usd:g}")
    if one.day_value_usd < settings.min_day_value_usd:
        reasons.append(f"min_day_value_usd: {one.day_value_usd:,.0f} USD, below {settings.min_day_value_usd:,.0f}")
    if one.history_sessions < settings.min_history_sessions:
        reasons.append(f"min_history_sessions: {one.history_sessions}, below {settings.min_history_sessions}")
    if one.present_ratio < settings.min_present:
        reasons.append(f"min_present: bars on {one.present_ratio:.1%}, below {settings.min_present:.1%}")
    return tuple(reasons)


def _session(con: duckdb.DuckDBPyConnection, asof: date | None) -> date:
    found = con.execute(
        "select max(date) from silver.equity_bars where $asof is null or date = $asof", {"asof": asof}
    ).fetchall()[0][0]
    if found is None:
        near = con.execute("select max(date) from silver.equity_bars where date < ?", [asof]).fetchall()[0][0]
        raise DataGateError(
            f"no symbol has a bar on {asof}; the last session before it with bars is {near}" if asof else "no bars",
            remedy="give a session that has landed and been built",
        )
    session: date = found
    return session


def _facts(con: duckdb.DuckDBPyConnection, session: date, window: int) -> list[Judged]:
    rows = con.execute(
        """
        with
            decision as (
                select session_index, decision_at from silver.calendar where date = $session
            ),
            bars as (
                select bars.* from silver.equity_bars as bars cross join decision
                where bars.date <= $session and bars.known_at <= decision.decision_at
            ),
            sessions as (
                select calendar.date from silver.calendar as calendar cross join decision
                where
                    calendar.session_index > decision.session_index - $window
                    and calendar.session_index <= decision.session_index
                    and calendar.date >= (select min(date) from bars)
            ),
            members as (
                select symbol from silver.universe_members where date = $session
            ),
            symbols as (
                select symbol from members
                union
                select symbol from bars where date in (select date from sessions)
            ),
            gaps as (
                select
                    symbol, date,
                    session_index - lag(session_index) over (partition by symbol order by session_index) - 1 as absent
                from bars
            ),
            listings as (
                select symbol, max(date) as began from gaps
                where absent is null or absent >= $ended_after group by symbol
            ),
            histories as (
                select symbol, count(*) as sessions from bars join listings using (symbol)
                where bars.date >= listings.began group by symbol
            ),
            windows as (
                select
                    symbols.symbol, median(coalesce(bars.dollar_volume, 0)) as day_value,
                    count(bars.symbol) / count(*) as present
                from symbols cross join sessions
                left join bars on bars.symbol = symbols.symbol and bars.date = sessions.date
                group by symbols.symbol
            )
        select
            windows.symbol, today.sector, members.symbol is not null as is_member, today.close, windows.day_value,
            coalesce(histories.sessions, 0), windows.present
        from windows
        left join (select * from bars where date = $session) as today on today.symbol = windows.symbol
        left join members on members.symbol = windows.symbol
        left join histories on histories.symbol = windows.symbol
        order by windows.symbol
        """,
        {"session": session, "window": window, "ended_after": _ENDED_AFTER},
    ).fetchall()
    return [
        Judged(symbol, sector, is_member, price, day_value, history, present, (), None)
        for symbol, sector, is_member, price, day_value, history, present in rows
    ]


def as_document(universe: Universe) -> dict[str, Any]:
    """Return a universe as plain data, for JSON: its date, rules, and every symbol with its verdict."""
    return {
        "dt": universe.dt.isoformat(),
        "settings": universe.settings.model_dump(mode="json"),
        "included": len(universe.symbols),
        "symbols": [
            {**asdict(one), "reasons": list(one.reasons), "is_included": one.is_included} for one in universe.judged
        ],
    }
