"""Daily returns in the ledger: kept once, aligned on dates, and one SQL for runs and strategies without a signal."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from trademl.errors import ArtifactError
from trademl.governance.returns import (
    BASELINES,
    aligned,
    predictions_shown,
    record_run_returns,
    recorded_runs,
    register_references,
    series,
    shadow_returns,
)
from trademl.lake.layout import Layout

DAYS = [date(2020, 1, day) for day in range(1, 9)]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty lake."""
    return Layout(tmp_path)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    """A snapshot's views in small: the mart's return of a date is the mean score of its rows, whoever they are."""
    con = duckdb.connect()
    for schema in ("preds", "marts", "silver", "gold"):
        con.execute(f"create schema {schema}")
    ranks = ", ".join(f"0.5::float as {sql.lstrip('-')}" for sql in BASELINES.values())
    con.execute(
        "create table days as select unnest(?) as date, generate_subscripts(?, 1)::int as session_index", [DAYS, DAYS]
    )
    con.execute("create view silver.calendar as select * from days")
    con.execute(f"create view gold.equities_features as select 'A' as symbol, date, {ranks} from days")
    con.execute(
        "create table main.all_rows as select 'equities' as sleeve, symbol as entity, date as dt, 5 as horizon, "
        "'fwd_5d' as label, 'run-1' as run_id, path as path_id, 0 as split_id, 0.01 * session_index as yhat, "
        "0.0::double as y, date as label_end, null::timestamp as scored_at "
        "from days, (values ('A'), ('B')) as s(symbol), (values (0), (1)) as p(path)"
    )
    con.execute("create view preds.oof as select * from main.all_rows")
    con.execute(
        "create view preds.shadow as select sleeve, entity, dt, horizon, 'run-1' as model_id, label, yhat + 1 as yhat, "
        "scored_at from main.all_rows where path_id = 0"
    )
    con.execute(
        "create view marts.run_returns as select run_id, 'long_short' as strategy, dt as date, "
        "avg(yhat) as gross_return, avg(yhat) - 0.001 as net_return, count(*)::double as turnover "
        "from preds.oof group by run_id, dt"
    )
    return con


def test_a_run_is_kept_with_its_dates(layout: Layout, con: duckdb.DuckDBPyConnection) -> None:
    """The ledger holds what the mart showed, net of cost."""
    assert record_run_returns(layout, con, run_id="run-1", sleeve="equities", label="fwd_5d") == len(DAYS)
    found = series(layout, ["run-1", "run-9"], "long_short")
    assert list(found) == ["run-1"]
    assert {day: net for day, (net, _) in found["run-1"].items()} == pytest.approx(
        {day: 0.01 * number - 0.001 for number, day in enumerate(DAYS, start=1)}
    )
    assert recorded_runs(layout) == {"run-1"}


def test_a_run_without_predictions_is_an_error(layout: Layout, con: duckdb.DuckDBPyConnection) -> None:
    """Nothing is kept for a run that the mart does not know."""
    with pytest.raises(ArtifactError, match="no row of run run-9"):
        record_run_returns(layout, con, run_id="run-9", sleeve="equities", label="fwd_5d")
    assert recorded_runs(layout) == set()


def test_predictions_in_no_batch_have_returns_too(layout: Layout, con: duckdb.DuckDBPyConnection) -> None:
    """Shown for the time of a block, they go through the mart; then preds.oof is what it was, also after an error."""
    con.execute("create table more as select * replace ('run-7' as run_id, yhat + 1 as yhat) from main.all_rows")
    rows = con.sql("select * from more").to_arrow_table()
    with predictions_shown(con, rows):
        assert con.execute("select distinct run_id from preds.oof").fetchall() == [("run-7",)]
        record_run_returns(layout, con, run_id="run-7", sleeve="equities", label="fwd_5d")
    found = series(layout, ["run-7"], "long_short")["run-7"]
    assert {day: net for day, (net, _) in found.items()} == pytest.approx(
        {day: 1 + 0.01 * number - 0.001 for number, day in enumerate(DAYS, start=1)}
    )
    with pytest.raises(ArtifactError), predictions_shown(con, rows):
        record_run_returns(layout, con, run_id="run-1", sleeve="equities", label="fwd_5d")
    assert con.execute("select distinct run_id from preds.oof").fetchall() == [("run-1",)]


def test_strategies_without_a_signal_go_through_the_same_sql(layout: Layout, con: duckdb.DuckDBPyConnection) -> None:
    """They rank by hash: each differs, a repeat is the same and computes nothing, and preds.oof is what it was."""
    told: list[tuple[int, int]] = []

    def register(count: int) -> list[str]:
        return register_references(
            layout,
            con,
            run_id="run-1",
            sleeve="equities",
            label="fwd_5d",
            count=count,
            progress=lambda done, total: told.append((done, total)),
        )

    names = register(3)
    assert len(names) == 3 + len(BASELINES)
    assert told[-1] == (len(names), len(names))
    matrix, kept = aligned(series(layout, names, "long_short"), names, DAYS)
    assert kept == names
    assert len({tuple(matrix[:, column]) for column in range(3)}) == 3
    assert con.execute("select count(*), min(run_id) from preds.oof").fetchall() == [(32, "run-1")]
    told.clear()
    assert register(3) == names
    assert told == []
    assert register(4)[:3] == names[:3]
    assert told == [(1, 1)]


def test_a_score_without_a_signal_is_held_for_its_block(layout: Layout, con: duckdb.DuckDBPyConnection) -> None:
    """The second strategy changes every five sessions, the first every session."""
    names = register_references(layout, con, run_id="run-1", sleeve="equities", label="fwd_5d", count=2)
    matrix, _ = aligned(series(layout, names, "long_short"), names, DAYS)
    assert len(set(matrix[:, 0])) == len(DAYS)
    assert len(set(matrix[:, 1])) == 2


def test_a_series_with_a_gap_is_left_out_or_idle() -> None:
    """Trials must cover every date; a reference earned nothing where it did not trade."""
    found = {"whole": dict.fromkeys(DAYS, (0.01, 0.1)), "gap": {DAYS[0]: (0.02, 0.1)}}
    matrix, kept = aligned(found, ["whole", "gap", "unknown"], DAYS)
    assert kept == ["whole"]
    assert matrix.shape == (len(DAYS), 1)
    matrix, kept = aligned(found, ["whole", "gap"], DAYS, idle=True)
    assert kept == ["whole", "gap"]
    assert matrix[:, 1].tolist() == [0.02] + [0.0] * (len(DAYS) - 1)


def test_shadow_scores_go_through_the_same_sql(con: duckdb.DuckDBPyConnection) -> None:
    """The mart shows the shadow's scores for the time of the question only."""
    found = shadow_returns(con, run_id="run-1", strategy="long_short")
    assert [day for day, _ in found] == DAYS
    assert [net for _, net in found] == pytest.approx([1 + 0.01 * number - 0.001 for number in range(1, 9)])
    assert con.execute("select max(yhat) from preds.oof").fetchall() == [(Decimal("0.08"),)]
