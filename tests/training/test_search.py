"""Search spaces and proposals."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.models.registry import model_class
from trademl.training.search import Parameter, SearchSpace, check_space, configured, propose, read_space

SMALL = SearchSpace.model_validate(
    {"kind": "lightgbm", "parameters": {"num_leaves": {"values": [3, 7]}, "max_depth": {"low": 2, "high": 4}}}
)
WIDE = SearchSpace.model_validate(
    {
        "kind": "lightgbm",
        "parameters": {
            "learning_rate": {"low": 0.001, "high": 0.5, "log": True},
            "num_leaves": {"values": [3, 7, 15, 31]},
        },
    }
)


def finished(space: SearchSpace, params: dict[str, Any], value: float) -> FrozenTrial:
    return create_trial(state=TrialState.COMPLETE, params=params, distributions=space.distributions(), value=value)


def history(count: int) -> list[FrozenTrial]:
    """Trials whose value is best at a learning rate of 0.1."""
    done: list[FrozenTrial] = []
    for number in range(count):
        params = propose(WIDE, done, seed=3, number=number, taken=lambda _: False)
        assert params is not None
        done.append(finished(WIDE, params, -abs(params["learning_rate"] - 0.1)))
    return done


def test_a_proposal_follows_from_seed_number_and_history() -> None:
    """Asked again it is the same; another seed, number or history makes another."""
    done = history(14)

    def asked(seed: int = 3, number: int = 14, before: list[FrozenTrial] = done) -> dict[str, Any] | None:
        return propose(WIDE, before, seed=seed, number=number, taken=lambda _: False)

    first = asked()
    assert first == asked()
    others = [asked(seed=4), asked(number=15), asked(before=done[:13])]
    assert all(other != first for other in others)


def test_a_proposal_does_not_depend_on_the_process() -> None:
    """Another process with another seed of Python's string hashes proposes the same."""
    code = (
        "from tests.training.test_search import *\n"
        "print(propose(WIDE, history(12), seed=3, number=12, taken=lambda _: False))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{propose(WIDE, history(12), seed=3, number=12, taken=lambda _: False)}\n"}


def test_the_search_learns() -> None:
    """Random learning rates are within a factor of two of the best one in 22 % of trials; its proposals are oftener."""
    rates = [trial.params["learning_rate"] for trial in history(60)[10:]]
    assert sum(0.05 < rate < 0.2 for rate in rates) > 0.4 * len(rates)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_a_small_space_is_tried_without_repeats_until_it_is_empty(seed: int) -> None:
    """Two leaf numbers and three depths are six configurations, in any order; a seventh there is not."""
    assert SMALL.size == 6
    seen: list[dict[str, Any]] = []
    done: list[FrozenTrial] = []
    while (params := propose(SMALL, done, seed=seed, number=len(seen), taken=lambda it: it in seen)) is not None:
        assert params not in seen
        seen.append(params)
        done.append(finished(SMALL, params, float(params["num_leaves"])))
        assert len(seen) <= 6
    assert len(seen) == 6


def test_a_pruned_trial_informs_the_search() -> None:
    """A pruned trial without any value is part of the history, and changes what comes next."""
    done = history(12)
    pruned = create_trial(
        state=TrialState.PRUNED, params=done[0].params, distributions=WIDE.distributions(), value=None
    )
    one = propose(WIDE, done, seed=3, number=12, taken=lambda _: False)
    other = propose(WIDE, [*done, pruned], seed=3, number=12, taken=lambda _: False)
    assert one is not None
    assert other is not None
    assert one != other


@pytest.mark.parametrize(
    "raw, message",
    [
        ({}, "neither `values` nor"),
        ({"values": [1], "low": 1}, "write one of them"),
        ({"values": []}, "empty"),
        ({"values": [1, 1]}, "list each value once"),
        ({"low": 2, "high": 1}, "not below"),
        ({"low": 0, "high": 1, "log": True}, "no logarithm"),
        ({"low": 1}, "neither `values` nor"),
        ({"values": [1], "step": 2}, "step is not a field"),
    ],
)
def test_a_wrong_parameter_is_explained(raw: dict[str, Any], message: str) -> None:
    """A list and a range exclude each other, and each must be whole."""
    with pytest.raises(ConfigError, match=message):
        validate_section(raw, Parameter, origin="space")


def test_sizes() -> None:
    """Whole numbers are counted with both ends; real numbers are not counted."""
    assert Parameter(low=2, high=4).size == 3
    assert Parameter(low=2.0, high=4.0).size == float("inf")
    assert Parameter(values=(1, None, "a")).size == 3


@pytest.mark.parametrize(
    "kind, size", [("lightgbm", 864), ("xgboost", 288), ("catboost", 216), ("ridge", float("inf"))]
)
def test_every_shipped_space_fits_its_family(home: Home, kind: str, size: float) -> None:
    """The files of configs/tuning hold fields and values that the families take; LightGBM's is the seed's grid."""
    space = read_space(home, kind)
    assert space.size == size
    check_space(space, model_class(kind).config_type.model_validate({}))


def test_the_grid_of_the_seed(home: Home) -> None:
    """Seed 004, section 3.1."""
    found = {name: parameter.values for name, parameter in read_space(home, "lightgbm").parameters.items()}
    assert found == {
        "num_leaves": (31, 63, 127),
        "max_depth": (-1, 7, 11),
        "learning_rate": (0.01, 0.05, 0.1),
        "min_data_in_leaf": (50, 200),
        "colsample_bytree": (0.6, 0.9),
        "subsample": (0.6, 0.9),
        "lambda_l1": (0.0, 10.0),
        "lambda_l2": (0.0, 10.0),
    }


@pytest.mark.parametrize(
    "text, message",
    [
        ("kind: lightgbm\nparameters: {num_leafs: {values: [3]}}", "did you mean num_leaves"),
        ("kind: lightgbm\nparameters: {seed: {values: [1, 2]}}", "luck"),
        ("kind: lightgbm\nparameters: {threads: {values: [1, 2]}}", "changes no result"),
        ("kind: ridge\nparameters: {penalty: {values: [1]}}", "the study is of lightgbm"),
        ("kind: lightgbm\nparameters: {}", "parameters"),
        ("kind: lightgbm", "parameters"),
        ("parameters: [", "not valid YAML"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(home: Home, tmp_path: Path, text: str, message: str) -> None:
    """The message names the field and, for a slip of the pen, the nearest one."""
    path = tmp_path / "space.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_space(home, "lightgbm", path)


def test_a_family_without_a_file_says_where_to_write_one(home: Home) -> None:
    """momentum has no space of its own."""
    with pytest.raises(ConfigError, match=r"there is no search space .*momentum\.yml"):
        read_space(home, "momentum")


def test_values_that_the_family_does_not_take_are_all_named() -> None:
    """Both ends of a range and each value of a list are tried on the family's configuration."""
    wrong = SearchSpace.model_validate({"kind": "ridge", "parameters": {"penalty": {"low": -1.0, "high": 1e9}}})
    with pytest.raises(ConfigError, match=r"penalty=-1.0.*penalty=1000000000.0"):
        check_space(wrong, model_class("ridge").config_type.model_validate({}))


def test_parameters_replace_fields_and_are_checked() -> None:
    """The other fields stay; a value out of range is an error that names the choice."""
    base = model_class("ridge").config_type.model_validate({"penalty": 2.0})
    assert configured(base, {"penalty": 3.0}, origin="trial").model_dump()["penalty"] == 3.0
    with pytest.raises(ConfigError, match="penalty=-3"):
        configured(base, {"penalty": -3.0}, origin="trial")
