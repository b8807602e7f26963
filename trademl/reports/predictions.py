"""A finished run and its out-of-fold predictions, read back from the snapshot."""

from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.run_folder import RunFolder, RunManifest
from trademl.config.home import Home
from trademl.errors import ArtifactError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SHOWN = 5

CALENDARS = {"traders": "silver.trader_calendar"}
"""Sleeves whose sessions are not those of the exchange."""


@dataclass(frozen=True)
class FinishedRun:
    """A registered run: what ``ops.runs`` says of it, its folder, and the folder's manifest."""

    run_id: str
    sleeve: str
    label: str
    folder: RunFolder
    manifest: RunManifest


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """The out-of-fold predictions of a run. Arrays have one element per tested row, in order of session, then name.

    Attributes:
        paths: number of backtest paths.
        dates: decision dates, datetime64[D]. session: their ordinals in ``silver.calendar``.
        entity: code of the name, from 0, in order of the name.
        score: mean over the paths that test the row.
        value: the label as gold held it.
        fold: which block of sessions the row belongs to, from 0 in order of time.
    """

    paths: int
    dates: NDArray[np.datetime64]
    session: IntArray
    entity: IntArray
    score: FloatArray
    value: FloatArray
    fold: IntArray

    def __len__(self) -> int:
        return len(self.score)


def find_run(con: duckdb.DuckDBPyConnection, home: Home, run_id: str, *, verify: bool = False) -> FinishedRun:
    """Return the registered run ``run_id``; with ``verify`` every file of its folder is checked.

    Raises:
        ArtifactError: there is no such run, or its folder is missing, unfinished or (with ``verify``) altered.
    """
    rows = con.execute(
        "select sleeve, label, path from ops.runs where run_id = $run and status = 'registered'", {"run": run_id}
    ).fetchall()
    if not rows:
        known = con.execute("select run_id from ops.runs order by recorded_at desc, run_id").fetchall()
        listed = ", ".join(name for (name,) in known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise ArtifactError(
            f"there is no registered run {run_id!r}; ops.runs has {listed or 'none yet'}",
            remedy="give a run of ops.runs (`trademl status` lists the last ones), or train one with `trademl train`",
        )
    sleeve, label, path = rows[0]
    folder = RunFolder.open(home.root / path)
    return FinishedRun(run_id, sleeve, label, folder, folder.verify() if verify else folder.manifest())


def read_out_of_fold(con: duckdb.DuckDBPyConnection, run_id: str) -> OutOfFold:
    """Read ``preds.oof`` of a run, a path at a time, and average the paths.

    The folds are found again from the splits: rows of one fold are tested by the same split on every path.

    Raises:
        ArtifactError: the snapshot has no predictions of the run, they name sessions that ``silver.calendar`` lacks, or
            their splits do not form blocks of sessions.
    """
    paths = [
        number
        for (number,) in con.execute(
            "select distinct path_id from preds.oof where run_id = $run order by path_id", {"run": run_id}
        ).fetchall()
    ]
    if not paths:
        raise ArtifactError(
            f"preds.oof has no prediction of run {run_id}",
            remedy="restore lake/preds/oof from a backup, or run the training command again",
        )
    names = [
        name
        for (name,) in con.execute(
            "select distinct entity from preds.oof where run_id = $run order by entity", {"run": run_id}
        ).fetchall()
    ]
    calendar = _calendar(con, run_id)
    read = [_read_path(con, run_id, number, names, calendar) for number in paths]
    # Every path of CPCV tests the same rows; where paths differ, the rows are those that any of them tests.
    keys = read[0].key
    if any(not np.array_equal(keys, path.key) for path in read[1:]):
        keys = np.unique(np.concatenate([path.key for path in read]))
    total, count = np.zeros(len(keys)), np.zeros(len(keys), dtype=np.int64)
    value = np.full(len(keys), np.nan)
    split = np.full((len(paths), len(keys)), -1, dtype=np.int64)
    for number, path in enumerate(read):
        at = np.searchsorted(keys, path.key)
        tested = np.isfinite(path.score)
        total[at] += np.where(tested, path.score, 0.0)
        count[at] += tested
        value[at], split[number, at] = path.value, path.split
    session, entity = np.divmod(keys, len(names))
    sessions, first, which = np.unique(session, return_index=True, return_inverse=True)
    if not (split == split[:, first][:, which]).all():
        raise ArtifactError(
            f"the splits of run {run_id} in preds.oof part the rows of a session: they are no folds of sessions",
            remedy="train the run again with this version of trademl",
        )
    days = dict(con.execute(f"select session_index, cast(date as varchar) from {calendar}").fetchall())
    dates = np.array([days[number] for number in sessions.tolist()], dtype="datetime64[D]")
    return OutOfFold(
        paths=len(paths),
        dates=dates[which],
        session=session,
        entity=entity,
        score=np.where(count > 0, total / np.maximum(count, 1), np.nan),
        value=value,
        fold=_blocks(split[:, first])[which],
    )


@dataclass(frozen=True, eq=False)
class _Path:
    """One path in order of ``key``, session times the number of names plus the name's code."""

    key: IntArray
    score: FloatArray
    value: FloatArray
    split: IntArray


def _calendar(con: duckdb.DuckDBPyConnection, run_id: str) -> str:
    """Return the table of the sessions that the run's sleeve counts."""
    sleeve = con.execute("select any_value(sleeve) from preds.oof where run_id = $run", {"run": run_id}).fetchall()
    return CALENDARS.get(sleeve[0][0], "silver.calendar")


def _read_path(con: duckdb.DuckDBPyConnection, run_id: str, number: int, names: list[str], calendar: str) -> _Path:
    found = con.execute(
        f"""
        with names as (select unnest($names) as entity, generate_subscripts($names, 1) - 1 as code)

        select
            coalesce(calendar.session_index * len($names) + names.code, -1) as key,
            coalesce(oof.yhat, 'nan') as score,
            coalesce(oof.y, 'nan') as value,
            oof.split_id as split
        from preds.oof as oof
        inner join names on oof.entity = names.entity
        left join {calendar} as calendar on oof.dt = calendar.date
        where oof.run_id = $run and oof.path_id = $path
        order by key
        """,
        {"run": run_id, "path": number, "names": names},
    ).fetchnumpy()
    keys = np.asarray(found["key"], dtype=np.int64)
    astray = int((keys < 0).sum())
    if astray:
        raise ArtifactError(
            f"{astray} predictions of run {run_id} lie on no session of {calendar}",
            remedy="run `trademl build` on the calendar that the run was trained with",
        )
    score, value = (np.asarray(found[name], dtype=np.float64) for name in ("score", "value"))
    return _Path(keys, score, value, np.asarray(found["split"], dtype=np.int64))


def _blocks(split: IntArray) -> IntArray:
    """Number the distinct columns of ``split`` (one per session) in order of their first appearance."""
    _, first, code = np.unique(split, axis=1, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[np.ravel(code)]
