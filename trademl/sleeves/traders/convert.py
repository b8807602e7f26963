"""Convert the first system's stacked pipeline into files that can be read without trust: JSON and one ONNX graph.

Its folder has ``base_model_*.json`` (XGBoost's own), ``stacked_pipeline.pkl`` and ``model_v*.meta.json``. The pickle is
read by :mod:`trademl.sleeves.traders.unpickle`, which can run nothing. XGBoost's leaves are rounded to the grid on
which sums are exact (docs/onnx.md); by how much that moves scores is measured and told.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import sha256_file, write_atomic
from trademl.errors import ConfigError, ModelError
from trademl.models.boosting.inputs import read_model_text
from trademl.models.boosting.xgboost import XGBoostModel
from trademl.models.golden import write_golden
from trademl.models.onnx import ParityReport, prove_parity
from trademl.models.stacking.meta_ridge import MetaRidge
from trademl.models.stacking.xgboost_ridge import RIDGE, SCALER, XGBoostRidgeModel, base_file
from trademl.models.stacking.xgboost_ridge_config import BaseTrees, XGBoostRidgeConfig
from trademl.rng import stream
from trademl.sleeves.traders.compare import PathComparison, compare_paths
from trademl.sleeves.traders.names import aggregated_columns
from trademl.sleeves.traders.pipeline import (
    LOOKBACK_DAYS,
    MODEL_FILE,
    PIPELINE_FILE,
    check_columns,
    checked_caps,
    describe_pipeline,
)
from trademl.sleeves.traders.stack import SEED_FILE, load_stacked_pipeline
from trademl.sleeves.traders.unpickle import Plain, read_plain

GRAPH_FILE = "model.onnx"
GOLDEN_FILE = "golden.json"
PROVED_ROWS = 2000
GOLDEN_ROWS = 64

_BASE = re.compile(r"base_model_(\d+)\.json")
_META = re.compile(r"model_v(\d+)\.meta\.json")
_RESTORE = "give the whole folder that the first system wrote"


@dataclass(frozen=True)
class Converted:
    """A pipeline that was converted.

    Attributes:
        path: its new folder.
        base_models, min_windows: of the pipeline.
        feature_caps: as model_v*.meta.json has them.
        parity: the proof that the merged graph scores as the files do.
        compared: graph and staged path.
        moved: by how much rounding of leaves moves a score at most, on made-up rows; ``rank_changes``: of these rows.
    """

    path: Path
    base_models: int
    min_windows: int
    feature_caps: Mapping[str, float]
    parity: ParityReport
    compared: PathComparison
    moved: float
    rank_changes: int


def convert_pipeline(source: Path, target: Path) -> Converted:
    """Write the pipeline of the first system in ``source`` as JSON and ONNX to the new folder ``target``.

    Raises:
        ModelError: a file is missing, cut off or not what it must be; a feature is in another place; a cap is not a
            finite number. Nothing of the pickle has then been run, and nothing was written.
        ConfigError: ``target`` holds a pipeline, or lies in ``source``.
        ParityError: graph and files score differently.
    """
    if target.resolve() == source.resolve() or (target / PIPELINE_FILE).exists():
        raise ConfigError(f"{target} holds a pipeline already", remedy="give a new folder with --out")
    stated = _read_seed(source / SEED_FILE)
    texts = _read_bases(source, len(stated.coefficients) - len(aggregated_columns()))
    caps = _read_caps(source)
    names = aggregated_columns()
    bases = [XGBoostModel.from_text(_named(text, path), origin=str(path)) for path, text in texts]
    own = [BaseTrees.model_validate(base.config.model_dump()) for base in bases]
    config = XGBoostRidgeConfig(bases=tuple(own), alpha=stated.meta.alpha)
    inputs = (*names, *(f"base_model_{number}" for number in range(len(bases))))
    meta = MetaRidge(inputs, stated.means, stated.scales, stated.coefficients, stated.meta.intercept, stated.meta.alpha)
    meta.check(str(source / SEED_FILE))
    model = XGBoostRidgeModel.of(config, bases, meta)
    rows = _made_up_rows(model)
    target.mkdir(parents=True, exist_ok=True)
    model.save(target / MODEL_FILE)
    model.export_onnx(target / GRAPH_FILE)
    parity = prove_parity(XGBoostRidgeModel.native(target / MODEL_FILE), target / GRAPH_FILE, rows)
    write_golden(target / GOLDEN_FILE, names, rows[:GOLDEN_ROWS], model.predict(rows[:GOLDEN_ROWS]))
    files = [MODEL_FILE, GRAPH_FILE, GOLDEN_FILE, SCALER, RIDGE, *(base_file(number) for number in range(len(bases)))]
    document = describe_pipeline(
        caps,
        None,
        min_windows=stated.min_windows,
        lookback_days=LOOKBACK_DAYS,
        files={name: sha256_file(target / name) for name in files},
        converted_from={path.name: sha256_file(path) for path, _ in texts}
        | {SEED_FILE: sha256_file(source / SEED_FILE)},
    )
    # Last: a folder that is cut off on the way is no pipeline.
    write_atomic(target / PIPELINE_FILE, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    load_stacked_pipeline(target)
    before = _staged(texts, meta, rows)
    after = model.predict(rows)
    return Converted(
        path=target,
        base_models=len(bases),
        min_windows=stated.min_windows,
        feature_caps=caps,
        parity=parity,
        compared=compare_paths(model, rows),
        moved=float(np.abs(before - after).max()),
        rank_changes=int((np.argsort(before, kind="stable") != np.argsort(after, kind="stable")).sum()),
    )


@dataclass(frozen=True)
class _Meta:
    alpha: float
    intercept: float


@dataclass(frozen=True)
class _Stated:
    """What the pickle says."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    coefficients: tuple[float, ...]
    meta: _Meta
    min_windows: int


def _read_seed(path: Path) -> _Stated:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error}", remedy=_RESTORE) from error
    found = read_plain(raw, str(path))
    try:
        ridge, scaler = found["meta_learner"], found["scaler"]
        if not (isinstance(ridge, Plain) and isinstance(scaler, Plain)):
            raise TypeError("meta_learner and scaler must be objects")
        if (ridge.kind, scaler.kind) != ("Ridge", "StandardScaler"):
            raise TypeError(f"meta_learner is a {ridge.kind}, scaler a {scaler.kind}")
        check_columns(found["per_sample_cols"], found["agg_feat_cols"], str(path))
        state = scaler.state
        coefficients = _numbers(ridge.state["coef_"])
        # A scaler that was told not to centre or to scale keeps neither.
        zeros, ones = (0.0,) * len(coefficients), (1.0,) * len(coefficients)
        means = zeros if not state.get("with_mean", True) else _numbers(state["mean_"])
        scales = ones if not state.get("with_std", True) else _numbers(state["scale_"])
        windows = found["min_windows"]
        if isinstance(windows, bool) or not isinstance(windows, int) or windows < 1:
            raise ValueError(f"min_windows is {windows!r}")
        meta = _Meta(float(ridge.state["alpha"]), _numbers(ridge.state["intercept_"])[0])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(
            f"{path} is no stacked pipeline: {error!r}",
            remedy="it holds meta_learner (Ridge), scaler (StandardScaler), agg_feat_cols, per_sample_cols, "
            "min_windows",
        ) from error
    return _Stated(means, scales, coefficients, meta, windows)


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(np.ravel(np.asarray(value, dtype=np.float64)).tolist())


def _read_bases(folder: Path, count: int) -> list[tuple[Path, str]]:
    """Return the files of the base models in the order of their numbers, and their texts."""
    found = {int(match[1]): path for path in folder.iterdir() if (match := _BASE.fullmatch(path.name))}
    missing = [base_file(number) for number in range(max(count, 1)) if number not in found]
    if missing or len(found) != count:
        raise ModelError(
            f"{folder} has {len(found)} base models, the regression reads {count}"
            + (f"; missing: {', '.join(missing)}" if missing else ""),
            remedy=_RESTORE,
        )
    return [(found[number], read_model_text(found[number])) for number in range(count)]


def _named(text: str, path: Path) -> str:
    """Return a model's JSON with the names of its features: the first system fitted on bare arrays."""
    names = list(aggregated_columns())
    try:
        document = json.loads(text)
        learner = document["learner"]
        stated = [str(name) for name in learner.get("feature_names") or names]
        width = int(learner["learner_model_param"]["num_feature"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is cut off or no XGBoost model: {error!r}", remedy=_RESTORE) from error
    if stated != names or width != len(names):
        raise ModelError(
            f"{path} reads {width} features, not the {len(names)} of the pipeline in their order", remedy=_RESTORE
        )
    return json.dumps({**document, "learner": {**learner, "feature_names": names, "feature_types": []}})


def _read_caps(folder: Path) -> dict[str, float]:
    """Return the caps of the latest model_v*.meta.json; none where there is no such file, as in the first system."""
    found = sorted((int(match[1]), path) for path in folder.iterdir() if (match := _META.fullmatch(path.name)))
    if not found:
        return {}
    path = found[-1][1]
    try:
        document = json.loads(path.read_bytes())
        caps = document.get("feature_caps", {})
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is cut off or no JSON object: {error}", remedy=_RESTORE) from error
    return checked_caps(caps, str(path))


def _made_up_rows(model: XGBoostRidgeModel) -> NDArray[np.float32]:
    """Return rows around what the scaler saw in training, whose thresholds lie there too."""
    n = len(model.feature_names)
    drawn = stream(7, "traders", "converted").standard_normal((PROVED_ROWS, n))
    rows = np.array(model.meta.means[:n]) + drawn * np.array(model.meta.scales[:n])
    return np.ascontiguousarray(rows.astype(np.float32))


def _staged(texts: Sequence[tuple[Path, str]], meta: MetaRidge, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score as the first system does: its own files in XGBoost, then scaler, then ridge."""
    import xgboost

    scores = np.empty((len(rows), len(texts)))
    for number, (_, text) in enumerate(texts):
        booster = xgboost.Booster({"nthread": 1, "verbosity": 0}, model_file=bytearray(text.encode()))
        scores[:, number] = booster.inplace_predict(rows, validate_features=False)
    return meta.predict(np.column_stack([rows.astype(np.float64), scores]))
