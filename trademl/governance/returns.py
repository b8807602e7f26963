"""Daily returns of runs and of strategies without a signal: one definition, the SQL of marts.run_returns.

A run's series is read from the mart once its out-of-fold predictions are in the snapshot, and kept in
``ops.trial_returns``: the ledger's trials stay comparable when a mart's SQL or a cost changes later. Strategies without
a signal, and simple baselines, go through the same SQL: their scores stand in for ``preds.oof`` on a private
connection.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.clock import Clock, sql_utc, utc_now
from trademl.errors import ArtifactError
from trademl.lake.batches import latest_sql, write_batch
from trademl.lake.layout import Layout
from trademl.lake.names import quoted
from trademl.schema import BATCHES

Kind = Literal["trial", "no_signal", "baseline"]

HELD_SESSIONS = (1, 5, 20, 60)
"""A score without a signal stays the same for so many sessions: some as quick as a real one, some as slow."""

BASELINES = {
    "momentum_126d": "momentum_126d_rank",
    "momentum_20d": "momentum_20d_rank",
    "reversal_5d": "-momentum_5d_rank",
    "low_volatility_60d": "-realised_volatility_60d_rank",
}
"""Registered baselines of a daily cross-section: name and expression over gold.equities_features."""

_COLUMNS = "strategy, date, gross_return, net_return, turnover"


def record_run_returns(
    layout: Layout, con: duckdb.DuckDBPyConnection, *, run_id: str, sleeve: str, label: str, now: Clock = utc_now
) -> int:
    """Keep the daily returns of a run whose predictions the open snapshot shows; return how many rows there are.

    Raises:
        ArtifactError: the snapshot shows no returns of the run.
    """
    _collect(con, run_id, "trial", first=True)
    count = int(con.execute("select count(*) from returns_batch").fetchall()[0][0])
    if not count:
        raise ArtifactError(
            f"marts.run_returns has no row of run {run_id}",
            remedy="run `trademl build`, then the same command again; preds.oof must hold its predictions",
        )
    _write(layout, con, sleeve, label, now)
    return count


@contextmanager
def predictions_shown(con: duckdb.DuckDBPyConnection, rows: Any) -> Iterator[None]:
    """Let ``preds.oof`` of an open snapshot show ``rows`` and nothing else for the time of the block.

    So predictions that are in no batch, such as those of a study's trials, have their returns by the same SQL.

    Args:
        con: the connection of the snapshot, which nobody else uses meanwhile.
        rows: an Arrow table with the columns of ``preds.oof``; it stays where it is in memory.
    """
    original = _view_sql(con, "preds", "oof")
    con.register("shown_predictions", rows)
    try:
        con.execute("create or replace view preds.oof as select * from shown_predictions")
        yield
    finally:
        con.execute(original)
        con.unregister("shown_predictions")


def recorded_runs(layout: Layout) -> set[str]:
    """Return the runs, strategies without a signal and baselines that have returns in ``ops.trial_returns``."""
    return {name for (name,) in _query(layout, "select distinct run_id from returns", [])}


def series(layout: Layout, run_ids: Iterable[str], strategy: str) -> dict[str, dict[Any, tuple[float, float]]]:
    """Return net return and turnover by date, of each of ``run_ids`` that has any."""
    found: dict[str, dict[Any, tuple[float, float]]] = {}
    sql = "select run_id, date, net_return, turnover from returns where strategy = ? and list_contains(?, run_id)"
    for run_id, day, net, turnover in _query(layout, sql, [strategy, list(run_ids)]):
        found.setdefault(run_id, {})[day] = (net, turnover)
    return found


def aligned(
    found: dict[str, dict[Any, tuple[float, float]]],
    names: Sequence[str],
    dates: Sequence[Any],
    *,
    idle: bool = False,
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the net returns of ``names`` on ``dates``, shape (dates, kept), and the names kept.

    A series with a gap is left out, unless ``idle``: then it earned nothing on the dates it lacks.
    """
    kept = [name for name in names if name in found and (idle or all(day in found[name] for day in dates))]
    nothing = (0.0, 0.0)
    matrix = np.array([[found[name].get(day, nothing)[0] for name in kept] for day in dates], dtype=np.float64)
    return matrix.reshape(len(dates), len(kept)), kept


def no_signal_names(sleeve: str, label: str, run_id: str, count: int) -> list[str]:
    """Return the names of the strategies without a signal that belong to the rows of ``run_id``."""
    return [f"no-signal-{sleeve}-{label}-{_tag(run_id)}-{number:03d}" for number in range(count)]


def baseline_names(sleeve: str, label: str, run_id: str) -> list[str]:
    """Return the names of the baselines that belong to the rows of ``run_id``."""
    return [f"baseline-{sleeve}-{label}-{_tag(run_id)}-{name}" for name in BASELINES]


def register_references(
    layout: Layout,
    con: duckdb.DuckDBPyConnection,
    *,
    run_id: str,
    sleeve: str,
    label: str,
    count: int,
    progress: Callable[[int, int], None] | None = None,
    now: Clock = utc_now,
) -> list[str]:
    """Make sure that ``count`` strategies without a signal and the baselines exist on the rows of a run.

    A strategy without a signal ranks by a hash of symbol, block of sessions and number: the same on every machine, and
    known to nobody's data. Its rows are those of the run's first path, which tests every row once.

    Args:
        layout: the lake.
        con: an open snapshot; its view ``preds.oof`` is replaced for the time of the call.
        run_id, sleeve, label: the run.
        count: how many strategies without a signal.
        progress: told (done, of how many).
        now: the clock.

    Returns:
        All their names, strategies without a signal first.
    """
    blanks = no_signal_names(sleeve, label, run_id, count)
    baselines = baseline_names(sleeve, label, run_id)
    done = recorded_runs(layout)
    wanted: list[tuple[str, str, Kind]] = [
        (name, _no_signal_score(number), "no_signal") for number, name in enumerate(blanks)
    ]
    if sleeve == "equities":
        wanted += [(name, sql, "baseline") for name, sql in zip(baselines, BASELINES.values(), strict=True)]
    left = [(name, sql, kind) for name, sql, kind in wanted if name not in done]
    if left:
        con.execute(
            "create or replace temp table reference_rows as select oof.entity, oof.dt, oof.horizon, oof.label, oof.y, "
            "oof.label_end, oof.sleeve, calendar.session_index, features.* exclude (symbol, date) "
            "from preds.oof as oof "
            "inner join silver.calendar as calendar on calendar.date = oof.dt "
            "left join gold.equities_features as features on features.symbol = oof.entity and features.date = oof.dt "
            "where oof.run_id = ? and oof.path_id = (select min(path_id) from preds.oof where run_id = ?)",
            [run_id, run_id],
        )
        original = _view_sql(con, "preds", "oof")
        try:
            for number, (name, score, kind) in enumerate(left):
                con.execute(
                    "create or replace temp table reference_scores as select sleeve, entity, dt, horizon, label, "
                    f"{quoted(name)} as run_id, 0 as path_id, 0 as split_id, cast({score} as double) as yhat, y, "
                    "label_end, cast(null as timestamp) as scored_at from reference_rows"
                )
                con.execute("create or replace view preds.oof as select * from reference_scores where yhat is not null")
                _collect(con, name, kind, first=number == 0)
                if progress is not None:
                    progress(number + 1, len(left))
            _write(layout, con, sleeve, label, now)
        finally:
            con.execute(original)
            con.execute("drop table if exists reference_rows")
    return [name for name, _, _ in wanted]


def shadow_returns(con: duckdb.DuckDBPyConnection, *, run_id: str, strategy: str) -> list[tuple[Any, float]]:
    """Return (date, net return) of the scores that a run gave in shadow, through the same SQL.

    Only sessions whose tranches could be marked to market appear; ``con`` is a private snapshot connection.
    """
    original = _view_sql(con, "preds", "oof")
    con.execute(
        "create or replace temp table shadow_rows as select sleeve, entity, dt, horizon, label, model_id as run_id, "
        "0 as path_id, 0 as split_id, yhat, cast(null as double) as y, cast(null as date) as label_end, scored_at "
        "from preds.shadow where model_id = ?",
        [run_id],
    )
    try:
        con.execute("create or replace view preds.oof as select * from shadow_rows")
        return con.execute(
            "select date, net_return from marts.run_returns where run_id = ? and strategy = ? order by date",
            [run_id, strategy],
        ).fetchall()
    finally:
        con.execute(original)
        con.execute("drop table if exists shadow_rows")


def _collect(con: duckdb.DuckDBPyConnection, name: str, kind: Kind, *, first: bool) -> None:
    """Put the returns that the mart shows under ``name`` into the batch at work."""
    begin = "create or replace temp table returns_batch as" if first else "insert into returns_batch"
    con.execute(
        f"{begin} select {quoted(name)} as run_id, {quoted(kind)} as kind, {_COLUMNS} from marts.run_returns "
        "where run_id = ?",
        [name],
    )


def _no_signal_score(number: int) -> str:
    held = HELD_SESSIONS[number % len(HELD_SESSIONS)]
    block = f"(session_index + {number}) // {held}"
    return f"md5_number_lower(entity || ' ' || ({block})::varchar || ' no signal {number}')"


def _view_sql(con: duckdb.DuckDBPyConnection, schema: str, view: str) -> str:
    sql: str = con.execute(
        "select sql from duckdb_views() where schema_name = ? and view_name = ?", [schema, view]
    ).fetchall()[0][0]
    return sql.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)


def _write(layout: Layout, con: duckdb.DuckDBPyConnection, sleeve: str, label: str, now: Clock) -> None:
    sql = (
        f"select run_id, {quoted(sleeve)} as sleeve, {quoted(label)} as label, kind, {_COLUMNS}, "
        f"cast({quoted(str(sql_utc(now())))} as timestamp) as recorded_at from returns_batch"
    )
    write_batch(layout, "ops.trial_returns", sql, con, now=now)
    con.execute("drop table if exists returns_batch")


def _query(layout: Layout, sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    table = BATCHES["ops.trial_returns"]
    source = latest_sql(table, layout.batch_files(table.name))
    with duckdb.connect() as con:
        return con.execute(f"with returns as ({source}) {sql}", values).fetchall()


def _tag(run_id: str) -> str:
    return hashlib.sha256(run_id.encode()).hexdigest()[:8]
