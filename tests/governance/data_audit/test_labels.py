"""Labels against the bars as known at their end."""

from collections.abc import Iterator
from dataclasses import replace

import duckdb
import numpy as np
import pytest

from tests.governance.data_audit.small_panel import (
    CORRECTED,
    DELISTED,
    LABEL,
    PRICES,
    SESSIONS,
    SILVER_ONLY,
    SLEEVE,
    day,
    panel,
    scoped,
    versions,
)
from tests.oracles import equities as oracle
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.labels import audit_labels, rule_of
from trademl.governance.data_audit.record import lay_out
from trademl.governance.data_audit.scope import PriceTables, Rules, close_scope, open_scope

TRAINING = "gold.equities_training"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with panel() as database:
        yield database


def audited(con: duckdb.DuckDBPyConnection, prices: PriceTables = PRICES) -> dict[str, AuditRow]:
    return scoped(con, lambda scope: audit_labels(scope, prices), prices=prices)


def counts(con: duckdb.DuckDBPyConnection, prices: PriceTables = PRICES) -> dict[str, int]:
    return {check: row.violations for check, row in audited(con, prices).items() if row.violations}


@pytest.mark.parametrize("label, kind, sessions", [("fwd_5d", "fwd", 5), ("ret_1d", "ret", 1), ("tb_2_1_10", "tb", 10)])
def test_names_say_how_a_label_is_made(label: str, kind: str, sessions: int) -> None:
    """Horizon labels by their number, the barrier label by the settings."""
    rule = rule_of(label, Rules())
    assert rule is not None
    assert (rule.kind, rule.sessions) == (kind, sessions)


def test_an_unknown_label_is_not_judged(con: duckdb.DuckDBPyConnection) -> None:
    """It is said that there is no formula, with nothing compared."""
    assert rule_of("tb_3_1_10", Rules()) is None
    con.execute(f"update {TRAINING} set label = 'vendor_label'")
    scope = open_scope(
        con, SLEEVE, "vendor_label", (), prices=PRICES, run_id="r", recorded_at=None, first=None, last=None, excluded=()
    )  # type: ignore[arg-type]
    rows = audit_labels(scope, PRICES)
    close_scope(con)
    assert {(row.violations, row.compared) for row in rows} == {(0, 0)}
    assert all("no independent formula for vendor_label" in row.detail for row in rows)


def test_every_changed_value_is_counted(con: duckdb.DuckDBPyConnection) -> None:
    """A value off by a hundredth of a percent is another label."""
    con.execute(f"update {TRAINING} set value = value + 1e-4 where symbol = 'S09'")
    rows = con.execute(f"select count(*) from {TRAINING} where symbol = 'S09'").fetchall()[0][0]
    assert counts(con) == {"label_differs_from_prices": rows}


def test_labels_of_two_symbols_swapped(con: duckdb.DuckDBPyConnection) -> None:
    """The rows of both symbols differ on every session they share."""
    con.execute(
        f"update {TRAINING} as t set value = o.value from {TRAINING} as o where t.symbol in ('S08', 'S09') "
        "and o.symbol in ('S08', 'S09') and o.symbol <> t.symbol and o.date = t.date"
    )
    rows = con.execute(f"select count(*) from {TRAINING} where symbol in ('S08', 'S09')").fetchall()[0][0]
    assert counts(con) == {"label_differs_from_prices": rows}


@pytest.mark.parametrize("sessions", [-1, 1])
def test_an_end_one_session_off_is_counted(con: duckdb.DuckDBPyConnection, sessions: int) -> None:
    """Earlier is a leak; later is not what the warehouse means, and counts too."""
    con.execute(
        f"update {TRAINING} as t set label_end_date = c.date from silver.calendar as c "
        f"where t.symbol = 'S10' and c.session_index = t.end_index + {sessions}"
    )
    rows = con.execute(f"select count(*) from {TRAINING} where symbol = 'S10'").fetchall()[0][0]
    assert counts(con) == {"label_end_differs": rows}


def test_a_delisted_label_is_known_on_the_tenth_session(con: duckdb.DuckDBPyConnection) -> None:
    """Its end is not the last bar's session: there nobody knew that no other would follow."""
    con.execute(
        f"update {TRAINING} set label_end_date = date '{day(99)}' where symbol = '{DELISTED}' and outcome = 'delisted'"
    )
    # Decisions of sessions 95 to 98: session 94 leaves at the close of 99, and 99 has no entry.
    assert counts(con) == {"label_end_differs": 4}


def test_a_label_with_a_correction_is_judged_as_known(con: duckdb.DuckDBPyConnection) -> None:
    """A label that ends on session 110 uses the close of then; the mended close, known on 113, is hindsight."""
    con.execute(
        f"update {TRAINING} as t set value = x.close / e.open - 1 from silver.equity_bars as x, silver.equity_bars "
        "as e "
        f"where t.symbol = '{CORRECTED}' and t.date = date '{day(105)}' and x.symbol = t.symbol and x.date = date "
        f"'{day(110)}' "
        f"and e.symbol = t.symbol and e.date = date '{day(106)}'"
    )
    assert counts(con) == {"label_differs_from_prices": 1}
    silver = audited(con, SILVER_ONLY)["label_differs_from_prices"]
    assert silver.violations == 0
    assert "of those not judged" in silver.detail


def test_pending_outcomes_are_refused(con: duckdb.DuckDBPyConnection) -> None:
    """A value for a decision whose exit session has not come."""
    con.execute(
        f"insert into {TRAINING} select * replace (date '{day(146)}' as date, date '{day(149)}' as label_end_date) "
        f"from {TRAINING} where symbol = 'S09' and date = date '{day(140)}'"
    )
    assert counts(con)["pending_outcome_used"] == 1


def test_missing_outcomes_are_counted(con: duckdb.DuckDBPyConnection) -> None:
    """Dropping the losers, delisted or not, leaves members without a row."""
    losers = con.execute(f"select count(*) from {TRAINING} where value < -0.05").fetchall()[0][0]
    con.execute(f"delete from {TRAINING} where value < -0.05")
    row = audited(con)["outcome_missing"]
    touched = 30  # rows near late bars, which this check leaves alone
    assert losers - touched <= row.violations <= losers
    assert row.violations > 50


def barrier_rows() -> list[tuple[str, int, float, int]]:
    """(symbol, t, value, end) of the triple barrier by the loop oracle, for symbols without late bars."""
    found = []
    for symbol, landed in versions().items():
        bars = {bar.session: bar for bar in landed if bar.effective == bar.session}
        if len(bars) != len(landed):
            continue
        for t in sorted(bars):
            series = oracle.listing({s: bar for s, bar in bars.items() if s <= t}, t)
            if len(series.sessions) <= 20 or sum(series.present[-20:]) < 16:
                continue
            sigma = float(np.std(series.returns[-20:], ddof=1))
            outcome, value, end = oracle.triple_barrier(bars, t, sigma, SESSIONS - 1, up=2, down=1, h=10)
            if value is not None and outcome not in ("pending", "no_entry"):
                found.append((symbol, t, value, end))
    return found


def test_the_triple_barrier_equals_the_loop(con: duckdb.DuckDBPyConnection) -> None:
    """Value and end of every barrier label on the sampled days, and a stop moved by a session is found."""
    rows = barrier_rows()
    values = ", ".join(f"('{s}', {t}, {v!r}::double, {e})" for s, t, v, e in rows)
    con.execute(
        f"""
        create table barriers as
        select f.*, 'tb_2_1_10' as label, b.value, e.date as label_end_date
        from (values {values}) as b(symbol, t, value, e)
        inner join silver.calendar as c on c.session_index = b.t
        inner join silver.calendar as e on e.session_index = b.e
        inner join gold.equities_features as f on f.symbol = b.symbol and f.date = c.date
        where f.in_universe
        """
    )
    sleeve = replace(SLEEVE, training="barriers")

    def audit() -> dict[str, AuditRow]:
        scope = open_scope(
            con,
            sleeve,
            "tb_2_1_10",
            (),
            prices=PRICES,
            run_id="r",
            recorded_at=None,
            first=None,
            last=None,
            excluded=(),
        )  # type: ignore[arg-type]
        lay_out(scope, PRICES)
        found = {row.check_name: row for row in audit_labels(scope, PRICES)}
        close_scope(con)
        return found

    clean = audit()
    # The symbols with late bars were left out above; those rows alone are missing.
    assert {check: row.violations for check, row in clean.items() if check != "outcome_missing"} == {
        "label_differs_from_prices": 0,
        "label_end_differs": 0,
        "pending_outcome_used": 0,
    }
    assert clean["label_differs_from_prices"].compared > 900
    con.execute(
        "update barriers as b set label_end_date = c.date from silver.calendar as c, silver.calendar as e "
        "where e.date = b.label_end_date and c.session_index = e.session_index + 1 and b.symbol = 'S09'"
    )
    symbols = len({symbol for symbol, *_ in rows})
    moved = audit()["label_end_differs"]
    assert 0.8 * moved.compared / symbols < moved.violations < 1.2 * moved.compared / symbols


def test_one_session_returns_run_from_close_to_close(con: duckdb.DuckDBPyConnection) -> None:
    """ret_1d of the loop oracle's daily returns passes; the same label entered at the open does not."""
    con.execute(
        f"""
        create table ones as
        with chained as (
            select symbol, date, session_index as t,
                (lead(close) over w + lead(dividend_amount) over w) * lead(split_coefficient) over w / close - 1
                    as value,
                lead(close) over w / lead(open) over w - 1 as from_open,
                lead(date) over w as label_end_date, lead(session_index) over w as next_t
            from silver.equity_bars where symbol in ('S08', 'S09', 'S10', '{DELISTED}')
            window w as (partition by symbol order by session_index)
        )
        select f.*, 'ret_1d' as label, c.value, c.from_open, c.label_end_date
        from chained as c inner join gold.equities_features as f using (symbol, date)
        where f.in_universe and c.next_t = c.t + 1
        """
    )

    def violations() -> int:
        scope = open_scope(
            con, replace(SLEEVE, training="ones"), "ret_1d", (), prices=PRICES, run_id="r", recorded_at=None,
            first=None, last=None, excluded=(),
        )  # type: ignore[arg-type]  # fmt: skip
        lay_out(scope, PRICES)
        found = {row.check_name: row.violations for row in audit_labels(scope, PRICES)}
        close_scope(con)
        return found["label_differs_from_prices"]

    assert violations() == 0
    con.execute("update ones set value = from_open")
    assert violations() == con.execute("select count(*) from ones where value <> 0").fetchall()[0][0]


def test_the_label_is_what_the_panel_says() -> None:
    """The panel's label is the one that these tests are about."""
    assert LABEL == "fwd_5d"
