"""What a backtest leaves: a folder with its days and trades, and its rows in ``ops.backtests``.

::

    models_artifacts/backtests/<backtest_id>/config.json     the request and the build
    models_artifacts/backtests/<backtest_id>/days.parquet    cash, positions and costs of each session
    models_artifacts/backtests/<backtest_id>/trades.parquet  every order with what was filled of it
    models_artifacts/backtests/<backtest_id>/figures.json    what came out
    models_artifacts/backtests/<backtest_id>/tear_sheet.*    the same to look at
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.backtest.engine import BacktestConfig
from trademl.backtest.figures import Days, session_bases
from trademl.backtest.run import SLEEVE, Finished, settings_of
from trademl.backtest.set_based import weight_rows
from trademl.clock import Clock, sql_utc, utc_now
from trademl.config.home import Home
from trademl.errors import ArtifactError
from trademl.lake.batches import write_batch, write_rows
from trademl.lake.layout import layout_of
from trademl.lake.names import quoted
from trademl.lake.snapshot import snapshot_batches

FOLDER = "backtests"
DAYS, TRADES, CONFIG, FIGURES = "days.parquet", "trades.parquet", "config.json", "figures.json"

_WRITABLE = 0o644
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Recorded:
    """A backtest as it was recorded: its row of ``ops.backtests`` and its days."""

    backtest_id: str
    run_id: str
    label: str
    path: str
    engine: str
    config: dict[str, Any]
    figures: dict[str, Any]
    folder: Path
    days: Days


def folder_of(home: Home, backtest_id: str) -> Path:
    """Return where a backtest's files lie."""
    return home.models_artifacts / FOLDER / backtest_id


def record(home: Home, finished: Finished, evidence: Mapping[str, Any], *, now: Clock = utc_now) -> Path:
    """Write a backtest's files and rows; recording it again replaces both. Return its folder.

    Args:
        home: the home.
        finished: the backtest.
        evidence: what is recorded beside its figures, such as its deflated Sharpe ratio; as JSON can hold it.
        now: the clock.
    """
    layout, folder = layout_of(home), folder_of(home, finished.backtest_id)
    request = {**finished.request.document(), "build_id": finished.build_id, "label": finished.label}
    figures = {**finished.figures.document(), **evidence}
    days = finished.days
    for name, data in (
        (CONFIG, _json(request)),
        (DAYS, _parquet({"date": days.date, **days.columns})),
        (TRADES, _parquet(finished.trades)),
        (FIGURES, _json(figures)),
    ):
        write_atomic(folder / name, data, _WRITABLE)
    moment = sql_utc(now())
    row = {
        "backtest_id": finished.backtest_id,
        "run_id": finished.request.run_id,
        "sleeve": SLEEVE,
        "label": finished.label,
        "path": finished.request.path,
        "engine": finished.request.engine,
        "config_hash": finished.config_hash,
        "config": json.dumps(request, sort_keys=True),
        "figures": json.dumps(figures, sort_keys=True, allow_nan=False),
        "folder": str(folder.relative_to(home.root)),
        **settings_of(finished),
        "first_date": finished.weights.dates[0].item(),
        "last_date": days.date[-1].item(),
        "recorded_at": moment,
    }
    rows = weight_rows(finished.weights)
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        con.register("weights", rows)
        write_batch(
            layout,
            "ops.backtest_weights",
            f"select {quoted(finished.backtest_id)} as backtest_id, symbol, weight, dt, "
            f"cast({quoted(str(moment))} as timestamp) as recorded_at from weights",
            con,
            now=now,
        )
    write_rows(layout, "ops.backtests", [row], now=now)
    snapshot_batches(layout, now=now)
    return folder


def find_backtests(con: duckdb.DuckDBPyConnection, home: Home, names: tuple[str, ...]) -> list[Recorded]:
    """Return recorded backtests by id, or by the beginning of one.

    Raises:
        ArtifactError: there is no such backtest, more than one, or its files are missing.
    """
    try:
        known = [name for (name,) in con.execute("select backtest_id from ops.backtests order by 1").fetchall()]
    except duckdb.CatalogException:
        known = []
    return [_read(con, home, _only(name, known)) for name in names]


def _only(name: str, known: list[str]) -> str:
    found = [one for one in known if one == name] or [one for one in known if one.startswith(name)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join((found or known)[:_SHOWN]) + (", ..." if len(found or known) > _SHOWN else "")
    raise ArtifactError(
        f"{len(found)} backtests are called {name!r}; {'they are' if found else 'there are'} {listed or 'none yet'}",
        remedy="`trademl backtest show` lists them, `trademl backtest run RUN` makes one",
    )


def _read(con: duckdb.DuckDBPyConnection, home: Home, backtest_id: str) -> Recorded:
    row = con.execute(
        "select run_id, label, path, engine, config, figures, folder from ops.backtests where backtest_id = ?",
        [backtest_id],
    ).fetchall()[0]
    folder = home.root / row[6]
    config = json.loads(row[4])
    try:
        with duckdb.connect() as private:
            columns = private.execute(f"select * from read_parquet({quoted(str(folder / DAYS))})").fetchnumpy()
    except duckdb.Error as error:
        raise ArtifactError(
            f"the days of backtest {backtest_id} cannot be read: {str(error).splitlines()[0]}",
            remedy="run it again with `trademl backtest run`",
        ) from error
    amounts = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items() if name != "date"}
    rules = BacktestConfig.model_validate(config["rules"])
    days = Days(
        np.asarray(columns["date"], dtype="datetime64[D]"), amounts, session_bases(amounts["equity_usd"], rules)
    )
    return Recorded(backtest_id, row[0], row[1], row[2], row[3], config, json.loads(row[5]), folder, days)


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _parquet(columns: Mapping[str, NDArray[Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), out, compression="zstd")
    return out.getvalue()
