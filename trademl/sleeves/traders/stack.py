"""The stacked pipeline of the traders: base models, scaler and ridge regression, read from a folder.

A folder is either a finished run of the sleeve (its files lie in checkpoints/ and its manifest has their hashes) or
what `trademl traders convert` wrote (pipeline.json has the hashes). Features are rows of ``gold.traders_features``, SQL
that has made windows, mean and trend already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.run_folder import MANIFEST, RunFolder
from trademl.clock import Clock, utc_now
from trademl.config.home import Home, find_home
from trademl.errors import ModelError, SnapshotError
from trademl.lake.layout import layout_of
from trademl.lake.manifest import current_seq
from trademl.lake.names import identifier
from trademl.log import get_logger
from trademl.models.boosting.xgboost import XGBoostModel
from trademl.models.stacking.meta_ridge import MetaRidge
from trademl.models.stacking.xgboost_ridge import XGBoostRidgeModel
from trademl.sleeves.traders.names import aggregated_columns, per_sample_columns
from trademl.sleeves.traders.pipeline import (
    AGAIN,
    LOOKBACK_DAYS,
    MODEL_FILE,
    PIPELINE_FILE,
    check_hashes,
    first_difference,
    read_pipeline,
)
from trademl.warehouse.read import read_snapshot

CHECKPOINTS = "checkpoints"
PIPELINE = f"{CHECKPOINTS}/{PIPELINE_FILE}"
SEED_FILE = "stacked_pipeline.pkl"
"""What the first system wrote; it is converted, never loaded."""

_LOG = get_logger("sleeves.traders")


@dataclass(frozen=True, eq=False)
class StackedPipeline:
    """A verified stack.

    Attributes:
        model: base models, scaler and ridge regression.
        agg_feat_cols: the 97 features it reads, in order.
        per_sample_cols: the 48 columns of a window that they are made of.
        min_windows: fewest windows that a trader must have to be scored.
        lookback_days: days of windows that the features look back on.
        feature_caps: what an infinite feature counted as on the last date of training.
        path: the folder of its files.
    """

    model: XGBoostRidgeModel
    agg_feat_cols: tuple[str, ...]
    per_sample_cols: tuple[str, ...]
    min_windows: int
    lookback_days: int
    feature_caps: Mapping[str, float]
    path: Path

    @property
    def base_models(self) -> tuple[XGBoostModel, ...]:
        """The base models, in order."""
        return self.model.bases

    @property
    def meta_learner(self) -> MetaRidge:
        """Scaler and ridge regression: ``coefficients`` and ``intercept`` are the regression's."""
        return self.model.meta

    @property
    def scaler(self) -> Mapping[str, tuple[float, float]]:
        """Mean and scale of each input of the regression."""
        meta = self.model.meta
        return dict(zip(meta.inputs, zip(meta.means, meta.scales, strict=True), strict=True))


def load_stacked_pipeline(model_dir: str | Path) -> StackedPipeline | None:
    """Read the pipeline in ``model_dir``; None where there is none.

    Raises:
        ModelError: a file is missing, cut off, altered or of another model, the features are others or in another
            order, a cap is not a finite number; or the folder holds the first system's pickle, which is not opened.
        ArtifactError: a run folder does not verify.
    """
    folder = Path(model_dir)
    sealed = (folder / MANIFEST).is_file()
    if sealed:
        run = RunFolder.open(folder)
        if PIPELINE not in run.manifest().files:
            return None
        run.verify()
        folder = folder / CHECKPOINTS
    if not (folder / PIPELINE_FILE).is_file():
        _refuse_leftovers(folder)
        return None
    facts = read_pipeline(folder / PIPELINE_FILE)
    if not sealed:
        check_hashes(folder, facts)
    model = XGBoostRidgeModel.load(folder / MODEL_FILE)
    if model.feature_names != aggregated_columns():
        raise ModelError(
            f"{folder / MODEL_FILE}: {first_difference(model.feature_names, aggregated_columns())}",
            remedy="give a model of the 97 features in the order of gold.traders_features, or train again",
        )
    return StackedPipeline(
        model=model,
        agg_feat_cols=aggregated_columns(),
        per_sample_cols=per_sample_columns(),
        min_windows=facts["min_windows"],
        lookback_days=facts["lookback_days"],
        feature_caps=facts["feature_caps"],
        path=folder,
    )


def predict_stacked_scores(
    model_dir: str | Path,
    as_of: date | datetime,
    lookback_days: int = LOOKBACK_DAYS,
    *,
    home: Home | None = None,
    now: Clock = utc_now,
) -> list[dict[str, Any]]:
    """Score every trader of ``as_of`` with the pipeline in ``model_dir``.

    Args:
        model_dir: see :func:`load_stacked_pipeline`.
        as_of: the date; of a time, its date.
        lookback_days: days of windows behind the features: that of the pipeline, which read no other in training.
        home: whose snapshot is read; None is the home of this place.
        now: the clock.

    Returns:
        One ``{"address": ..., "ml_predicted_pnl": ...}`` per trader, by address: the prediction is in the unit of the
        target, USD over the seven days after ``as_of``, less the mean of the date. Empty where there is no pipeline, no
        snapshot of that date, or no trader with enough windows; the log says which.

    Raises:
        ModelError: the pipeline is damaged or looks back on other days, or a score is not a number.
        ArtifactError, SnapshotError: run folder or snapshot do not verify.
    """
    pipeline = load_stacked_pipeline(model_dir)
    if pipeline is None:
        _LOG.info("no stacked pipeline in %s: no scores", model_dir)
        return []
    if lookback_days != pipeline.lookback_days:
        raise ModelError(
            f"lookback_days={lookback_days}: the pipeline was trained on features of {pipeline.lookback_days} days",
            remedy=f"leave lookback_days out, or build with `trader_lookback_days: {lookback_days}` and train again",
        )
    day = as_of.date() if isinstance(as_of, datetime) else as_of
    place = home or find_home()
    try:
        snapshot = read_snapshot(place, now=now)
    except SnapshotError:
        if current_seq(layout_of(place)) is not None:
            raise
        _LOG.info("there is no snapshot yet: no scores")
        return []
    with snapshot:
        addresses, X = read_windows(snapshot.con, pipeline, day)
    if not addresses:
        _LOG.info("no trader has %d windows on %s: no scores", pipeline.min_windows, day)
        return []
    scores = checked_scores(pipeline.model.predict(X), addresses)
    return [
        {"address": address, "ml_predicted_pnl": score}
        for address, score in zip(addresses, scores.tolist(), strict=True)
    ]


def read_windows(
    con: duckdb.DuckDBPyConnection, pipeline: StackedPipeline, day: date
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the traders of ``day`` that have enough windows, by address, and their features, float32.

    A snapshot of a warehouse without the traders' tables has no traders.
    """
    return read_matrix(con, pipeline.agg_feat_cols, day, min_windows=pipeline.min_windows)


def read_matrix(
    con: duckdb.DuckDBPyConnection, names: Sequence[str], day: date, *, min_windows: int = 1
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the traders of ``day`` by address, and the features ``names``: float32, (traders, names), NaN for NULL."""
    listed = ", ".join(f"cast({identifier(name)} as float)" for name in names)
    try:
        rows = con.execute(
            f"select address, {listed} from gold.traders_features where as_of = $day and n_windows >= $least "
            "order by address",
            {"day": day, "least": min_windows},
        ).fetchall()
    except duckdb.CatalogException:
        return (), np.empty((0, len(names)), dtype=np.float32)
    X = np.array([row[1:] for row in rows], dtype=np.float32).reshape(len(rows), len(names))
    return tuple(str(row[0]) for row in rows), X


def checked_scores(scores: NDArray[np.float64], addresses: Sequence[str]) -> NDArray[np.float64]:
    """Return ``scores`` after checking that all are finite.

    Raises:
        ModelError: one is not; the message names the trader.
    """
    strange = ~np.isfinite(scores)
    if strange.any():
        raise ModelError(
            f"{int(strange.sum())} of {len(scores)} scores are not numbers, {addresses[int(np.argmax(strange))]} "
            "among them",
            remedy="look at that trader's row of gold.traders_features; nothing was written",
        )
    return scores


def read_caps(con: duckdb.DuckDBPyConnection, day: date) -> dict[str, float]:
    """Return what an infinite value of each feature counts as on ``day``, after gold.trader_feature_caps."""
    rows = con.execute(
        "select feature, cap from gold.trader_feature_caps where cap is not null and snapshot_date = "
        "(select max(snapshot_date) from gold.trader_feature_caps where snapshot_date <= $day) order by feature",
        {"day": day},
    ).fetchall()
    return {str(name): float(cap) for name, cap in rows}


def _refuse_leftovers(folder: Path) -> None:
    """Refuse a folder that was meant to hold a pipeline and holds something that is not read."""
    if (folder / SEED_FILE).is_file():
        raise ModelError(
            f"{folder / SEED_FILE} is a pickle, which is never loaded: reading one can run any program in it",
            remedy=f"`trademl traders convert {folder}` reads its numbers, runs nothing and writes JSON and ONNX",
        )
    if next(iter(sorted(folder.glob("base_model_*.json"))), None) is not None:
        raise ModelError(f"{folder} holds base models and no {PIPELINE_FILE}", remedy=AGAIN)
