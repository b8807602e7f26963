"""Weights and regimes against loops."""

import statistics
from collections.abc import Iterator

import duckdb
import numpy as np
import pytest

from tests.governance.data_audit.small_panel import PRICES, day, panel, scoped
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.weights import audit_regime, audit_weights

TRAINING = "gold.equities_training"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with panel() as database:
        yield database


def weights(con: duckdb.DuckDBPyConnection) -> AuditRow:
    return scoped(con, lambda scope: audit_weights(scope, PRICES))["weight_differs"]


def regimes(con: duckdb.DuckDBPyConnection) -> AuditRow:
    return scoped(con, lambda scope: audit_regime(scope, PRICES))["regime_differs"]


def rows(con: duckdb.DuckDBPyConnection, condition: str = "true") -> int:
    return int(con.execute(f"select count(*) from {TRAINING} where {condition}").fetchall()[0][0])


def test_weights_of_the_loop_pass_and_cover_every_row(con: duckdb.DuckDBPyConnection) -> None:
    """Decay and product on each row; uniqueness on each row of the sampled days, here all."""
    row = weights(con)
    assert (row.violations, row.compared) == (0, 2 * rows(con))


def test_weights_made_of_outcomes_are_found(con: duckdb.DuckDBPyConnection) -> None:
    """A uniqueness that knows the outcome differs, with a product that follows it."""
    con.execute(
        f"update {TRAINING} set uniqueness_weight = uniqueness_weight * (1 + abs(value)), "
        "sample_weight = sample_weight * (1 + abs(value)) where abs(value) > 1e-4"
    )
    assert weights(con).violations == rows(con, "abs(value) > 1e-4")


def test_a_decay_towards_another_date_is_found(con: duckdb.DuckDBPyConnection) -> None:
    """Counted back from the last date, old weights change with every new session."""
    con.execute(f"update {TRAINING} set time_decay_weight = pow(2, (date - date '{day(149)}') / 730.0::double)")
    assert weights(con).violations == rows(con)


def test_a_label_that_counts_alone_is_found(con: duckdb.DuckDBPyConnection) -> None:
    """Weights of 1 ignore that five labels run at once."""
    con.execute(f"update {TRAINING} set sample_weight = time_decay_weight, uniqueness_weight = 1 where symbol = 'S09'")
    assert weights(con).violations == rows(con, "symbol = 'S09'")


def test_a_table_without_weights_is_not_judged(con: duckdb.DuckDBPyConnection) -> None:
    """It is said which column is missing."""
    con.execute(f"alter table {TRAINING} drop column uniqueness_weight")
    row = weights(con)
    assert (row.violations, row.compared) == (0, 0)
    assert "uniqueness_weight" in row.detail


def long_market(con: duckdb.DuckDBPyConnection) -> dict[int, str | None]:
    """Give the market 400 earlier sessions with drifting volatility; return each session's regime by a loop."""
    rng = np.random.default_rng(9)
    scale = 1e10 * np.exp(np.cumsum(rng.normal(0, 0.05, 550)))
    returns = {t: int(value) for t, value in zip(range(-400, 150), rng.normal(size=550) * scale, strict=True)}
    con.execute("delete from silver.equity_market")
    values = ", ".join(f"(date '2018-01-01' + {t + 400}, {t}, {value})" for t, value in returns.items() if t < 0)
    con.execute(
        f"insert into silver.equity_market by name (select * from (values {values}) as m(date, session_index, "
        "market_return))"
    )
    values = ", ".join(f"(date '{day(t)}', {t}, {value})" for t, value in returns.items() if t >= 0)
    con.execute(
        f"insert into silver.equity_market by name (select * from (values {values}) as m(date, session_index, "
        "market_return))"
    )
    sessions = sorted(returns)
    volatility = {
        t: float(np.float32(252**0.5 * statistics.stdev(returns[s] / 1e12 for s in sessions[at - 19 : at + 1])))
        for at, t in enumerate(sessions)
        if at >= 19
    }
    found: dict[int, str | None] = {}
    for at, t in enumerate(sessions):
        year = [volatility[s] for s in sessions[max(at - 251, 0) : at + 1] if s in volatility]
        place = sum(value <= volatility[t] for value in year) / len(year) if len(year) >= 232 else None
        found[t] = None if place is None else "low" if place <= 1 / 3 else "mid" if place <= 2 / 3 else "high"
    return found


def test_regimes_of_the_loop_pass_and_hindsight_does_not(con: duckdb.DuckDBPyConnection) -> None:
    """Regimes of the trailing year pass; one session with another grade is one violation."""
    due = long_market(con)
    cases = " ".join(f"when {t} then '{regime}'" for t, regime in due.items() if t >= 0)
    con.execute(f"update {TRAINING} set regime = case session_index {cases} end")
    assert {due[t] for t in range(150)} == {"low", "mid", "high"}
    row = regimes(con)
    assert (row.violations, row.compared) == (0, 141)
    con.execute(
        f"update {TRAINING} set regime = case when regime = 'low' then 'mid' else 'low' end where session_index = 77"
    )
    assert regimes(con).violations == 1


def test_an_early_regime_is_unknown(con: duckdb.DuckDBPyConnection) -> None:
    """With less than a year behind it a session has no regime: naming one is hindsight."""
    assert regimes(con).violations == 0
    con.execute(f"update {TRAINING} set regime = 'low'")
    assert regimes(con).violations == 141
