"""The runs that a stack is made of: found, verified, and their out-of-fold scores laid over the stack's rows.

Scores are read from ``preds.oof`` by (entity, dt, path, split), and have to be, bit for bit, those of the checkpoints
that the run's manifest seals. A run that was validated in another way than the stack is refused: its scores of a row
would come from models that may have been fitted on what the meta-learner is tested on.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.run_folder import RunFolder, RunManifest
from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.edge.features import column_in
from trademl.errors import ArtifactError, ConfigError
from trademl.lake.names import quoted
from trademl.models.base import BaseModel
from trademl.models.registry import model_class
from trademl.training.config import SleeveTables, TrainingConfig
from trademl.training.dataset import TrainingData, spans_sql
from trademl.training.feature_columns import FeatureColumn
from trademl.validation.cpcv import CombinatorialPurgedCV

_VALIDATION = ("kind", "folds", "test_folds", "embargo", "purge")
SPLITS = "predictions/splits.parquet"


@dataclass(frozen=True, eq=False)
class BaseRun:
    """A verified, finished run.

    Attributes:
        run_id, folder, manifest: its name, folder and seal.
        config: what it was trained with.
        label: the label it predicts.
        feature_names: the columns of its model, in order.
        excluded: sessions that it left out.
    """

    run_id: str
    folder: RunFolder
    manifest: RunManifest
    config: TrainingConfig
    label: str
    feature_names: tuple[str, ...]
    excluded: tuple[date, ...]

    def model(self) -> BaseModel:
        """Read its final model.

        Raises:
            ModelError: the file cannot be read.
        """
        family = model_class(self.config.model.kind)
        return family.load(self.folder.place(f"checkpoints/model{family.suffix}"))

    def spans(self, sleeve: SleeveTables) -> str:
        """Return a SELECT of the label spans of its rows, from the warehouse; see :func:`spans_sql`."""
        return spans_sql(sleeve, self.config, self.label, self.excluded)

    def columns(self) -> tuple[FeatureColumn, ...]:
        """Return where the features of its model lie, as its scoring.json says."""
        facts = json.loads(self.folder.place("config/scoring.json").read_bytes())
        listed = {name: table for table, has in facts.get("feature_tables", {}).items() for name in has}
        tables = {name: str(listed.get(name, facts["features_table"])) for name in self.feature_names}
        return tuple(FeatureColumn(name, table, column_in(name, table)) for name, table in tables.items())

    def splits(self) -> Path:
        """Return where its split assignments lie."""
        return self.folder.place(SPLITS)

    def importances(self, split: int) -> dict[str, float]:
        """Return the importances of its model of one split."""
        found: dict[str, float] = self._record(split)["importances"]
        return found

    def checkpoint(self, split: int) -> NDArray[np.float64]:
        """Return its scores of a split's test rows, in order of date and entity."""
        stored = np.load(self.folder.place(f"checkpoints/split_{split:03d}.npy"), allow_pickle=False)
        wide: NDArray[np.float64] = stored.astype(np.float64)
        # Of three classes the probabilities are kept, and the score is the expected class.
        return wide if wide.ndim == 1 else wide[:, 2] - wide[:, 0]

    def _record(self, split: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.folder.place(f"checkpoints/split_{split:03d}.json").read_bytes())
        return found


def open_base(home: Home, sleeve: str, run_id: str) -> BaseRun:
    """Return the run ``run_id`` of ``sleeve``, verified.

    Raises:
        ConfigError: there is no such run, or it is itself a stack.
        ArtifactError: it is not finished, or does not verify.
    """
    path = home.models_artifacts / sleeve / run_id
    if not run_id or "/" in run_id or run_id.startswith(".") or not path.is_dir():
        parent = home.models_artifacts / sleeve
        known = (
            sorted(one.name for one in parent.iterdir() if (one / "manifest.json").is_file()) if parent.is_dir() else []
        )
        raise ConfigError(
            f"runs: there is no run {run_id!r} of {sleeve} in {parent}",
            remedy=f"give finished runs, such as {', '.join(known[:5])}" if known else f"run `trademl train {sleeve}`",
        )
    folder = RunFolder.open(path)
    manifest = folder.verify()
    if manifest.config.get("model", {}).get("kind") == "stack":
        raise ConfigError(
            f"runs: {run_id} is itself a stack; its meta-learners trained on the folds that a second one would be "
            "tested on",
            remedy="stack the runs that it is made of",
        )
    gate = json.loads(folder.place("metrics/data_gate.json").read_bytes())
    return BaseRun(
        run_id=run_id,
        folder=folder,
        manifest=manifest,
        config=validate_section(manifest.config, TrainingConfig, origin=f"the configuration of {run_id}"),
        label=str(manifest.summary["label"]),
        feature_names=tuple(json.loads(folder.place("features/feature_list.json").read_bytes())),
        excluded=tuple(date.fromisoformat(day) for day in gate.get("excluded_dates", ())),
    )


def check_validation(base: BaseRun, config: TrainingConfig) -> None:
    """Refuse a run that was validated in another way than the stack.

    Raises:
        ConfigError: names the field, both values and the remedy.
    """
    for field in _VALIDATION:
        own, other = getattr(config.validation, field), getattr(base.config.validation, field)
        if own != other:
            raise ConfigError(
                f"validation.{field}: run {base.run_id} has {other!r}, the stack {own!r}; the base scores of a fold "
                "would not come from models that have seen neither it nor the fold under test",
                remedy=f"train {base.config.model.kind} again with validation.{field}={own!r}, or leave the run out",
            )


@dataclass(frozen=True, eq=False)
class AlignedScores:
    """A base's scores over the stack's rows.

    Attributes:
        scores: shape (n_paths, n_rows), NaN where the run does not predict the row.
        rows: how many of the stack's rows it predicts.
        importances: of its model of each split.
    """

    scores: NDArray[np.float64]
    rows: int
    importances: tuple[dict[str, float], ...]


def align(
    con: duckdb.DuckDBPyConnection,
    sleeve: SleeveTables,
    base: BaseRun,
    data: TrainingData,
    splitter: CombinatorialPurgedCV,
) -> AlignedScores:
    """Lay the out-of-fold scores of ``base`` over the rows of ``data``, by {date, entity}.

    Raises:
        ConfigError: it has no row of the stack, other folds or other label spans, or the data changed since.
        ArtifactError: ``preds.oof`` is not what the run's checkpoints hold.
    """
    _check_unchanged(con, sleeve, base)
    stored = _stored(con, sleeve.name, base, data.entities, splitter)
    _check_sealed(base, stored, splitter)
    width = len(data.entities)
    day = data.dates.astype("datetime64[D]").astype(np.int64)
    wanted = day * width + data.spans.entity
    known = np.flatnonzero(stored.entity >= 0)
    key = stored.day[known] * width + stored.entity[known]
    place = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
    matched = np.flatnonzero(key[place] == wanted) if len(key) else np.empty(0, dtype=np.int64)
    if not len(matched):
        raise ConfigError(
            f"run {base.run_id} predicts none of the {len(data):,} rows of the stack",
            remedy="stack runs of the same symbols and dates",
        )
    at = known[place[matched]]
    expected = splitter.paths()[splitter.folds(data.spans)[matched]].T
    _refuse_first(
        (stored.split[:, at] != expected).any(axis=0),
        data.dates[matched],
        f"validation.folds: run {base.run_id} has other folds than the stack",
        "train all of them on the same sessions (--start, --end, label)",
    )
    _refuse_first(
        stored.label_end[at] != data.label_end[matched],
        data.dates[matched],
        f"label: the labels of run {base.run_id} ({base.label}) end on other sessions than the stack's ({data.label})",
        f"train it on {data.label}, or on a label of the same span",
    )
    scores = np.full((splitter.n_paths, len(data)), np.nan)
    scores[:, matched] = np.where(np.isfinite(stored.score[:, at]), stored.score[:, at], np.nan)
    return AlignedScores(scores, len(matched), tuple(base.importances(split) for split in range(splitter.n_splits)))


@dataclass(frozen=True, eq=False)
class _Stored:
    """A run's rows of ``preds.oof`` in order of date and entity; ``score`` and ``split`` have one row per path."""

    day: NDArray[np.int64]
    entity: NDArray[np.int64]
    label_end: NDArray[np.datetime64]
    score: NDArray[np.float64]
    split: NDArray[np.int64]


def _stored(
    con: duckdb.DuckDBPyConnection,
    sleeve: str,
    base: BaseRun,
    entities: Sequence[str],
    splitter: CombinatorialPurgedCV,
) -> _Stored:
    names = ", ".join(quoted(name) for name in entities)
    columns: list[dict[str, Any]] = []
    for path in range(splitter.n_paths):
        found = con.execute(
            f"""
            with codes as (select unnest([{names}]) as name, generate_subscripts([{names}], 1) - 1 as code)
            select
                date_diff('day', date '1970-01-01', oof.dt)::bigint as day,
                coalesce(codes.code, -1)::bigint as entity,
                date_diff('day', date '1970-01-01', oof.label_end)::bigint as label_end,
                oof.split_id::bigint as split, oof.yhat as score
            from preds.oof as oof
            left join codes on oof.entity = codes.name
            where oof.run_id = ? and oof.sleeve = ? and oof.path_id = ?
            order by oof.dt, oof.entity
            """,
            [base.run_id, sleeve, path],
        ).fetchnumpy()
        # DuckDB hands out a NaN as a masked value.
        columns.append(
            {name: np.ma.filled(values, np.nan if name == "score" else None) for name, values in found.items()}
        )
    first = columns[0]
    alike = all(np.array_equal(one[name], first[name]) for one in columns for name in ("day", "entity", "label_end"))
    if not len(first["day"]) or not alike:
        raise ArtifactError(
            f"preds.oof has {len(first['day'])} rows of run {base.run_id} in path 0, and "
            f"{'the same' if alike else 'others'} in the {len(columns) - 1} other paths",
            remedy="restore lake/preds from a copy, or train the run again",
        )
    return _Stored(
        day=first["day"],
        entity=first["entity"],
        label_end=first["label_end"].astype("datetime64[D]"),
        score=np.stack([one["score"] for one in columns]),
        split=np.stack([one["split"] for one in columns]),
    )


def _check_sealed(base: BaseRun, stored: _Stored, splitter: CombinatorialPurgedCV) -> None:
    for split in range(splitter.n_splits):
        row, path = np.nonzero((stored.split == split).T)
        if not np.array_equal(stored.score[path, row], base.checkpoint(split), equal_nan=True):
            raise ArtifactError(
                f"preds.oof of run {base.run_id} is not what its checkpoint of split {split} holds ({len(row)} rows)",
                remedy="restore lake/preds from a copy, or train the run again",
            )


def _check_unchanged(con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, base: BaseRun) -> None:
    now = con.execute(f"select count(*) from {base.spans(sleeve)}").fetchall()[0][0]
    then = int(base.manifest.summary["rows"])
    if now != then:
        raise ConfigError(
            f"run {base.run_id} was trained on {then:,} rows of {base.label}; the snapshot has {now:,}",
            remedy="train it again on this snapshot, or choose --end when training so that later data changes nothing",
        )


def _refuse_first(wrong: NDArray[np.bool_], dates: NDArray[np.datetime64], told: str, remedy: str) -> None:
    if wrong.any():
        raise ConfigError(f"{told}: {int(wrong.sum()):,} rows, the first on {dates[np.argmax(wrong)]}", remedy=remedy)
