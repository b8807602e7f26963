"""The data gate."""

from datetime import date

import duckdb
import pytest

from trademl.errors import DataGateError
from trademl.sleeves.equities import EQUITIES
from trademl.training.config import DataGateConfig
from trademl.training.gate import check_gate

FIRST, LAST = date(2020, 1, 1), date(2020, 1, 20)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    """Twenty graded sessions from 2020-01-01, all GREEN, in a calendar that goes from December to March."""
    made = duckdb.connect()
    made.execute("create schema silver")
    made.execute(
        "create table silver.calendar as select d::date as date "
        "from range(timestamp '2019-12-01', timestamp '2020-03-01', interval 1 day) t(d)"
    )
    made.execute(
        "create table silver.coverage as select 'equity_bars' as dataset, date, 1.0::double as coverage_ratio, "
        "'GREEN' as status, '' as reasons from silver.calendar "
        "where date between date '2020-01-01' and date '2020-01-20'"
    )
    return made


def grade(con: duckdb.DuckDBPyConnection, status: str, *days: int, reasons: str = "") -> None:
    listed = ", ".join(f"date '2020-01-{day:02d}'" for day in days)
    con.execute(
        f"update silver.coverage set status = '{status}', coverage_ratio = 0.5, reasons = '{reasons}' "
        f"where date in ({listed})"
    )


def test_green_sessions_pass(con: duckdb.DuckDBPyConnection) -> None:
    """When every session is GREEN the gate counts them and refuses nothing."""
    report = check_gate(con, EQUITIES, DataGateConfig(), FIRST, LAST)
    assert (report.sessions, report.counts, report.failures, report.excluded) == (20, {"GREEN": 20}, (), ())


def test_a_red_week_is_refused_with_dates_symbols_and_remedy(con: duckdb.DuckDBPyConnection) -> None:
    """RED sessions stop training; the message names dates, grade, symbols, the limit and the way out."""
    grade(con, "RED", 6, 7, 8, 9, 10, reasons="absent 9: AAA BBB CCC")
    with pytest.raises(DataGateError) as caught:
        check_gate(con, EQUITIES, DataGateConfig(), FIRST, LAST)
    message = str(caught.value)
    for part in (
        "5 RED",
        "2020-01-06 RED 0.500",
        "AAA BBB CCC",
        "must be GREEN",
        "trademl ingest equities",
        "trademl build",
    ):
        assert part in message
    assert caught.value.exit_code == 3


def test_only_the_first_few_sessions_are_named(con: duckdb.DuckDBPyConnection) -> None:
    """Of many failures five are shown, the worst grade first, and the rest counted."""
    grade(con, "AMBER", *range(1, 9))
    grade(con, "RED", 12)
    with pytest.raises(DataGateError) as caught:
        check_gate(con, EQUITIES, DataGateConfig(), FIRST, LAST)
    message = str(caught.value)
    assert "1 RED" in message
    assert "8 AMBER" in message
    assert message.index("2020-01-12 RED") < message.index("2020-01-01 AMBER")
    assert "and 4 more" in message


@pytest.mark.parametrize(
    "config, passes",
    [
        (DataGateConfig(), False),
        (DataGateConfig(require="AMBER"), True),
        (DataGateConfig(max_amber_fraction=0.1), True),
        (DataGateConfig(max_amber_fraction=0.09), False),
    ],
)
def test_amber_passes_only_where_allowed(con: duckdb.DuckDBPyConnection, config: DataGateConfig, passes: bool) -> None:
    """2 AMBER of 20 sessions pass when AMBER is enough or a tenth may be AMBER, and not otherwise."""
    grade(con, "AMBER", 3, 4)
    if passes:
        assert check_gate(con, EQUITIES, config, FIRST, LAST).counts == {"GREEN": 18, "AMBER": 2}
    else:
        with pytest.raises(DataGateError):
            check_gate(con, EQUITIES, config, FIRST, LAST)


def test_red_passes_in_no_way_but_exclusion(con: duckdb.DuckDBPyConnection) -> None:
    """No tolerance lets a RED session through; on request its date is left out, and AMBER ones that pass stay in."""
    grade(con, "RED", 9)
    grade(con, "AMBER", 10)
    with pytest.raises(DataGateError):
        check_gate(con, EQUITIES, DataGateConfig(require="AMBER", max_amber_fraction=1.0), FIRST, LAST)
    report = check_gate(con, EQUITIES, DataGateConfig(require="AMBER", exclude_not_green=True), FIRST, LAST)
    assert report.excluded == (date(2020, 1, 9),)


def test_a_session_without_a_grade_does_not_pass(con: duckdb.DuckDBPyConnection) -> None:
    """A session of the calendar that the coverage table does not know counts as MISSING."""
    con.execute("delete from silver.coverage where date = date '2020-01-08'")
    with pytest.raises(DataGateError, match="2020-01-08 MISSING"):
        check_gate(con, EQUITIES, DataGateConfig(), FIRST, LAST)


def test_sessions_beyond_the_graded_ones_do_not_count(con: duckdb.DuckDBPyConnection) -> None:
    """The calendar goes on before the first and after the last landed session; those are not missing."""
    report = check_gate(con, EQUITIES, DataGateConfig(), date(2019, 12, 5), date(2020, 2, 15))
    assert report.sessions == 20


def test_a_range_without_any_grade_is_refused(con: duckdb.DuckDBPyConnection) -> None:
    """Where nothing has landed there is nothing to train on."""
    with pytest.raises(DataGateError, match="grades no session"):
        check_gate(con, EQUITIES, DataGateConfig(), date(2020, 2, 1), date(2020, 2, 15))
