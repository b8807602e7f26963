"""What a stack of XGBoost models is told."""

from pathlib import Path

import pytest

from trademl.config.reading import load_section
from trademl.errors import ConfigError
from trademl.models.registry import read_model_config
from trademl.models.stacking.xgboost_ridge_config import DEFAULT_BASES, XGBoostRidgeConfig
from trademl.training.config import TrainingConfig


def test_the_default_is_eight_models_that_differ_under_alpha_60() -> None:
    """Eight seeds, several depths and subsamples, and the published penalty."""
    config = XGBoostRidgeConfig()
    assert len(config.bases) == 8
    assert config.alpha == 60.0
    assert len({base.seed for base in config.bases}) == 8
    assert len({base.max_depth for base in config.bases}) >= 4
    assert len({base.subsample for base in config.bases}) >= 3


def test_the_files_state_the_defaults(repository: Path) -> None:
    """configs/models/xgboost_ridge.yml and the model of configs/training/traders.yml are what applies without them."""
    path = repository / "configs" / "models" / "xgboost_ridge.yml"
    assert load_section(path, XGBoostRidgeConfig) == XGBoostRidgeConfig()
    training = load_section(repository / "configs" / "training" / "traders.yml", TrainingConfig)
    assert training.model == XGBoostRidgeConfig()
    assert (training.validation.kind, training.binning) == ("cpcv", "strict")


def test_threads_are_no_part_of_a_runs_name() -> None:
    """Neither the stack's threads nor a base's change the hash; a base's depth does."""

    def hash_of(**fields: object) -> str:
        return TrainingConfig(model=read_model_config({"kind": "xgboost_ridge", **fields})).hash()

    assert hash_of(threads=1) == hash_of(threads=2)
    assert hash_of(bases=[{"threads": 3}]) == hash_of(bases=[{}])
    assert hash_of(bases=[{"max_depth": 1}]) != hash_of(bases=[{}])


def test_a_base_takes_the_threads_of_the_stack() -> None:
    """A base is an XGBoost configuration of its own."""
    config = XGBoostRidgeConfig(threads=2)
    assert (config.base(3).kind, config.base(3).threads) == ("xgboost", 2)
    assert config.base(3).seed == DEFAULT_BASES[3].seed


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"bases": []}, "bases"),
        ({"bases": [{"max_bin": 64}, {"max_bin": 32}]}, r"several max_bin \(64, 32\)"),
        ({"bases": [{}, {"early_stopping_rounds": 5}]}, r"bases\.1\.early_stopping_rounds"),
        ({"inner": {"folds": 3, "test_folds": 3}}, "leaves no training fold"),
        ({"alpha": -1}, "alpha"),
        ({"task": "binary"}, "task"),
        ({"bases": [{"depth": 3}]}, "depth"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, object], told: str) -> None:
    """The message names the field."""
    with pytest.raises(ConfigError, match=told):
        read_model_config({"kind": "xgboost_ridge", **fields})
