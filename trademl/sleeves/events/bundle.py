"""All heads of a stage and an ablation as one model: a table of events in, seed 001's predictions out.

Graphs score in onnxruntime on one thread; calibrators turn scores into probabilities as they did in training; what the
heads say of thresholds and sides is then made consistent (:mod:`trademl.sleeves.events.projection`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.runtime import INPUT, OUTPUT, open_graph
from trademl.sleeves.events.heads import Head, read_head
from trademl.sleeves.events.names import (
    check_ablation,
    check_horizons,
    check_stage,
    head_names,
)
from trademl.sleeves.events.projection import SIDES, project
from trademl.validation.calibration import apply

if TYPE_CHECKING:
    import onnxruntime
    import pandas as pd
    import pyarrow as pa

FloatArray = NDArray[np.float64]

_HEAD_OF: dict[tuple[str, int], str] = {
    (side, threshold): f"t{threshold}" if side == "either" else f"t{threshold}_{side}"
    for side in SIDES
    for threshold in (1, 2)
}


@dataclass
class TreePredictions:
    """Predictions of n events; every array has shape (n,), every dictionary one array per horizon in seconds.

    Attributes:
        tradeable_2: probability that either side reaches threshold 2 within the outcome window, or the timeframe.
        p_break: probability of a break, given that it is tradeable.
        strength_signed: expected strength in ATR; positive on the side of the break.
        t1_probs, t2_probs: probability that price reaches threshold 1, or 2, on either side within the horizon.
        t1_break_probs, t1_bounce_probs, t2_break_probs, t2_bounce_probs: the same of one side.
    """

    tradeable_2: FloatArray
    p_break: FloatArray
    strength_signed: FloatArray
    t1_probs: dict[int, FloatArray] = field(default_factory=dict)
    t2_probs: dict[int, FloatArray] = field(default_factory=dict)
    t1_break_probs: dict[int, FloatArray] = field(default_factory=dict)
    t1_bounce_probs: dict[int, FloatArray] = field(default_factory=dict)
    t2_break_probs: dict[int, FloatArray] = field(default_factory=dict)
    t2_bounce_probs: dict[int, FloatArray] = field(default_factory=dict)


class TreeModelBundle:
    """The heads of one stage and ablation, loaded.

    Args:
        model_dir: the folder that `trademl train events` wrote.
        stage: ``stage_a`` or ``stage_b``.
        ablation: ``ta``, ``mechanics`` or ``full``.
        horizons: in seconds, such as [60, 120].
        timeframe: such as ``8min``: tradeable, direction and strength are those of that window.

    Raises:
        ConfigError: a name does not exist.
        ModelError: a head was not trained.
        ArtifactError: a file is missing, damaged or of another training.

    Attributes:
        heads: metadata of each head, by its name.
        feature_names: every column that some head reads, in order.
    """

    def __init__(
        self, model_dir: Path, stage: str, ablation: str, horizons: Sequence[int], timeframe: str | None = None
    ) -> None:
        self.model_dir, self.stage, self.ablation = Path(model_dir), check_stage(stage), check_ablation(ablation)
        self.horizons, self.timeframe = check_horizons(horizons), timeframe
        names = head_names(self.horizons, timeframe)
        self.heads: dict[str, Head] = {
            name: read_head(self.model_dir, name, self.stage, self.ablation) for name in names
        }
        self.feature_names: tuple[str, ...] = tuple(
            dict.fromkeys(column for head in self.heads.values() for column in head.feature_names)
        )
        self._graphs: dict[str, onnxruntime.InferenceSession] = {
            name: open_graph(self.model_dir / head.files["onnx"]["name"]) for name, head in self.heads.items()
        }
        self._outcome = names[:3]

    def predict(self, df: "pd.DataFrame | pa.Table") -> TreePredictions:
        """Predict events.

        Args:
            df: a pandas or Arrow table with the columns of ``gold.events_features``; further columns are passed over,
                NULL and NaN are missing values.

        Raises:
            ModelError: a feature is no column of the table, or holds what is no number, or an infinite one.
        """
        answers = {name: self._answer(name, score) for name, score in self.scores(df).items()}
        tradeable, direction, strength = (answers[name] for name in self._outcome)
        found = TreePredictions(tradeable, direction, strength)
        if self.horizons:
            reach = {
                side: np.array(
                    [[answers[f"{_HEAD_OF[side, k]}_{h}s"] for h in self.horizons] for k in (1, 2)], dtype=np.float64
                )
                for side in SIDES
            }
            sound = project(reach)
            for (side, threshold), head in _HEAD_OF.items():
                grid = sound[side][threshold - 1]
                getattr(found, f"{head}_probs").update(zip(self.horizons, grid, strict=True))
        return found

    def scores(self, df: "pd.DataFrame | pa.Table") -> dict[str, FloatArray]:
        """Return each head's raw score: log-odds, or the strength in ATR; shape (n,) each.

        Raises:
            ModelError: as :meth:`predict`.
        """
        columns = read_columns(df, self.feature_names)
        made: dict[tuple[str, ...], NDArray[np.float32]] = {}
        found = {}
        for name, head in self.heads.items():
            if head.feature_names not in made:
                made[head.feature_names] = _matrix(columns, head.feature_names)
            X = made[head.feature_names]
            score = self._graphs[name].run([OUTPUT], {INPUT: X})[0] if len(X) else np.empty(0, dtype=np.float32)
            found[name] = np.asarray(score, dtype=np.float64).reshape(-1)
        return found

    def _answer(self, name: str, score: FloatArray) -> FloatArray:
        head = self.heads[name]
        return score if head.calibrator is None else apply(head.calibrator, score, clip=head.clip)


def read_columns(df: Any, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Return columns of a pandas or Arrow table as float32, missing values as NaN.

    Raises:
        ModelError: one is missing, holds what is no number, or an infinite one.
    """
    present = list(getattr(df, "column_names", None) or df.columns)
    missing = [name for name in names if name not in present]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ModelError(
            f"the table lacks {len(missing)} of {len(names)} features: {', '.join(missing[:5])}{more}",
            remedy="give rows of gold.events_features or gold.events_targets of the same build",
        )
    arrow = hasattr(df, "column_names")
    found = {}
    for name in names:
        column = df.column(name) if arrow else df[name]
        try:
            values = (
                np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)
                if arrow
                else column.to_numpy(dtype=np.float32, na_value=np.nan)
            )
        except (TypeError, ValueError) as error:
            raise ModelError(f"the feature {name} holds what is no number: {error}", remedy="give numbers") from error
        if np.isinf(values).any():
            raise ModelError(f"the feature {name} is infinite in some row", remedy="give a number, or NULL")
        found[name] = values
    return found


def _matrix(columns: Mapping[str, NDArray[np.float32]], names: Sequence[str]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.column_stack([columns[name] for name in names]).astype(np.float32, copy=False))
