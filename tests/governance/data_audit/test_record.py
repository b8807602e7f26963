"""The record: returns of single bars, versions in time, members as known."""

import math
from datetime import datetime

import duckdb
import pytest

from tests.governance.data_audit.small_panel import CORRECTED, LATE, LEAVING, PRICES, day, panel, scoped
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.record import cumulated
from trademl.governance.data_audit.scope import PriceTables, Rules, Scope

# One symbol: t, open, close, dividend, split.
BARS = [
    (0, 10.0, 10.0, 0.0, 1.0),
    (1, 10.5, 11.0, 0.0, 1.0),
    (2, 10.0, 10.5, 0.5, 1.0),  # total return ln(11 / 11)
    (3, 5.2, 5.25, 0.0, 2.0),  # a split that the prices show: no return
    (4, 5.2, 5.25, 0.0, 3.0),  # a split that they do not
    (5, 10.4, 10.6, 0.0, 1.0),  # doubles with no split recorded
    (16, 8.0, 8.0, 0.0, 1.0),  # eleven sessions later: a listing of its own
    (17, 8.0, 8.8, 0.0, 1.0),
]


def chained(bars: list[tuple[int, float, float, float, float]]) -> list[tuple[object, ...]]:
    with duckdb.connect() as con:
        values = ", ".join(f"(1, {t}, {o}, {c}, {d}, {s})" for t, o, c, d, s in bars)
        source = f"(from (values {values}) as v(entity, t, open, close, dividend_amount, split_coefficient))"
        query = cumulated(source, "entity", Rules())
        return con.execute(
            f"select log_return, log_gap, is_suspect, listing, cum, suspects from ({query}) order by t"
        ).fetchall()


def test_returns_listings_and_suspects_by_hand() -> None:
    """A dividend is paid on the shares after the split; suspect bars have no return; a long absence ends a listing."""
    rows = chained(BARS)
    returns = [row[0] for row in rows]
    assert returns[0] is None
    assert returns[1] == pytest.approx(math.log(1.1))
    assert returns[2] == pytest.approx(0.0)
    assert returns[3] == pytest.approx(0.0)
    assert returns[4:7] == [None, None, None]
    assert returns[7] == pytest.approx(math.log(1.1))
    assert rows[2][1] == pytest.approx(math.log(10.5 / 11))
    assert [row[2] for row in rows] == [False, False, False, False, True, True, False, False]
    assert [row[3] for row in rows] == [1, 1, 1, 1, 1, 1, 2, 2]
    assert [row[5] for row in rows] == [0, 0, 0, 0, 1, 2, 2, 2]
    assert rows[-1][4] == pytest.approx(2 * math.log(1.1))


def test_ten_sessions_keep_a_listing() -> None:
    """A bar on the tenth session after the last one still has a return."""
    assert chained([(0, 10, 10, 0, 1), (10, 11, 11, 0, 1)])[1][0] == pytest.approx(math.log(1.1))


def record(prices: PriceTables, *changes: str) -> dict[str, list[tuple[object, ...]]]:
    """Lay out the small panel and return what the tables say of the awkward symbols."""
    found: dict[str, list[tuple[object, ...]]] = {}

    def look(scope: Scope) -> list[AuditRow]:
        named = f"inner join {scope.table('codes')} using (entity)"
        found["late"] = scope.all(f"select name, t from {scope.table('late')} {named} order by 1, 2")
        found["series"] = scope.all(
            f"select name, t, known_at from {scope.table('series')} {named} where t in (80, 110)"
        )
        found["members"] = scope.all(f"select name, t from {scope.table('members')} {named} where name = '{LEAVING}'")
        found["versions"] = scope.all(
            f"select t, superseded_at from {scope.table('versions')} {named} where name = '{CORRECTED}' and t = "
            "110 order by 2"
        )
        return []

    with panel() as con:
        for change in changes:
            con.execute(change)
        scoped(con, look, prices=prices)
    return found


def test_versions_in_time() -> None:
    """A corrected bar has two versions, the first until the second is known; a late bar is in no series."""
    found = record(PRICES)
    assert found["late"] == [(CORRECTED, 110), (LATE, 80)]
    assert [row[1] for row in found["versions"]] == [
        datetime.combine(day(113), datetime.min.time()).replace(hour=20, minute=14),
        datetime(9999, 12, 31),
    ]
    in_series = {(name, t) for name, t, _ in found["series"]}
    assert (CORRECTED, 110) in in_series
    assert (LATE, 80) not in in_series
    assert (LATE, 110) in in_series


def test_members_leave_on_their_day() -> None:
    """Without landed spells the published membership counts: sessions 4 to 74 of the sample."""
    assert sorted(t for _, t in record(PRICES)["members"]) == list(range(4, 75))  # type: ignore[type-var]


def test_spells_count_as_they_were_known() -> None:
    """A spell ends before its end date; a version counts from when it was known until the next one is."""
    spells = f"""
        create table spells as from (values
            ('{LEAVING}', date '{day(10)}', null::date, timestamp '{day(10)} 00:00', timestamp '2020-01-01'),
            ('{LEAVING}', date '{day(10)}', date '{day(75)}', timestamp '{day(77)} 00:00', timestamp '2020-01-02')
        ) as s(symbol, start_date, end_date, known_at, ingested_at)
    """
    landed = PriceTables(landed_bars="landed_bars", landed_members="spells", rules=PRICES.rules)
    members = record(landed, spells)["members"]
    # Until session 76 nobody could know that it had left on 75.
    assert sorted(t for _, t in members) == list(range(10, 77))  # type: ignore[type-var]


def test_where_no_membership_landed_everybody_is_a_member() -> None:
    """An empty table of members means no rule, not an empty universe."""
    members = record(PRICES, "delete from silver.universe_members")["members"]
    assert sorted(t for _, t in members) == list(range(4, 145))  # type: ignore[type-var]
