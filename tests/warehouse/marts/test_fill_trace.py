"""marts.fill_trace on a bare DuckDB: one fill through every step, and each step missing in turn."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import duckdb
import pytest

from tests.warehouse.marts.rendered import MODELS, SCHEMAS, rendered, warehouse
from trademl.schema import BATCHES

DAY = "2024-01-05"
RUN = "equities-fwd_5d-0123456789ab"
STEPS: dict[str, dict[str, Any]] = {
    "ops.fills": {"fill_id": "f", "order_id": "o", "symbol": "A", "quantity": 10.0, "price": 50.5, "fee_usd": 0.1,
                  "account": "paper", "filled_at": "2024-01-08 14:30:00"},
    "ops.orders": {"client_order_id": "o", "event_seq": 0, "status": "planned", "account": "paper",
                   "sleeve": "equities", "run_id": RUN, "model_id": RUN, "portfolio_hash": "p", "symbol": "A",
                   "side": "buy", "slice": 0,
                   "expected_price": 50.0, "dt": DAY, "session": "2024-01-08"},
    "ops.targets": {"sleeve": "equities", "dt": DAY, "symbol": "A", "weight": 0.05, "score": 0.02, "horizon": 5,
                    "model_id": RUN, "run_id": RUN, "portfolio_hash": "p"},
    "preds.equities": {"ticker": "A", "dt": DAY, "horizon": 5, "model_id": RUN, "label": "fwd_5d", "yhat": 0.02},
    "ops.runs": {"run_id": RUN, "path": "models_artifacts/equities/x", "git_revision": "abc"},
}  # fmt: skip


def land(con: duckdb.DuckDBPyConnection, table: str, **changed: Any) -> None:
    row = {**STEPS[table], "recorded_at": datetime(2024, 1, 8), "scored_at": datetime(2024, 1, 5), **changed}
    row = {name: value for name, value in row.items() if name in BATCHES[table].columns}
    con.execute(
        f"insert into landed.{table.replace('.', '_')} by name select "
        + ", ".join(f"cast(? as {BATCHES[table].columns[name]}) as {name}" for name in row),
        list(row.values()),
    )


@pytest.fixture
def con(monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    monkeypatch.setitem(SCHEMAS, "slv", "silver")
    with warehouse() as con:
        con.execute(
            """
            create table silver.calendar as
                select date '2024-01-05' as date, timestamp '2024-01-05 21:15:00' as decision_at;
            create table silver.equity_bar_origins(symbol varchar, batch_id varchar, file varchar, line bigint,
                date date, known_at timestamp, ingested_at timestamp);
            insert into silver.equity_bar_origins values
                ('A', 'b-1', 'bars.csv', 17, '2024-01-05', '2024-01-05 21:10:00', '2024-01-05 21:12:00'),
                ('A', 'b-2', 'fix.csv', 3, '2024-01-05', '2024-01-09 09:00:00', '2024-01-09 09:01:00'),
                ('A', 'b-0', 'bars.csv', 16, '2024-01-04', '2024-01-04 21:10:00', '2024-01-04 21:12:00');
            create table gold.equities_features(symbol varchar, date date, in_universe boolean);
            insert into gold.equities_features values ('A', '2024-01-05', true);
            """
        )
        con.execute(
            f"create view marts.fill_trace as {rendered(MODELS / 'marts' / 'execution' / 'mrt_fill_trace.sql')}"
        )
        yield con


def answer(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    found = con.execute("select * from marts.fill_trace")
    names = [column[0] for column in found.description or []]
    (row,) = found.fetchall()
    return dict(zip(names, row, strict=True))


def test_a_fill_leads_to_the_line_of_its_source_file(con: duckdb.DuckDBPyConnection) -> None:
    """Every step by name; the bar's version is the one known at the decision, not the later correction."""
    for table in STEPS:
        land(con, table)
    land(con, "ops.orders", event_seq=1, status="filled")
    row = answer(con)
    assert row["is_traced"] is True
    assert (row["order_id"], row["order_status"], row["target_weight"], row["yhat"]) == ("o", "filled", 0.05, 0.02)
    assert (row["run_path"], row["git_revision"]) == ("models_artifacts/equities/x", "abc")
    assert (row["batch_id"], row["raw_file"], row["raw_line"]) == ("b-1", "bars.csv", 17)
    assert row["slippage_bps"] == pytest.approx(100.0)


@pytest.mark.parametrize("missing", ["ops.orders", "ops.targets", "preds.equities", "ops.runs"])
def test_a_missing_step_is_not_traced(con: duckdb.DuckDBPyConnection, missing: str) -> None:
    """Without the order, target, prediction or run the fill is there and says that it is not traced."""
    for table in STEPS:
        if table != missing:
            land(con, table)
    assert answer(con)["is_traced"] is False


@pytest.mark.parametrize("table", ["silver.equity_bar_origins", "gold.equities_features"])
def test_a_missing_row_of_the_data_is_not_traced(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Without the features row, or the landed bar."""
    for step in STEPS:
        land(con, step)
    con.execute(f"delete from {table} where symbol = 'A'")
    assert answer(con)["is_traced"] is False


def test_targets_that_were_replaced_do_not_trace(con: duckdb.DuckDBPyConnection) -> None:
    """Another portfolio decided the same date later: its target is not what was traded."""
    for step in STEPS:
        land(con, step)
    land(con, "ops.targets", portfolio_hash="q", recorded_at=datetime(2024, 1, 9))
    row = answer(con)
    assert (row["has_target"], row["is_traced"]) == (False, False)


def test_a_position_closed_for_want_of_a_score_is_traced_to_its_bar(con: duckdb.DuckDBPyConnection) -> None:
    """A symbol that left the universe has a target of 0 and no prediction; that is its whole trace."""
    for step in ("ops.fills", "ops.orders", "ops.runs"):
        land(con, step)
    land(con, "ops.targets", weight=0.0, score=None)
    row = answer(con)
    assert (row["has_prediction"], row["is_traced"]) == (False, True)
