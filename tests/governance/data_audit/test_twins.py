"""Cross-sectional twins against those of pandas, and against moments of the wrong rows."""

from collections.abc import Iterator

import duckdb
import pytest

from tests.governance.data_audit.small_panel import TWINNED, day, panel, scoped
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.twins import audit_twins

FEATURES = "gold.equities_features"
CHECK = "twin_differs_from_cross_section"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with panel() as database:
        yield database


def audited(con: duckdb.DuckDBPyConnection, *features: str) -> AuditRow:
    return scoped(con, audit_twins, prices=None, features=features or None)[CHECK]


def test_the_twins_of_pandas_pass(con: duckdb.DuckDBPyConnection) -> None:
    """Every value of nine twins is compared."""
    row = audited(con)
    values = con.execute(
        "select " + " + ".join(f"count({name}_{kind})" for name in TWINNED for kind in ("dm", "rank", "sn"))
        + f" from {FEATURES} where date <= date '{day(144)}'"
    ).fetchall()[0][0]  # fmt: skip
    assert (row.violations, row.compared) == (0, values)


@pytest.mark.parametrize(
    "kind, expression",
    [
        ("dm", "(adv_20d - avg(adv_20d) over ()) / stddev_samp(adv_20d) over ()"),
        ("rank", "percent_rank() over (order by adv_20d)"),
        ("rank", "rank() over (partition by date order by adv_20d desc) / count(*) over (partition by date)"),
        ("sn", "(adv_20d - avg(adv_20d) over (partition by date)) / stddev_samp(adv_20d) over (partition by date)"),
    ],
    ids=["whole sample", "rank over all dates", "rank upside down", "sector left out"],
)
def test_moments_of_other_rows_are_found(con: duckdb.DuckDBPyConnection, kind: str, expression: str) -> None:
    """A twin made of other rows than its own date's (or sector's) members differs nearly everywhere."""
    con.execute(
        f"update {FEATURES} as f set adv_20d_{kind} = n.x from (select symbol, date, {expression} as x from {FEATURES} "
        "where in_universe and adv_20d is not null) as n where n.symbol = f.symbol and n.date = f.date"
    )
    row = audited(con)
    assert row.violations > 0.8 * row.compared / 9
    assert f"differing: adv_20d_{kind} in {row.violations}" in row.detail


def test_a_missing_twin_and_one_without_a_value_count(con: duckdb.DuckDBPyConnection) -> None:
    """NULL stays NULL: a filled gap is an invention, and a dropped value a gap."""
    con.execute(f"update {FEATURES} set adv_20d_rank = null where symbol = 'S09' and date = date '{day(60)}'")
    con.execute(f"update {FEATURES} set adv_20d = null where symbol = 'S10' and date = date '{day(60)}'")
    row = audited(con, "adv_20d_rank")
    # S09's own, S10's own, and the ranks of all others of that date, which count one member less.
    others = con.execute(
        f"select count(*) from {FEATURES} where in_universe and date = date '{day(60)}' and symbol not in ('S09', "
        "'S10')"
    ).fetchall()[0][0]
    assert 2 <= row.violations <= 2 + others


def test_a_constant_cross_section_has_z_scores_of_zero(con: duckdb.DuckDBPyConnection) -> None:
    """Where nothing varies, 0 is right and anything else is not."""
    con.execute(f"update {FEATURES} set adv_20d = 5, adv_20d_dm = 0, adv_20d_sn = 0 where date = date '{day(60)}'")
    assert audited(con, "adv_20d_dm", "adv_20d_sn").violations == 0
    con.execute(f"update {FEATURES} set adv_20d_dm = 1 where symbol = 'S09' and date = date '{day(60)}'")
    assert audited(con, "adv_20d_dm", "adv_20d_sn").violations == 1


def test_a_run_without_twins_has_nothing_to_compare(con: duckdb.DuckDBPyConnection) -> None:
    """Raw features are judged elsewhere."""
    assert audited(con, "momentum_5d").compared == 0
