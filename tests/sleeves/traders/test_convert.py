"""Conversion of the first system's pipeline."""

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sleeves.traders.columns import AGGREGATED
from tests.sleeves.traders.seed_models import N_BASE, seed_scores, write_seed_model
from trademl.edge.session import ScoringSession
from trademl.errors import ConfigError, ModelError
from trademl.sleeves.traders.convert import convert_pipeline
from trademl.sleeves.traders.stack import load_stacked_pipeline


class Harmful:
    """What a stolen pickle may hold."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.fixture
def seed(seed_folder: Path, tmp_path: Path) -> Path:
    """A folder of the first system that the test may spoil."""
    return Path(shutil.copytree(seed_folder, tmp_path / "v3"))


def test_a_converted_pipeline_scores_as_the_first_system_did(seed: Path, tmp_path: Path) -> None:
    """On random rows the one graph is within float32's rounding of XGBoost, StandardScaler and Ridge themselves, and
    ranks them the same."""
    pipeline = write_seed_model(seed)
    found = convert_pipeline(seed, tmp_path / "new")
    assert (found.base_models, found.min_windows, found.feature_caps) == (8, 3, {"profit_factor": 50.0})
    assert (found.parity.mismatches, found.compared.largest_difference, found.compared.rank_changes) == (0, 0.0, 0)
    X = np.random.default_rng(0).normal(size=(500, 97)).astype(np.float32)
    due = seed_scores(seed, pipeline, X).astype(np.float64)
    graph = ScoringSession(tmp_path / "new" / "model.onnx").predict(X)
    assert np.abs(graph - due).max() < 1e-5 * np.abs(due).max()
    # Not further than float32 allows, and never out of order beyond that.
    order = np.argsort(due)
    assert np.diff(graph[order]).min() > -1e-5 * np.abs(due).max()
    assert found.moved < 1e-5 * found.compared.largest_score


def test_nothing_of_python_is_left(seed: Path, tmp_path: Path) -> None:
    """The new folder has readable JSON and one graph; no pickle, no joblib."""
    convert_pipeline(seed, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        [*(f"base_model_{n}.json" for n in range(N_BASE)), "golden.json", "model.json", "model.onnx", "pipeline.json",
         "ridge.json", "scaler.json"]
    )  # fmt: skip
    assert ScoringSession(tmp_path / "new" / "model.onnx").verify(tmp_path / "new" / "golden.json") == 64
    document = json.loads((tmp_path / "new" / "pipeline.json").read_text())
    assert "stacked_pipeline.pkl" in document["converted_from"]


def test_a_malicious_pickle_executes_nothing(seed: Path, tmp_path: Path) -> None:
    """Beside right numbers or in their place: it is refused by name, nothing runs and nothing is written."""
    trace = tmp_path / "was_here"
    for entry in ("meta_learner", "scaler", "min_windows", "unused"):
        write_seed_model(seed, **{entry: Harmful(f"touch {trace}")})
        with pytest.raises(ModelError, match=r"names (posix|nt)\.system.*nothing was imported or run"):
            convert_pipeline(seed, tmp_path / "new")
    assert not trace.exists()
    assert not (tmp_path / "new").exists()
    pickle.loads((seed / "stacked_pipeline.pkl").read_bytes())
    assert trace.exists()


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("base_model_3.json", b'{"learner": {', r"base_model_3\.json is cut off or no XGBoost model"),
        ("base_model_3.json", None, r"7 base models, the regression reads 8; missing: base_model_3\.json"),
        ("base_model_8.json", b"{}", "9 base models, the regression reads 8"),
        ("stacked_pipeline.pkl", None, "cannot read"),
        ("stacked_pipeline.pkl", b"\x80\x04", "is cut off or damaged"),
        ("model_v3.meta.json", b'{"feature_caps": {"profit_factor": NaN}}', "the cap of profit_factor is nan"),
        ("model_v3.meta.json", b'{"feature_caps": {"profit_fa', r"model_v3\.meta\.json is cut off"),
        ("model_v10.meta.json", b'{"feature_caps": {"x": 1}}', "'x', which is none of the 18"),
    ],
)
def test_damaged_parts_are_refused(name: str, content: bytes | None, told: str, seed: Path, tmp_path: Path) -> None:
    """Cut JSON, a missing or surplus base model, NaN in caps: each is named, and nothing is written."""
    (seed / name).unlink(missing_ok=True)
    if content is not None:
        (seed / name).write_bytes(content)
    with pytest.raises(ModelError, match=told):
        convert_pipeline(seed, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"agg_feat_cols": [*AGGREGATED[1:], AGGREGATED[0]]}, "column 0 is 'roi_7d_dm_trend'"),
        ({"min_windows": 0}, "min_windows is 0"),
        ({"scaler": 3.0}, "must be objects"),
    ],
)
def test_another_pipeline_is_refused(changes: dict[str, Any], told: str, seed: Path, tmp_path: Path) -> None:
    """Features in another order, odd numbers, other objects."""
    write_seed_model(seed, **changes)
    with pytest.raises(ModelError, match=told):
        convert_pipeline(seed, tmp_path / "new")


def test_a_base_of_other_features_is_refused(seed: Path, tmp_path: Path) -> None:
    """A base model that reads other columns, by number or by name, would score them by position."""
    import xgboost as xgb

    rng = np.random.default_rng(1)
    narrow = xgb.XGBRegressor(n_estimators=2).fit(rng.normal(size=(30, 5)), rng.normal(size=30))
    narrow.save_model(str(seed / "base_model_2.json"))
    with pytest.raises(ModelError, match=r"base_model_2\.json reads 5 features, not the 97"):
        convert_pipeline(seed, tmp_path / "new")


def test_a_pipeline_is_not_overwritten(converted: Path, seed: Path) -> None:
    """Neither a converted pipeline nor the source itself."""
    with pytest.raises(ConfigError, match="holds a pipeline already"):
        convert_pipeline(seed, converted)
    with pytest.raises(ConfigError, match="holds a pipeline already"):
        convert_pipeline(seed, seed)
    assert load_stacked_pipeline(converted) is not None
