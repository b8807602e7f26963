"""Each model family through the one training path."""

import json
from typing import Any

import pytest

from tests.training.market import small_config
from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ModelError
from trademl.models.registry import model_class
from trademl.sleeves.equities import EquitiesConfig, train
from trademl.training.config import TrainingConfig
from trademl.training.run import RunResult
from trademl.training.trainer import engines

FAMILIES: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_rounds": 8, "num_leaves": 7, "min_data_in_leaf": 20},
    "xgboost": {"n_rounds": 8, "max_depth": 3, "min_child_weight": 10},
    "catboost": {"n_rounds": 8, "depth": 3},
}


def trained(home: Home, kind: str, **fields: Any) -> RunResult:
    config = load_section(small_config(home, model={"kind": kind, **FAMILIES[kind]}, **fields), EquitiesConfig)
    return train(home, config, mlflow=False, command="trademl train equities")


@pytest.mark.parametrize("task", ["regression", "top_bottom"])
@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_a_run_of_each_family_is_sealed_with_equal_bits(market: Home, kind: str, task: str) -> None:
    """The run finishes, its files verify, native and ONNX scores are equal on every row compared, and the planted
    signal is found."""
    result = trained(market, kind, task=task)
    manifest = RunFolder.open(result.path).verify()
    assert f"checkpoints/model{model_class(kind).suffix}" in manifest.files
    parity = json.loads((result.path / "metrics" / "parity.json").read_text())
    assert parity["mismatches"] == 0
    assert parity["max_abs_difference"] == 0.0
    assert parity["thresholds"] > 0
    assert parity["boundary_rows"] > 4 * parity["trees"]
    assert result.metrics["summary"]["rank_ic"]["mean"] > (0.2 if task == "regression" else 0.1)
    assert trained(market, kind, task=task).already_trained


@pytest.mark.parametrize("kind, fields", [("ridge", {}), ("momentum", {"feature": "signal_rank"})])
def test_a_run_of_a_baseline_is_sealed_with_equal_bits(market: Home, kind: str, fields: dict[str, Any]) -> None:
    """A model without trees goes the same way, to the same proofs: its graph adds in float64."""
    path = small_config(market, model={"kind": kind, **fields})
    result = train(market, load_section(path, EquitiesConfig), mlflow=False)
    RunFolder.open(result.path).verify()
    parity = json.loads((result.path / "metrics" / "parity.json").read_text())
    assert (parity["mismatches"], parity["trees"]) == (0, 0)
    assert parity["boundary_rows"] > 0
    assert result.metrics["summary"]["rank_ic"]["mean"] > 0.2


@pytest.mark.parametrize("kind", ["ridge", "momentum"])
def test_a_baseline_does_not_classify(market: Home, kind: str) -> None:
    """It says so, instead of ranking by a regression under another name."""
    path = small_config(market, model={"kind": kind}, task="top_bottom")
    with pytest.raises(ModelError, match=f"{kind} fits a regression, not the task 'binary'"):
        train(market, load_section(path, EquitiesConfig), mlflow=False)


def test_a_monotone_run_is_a_run_of_its_own(market: Home) -> None:
    """Constraints are part of a run's identity and of its configuration file."""
    plain = trained(market, "xgboost")
    settings = {**FAMILIES["xgboost"], "monotone": {"signal_rank": 1}}
    path = small_config(market, model={"kind": "xgboost", **settings})
    held = train(market, load_section(path, EquitiesConfig), mlflow=False)
    assert held.run_id != plain.run_id
    assert "signal_rank: 1" in (held.path / "config" / "config.yml").read_text()
    assert "monotone" not in (plain.path / "config" / "config.yml").read_text()


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_a_runs_name_depends_on_its_own_engine_only(kind: str) -> None:
    """Installing another family's engine does not rename the runs of this one."""
    named = engines(kind)
    assert {"numpy", "machine"} < set(named)
    others = {name for other in FAMILIES if other != kind for name in model_class(other).distributions}
    assert not set(named) & others
    assert set(named) & set(model_class(kind).distributions)


def test_lightgbm_runs_keep_the_names_they_had() -> None:
    """The identity of a LightGBM configuration has the fields of the first release, no more."""
    identity = TrainingConfig(model={"kind": "lightgbm"}).identity()["model"]  # type: ignore[arg-type]
    fields = """
        kind n_rounds num_leaves max_depth learning_rate min_data_in_leaf colsample_bytree subsample subsample_freq
        lambda_l1 lambda_l2 max_bin quantised_gradients early_stopping_rounds seed
    """
    assert set(identity) == set(fields.split())
