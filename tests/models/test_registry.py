"""The table of model families."""

import doctest
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from trademl.config.reading import Section, validate_section
from trademl.errors import ConfigError, ModelError
from trademl.models import registry
from trademl.models.base import BaseModel, ModelConfig
from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel
from trademl.models.linear import LinearModel
from trademl.models.registry import (
    MODELS,
    ModelField,
    ModelRegistry,
    create_model,
    model_class,
    read_model_config,
)
from trademl.models.ridge import RidgeConfig, RidgeModel


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_every_row_names_a_model_of_its_kind(kind: str) -> None:
    """Each row leads to a BaseModel whose kind and whose configuration's default kind are the row's."""
    found = model_class(kind)
    assert issubclass(found, BaseModel)
    assert found.kind == kind
    assert found.config_type().kind == kind  # type: ignore[call-arg]
    assert found.suffix.startswith(".")


def test_unknown_kind_names_the_nearest() -> None:
    """A misspelt kind is answered with the right one."""
    with pytest.raises(ConfigError, match="'lightgmb' does not exist; did you mean lightgbm"):
        read_model_config({"kind": "lightgmb"})


def test_missing_kind_is_explained() -> None:
    """A mapping without a kind says which kinds there are."""
    with pytest.raises(ConfigError, match="no `kind`") as caught:
        read_model_config({"num_leaves": 3})
    assert "lightgbm" in caught.value.remedy


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("num_leafs", 31, "num_leafs is not a field; did you mean num_leaves?"),
        ("colsample", 0.5, "colsample is not a field; did you mean colsample_bytree?"),
        ("num_leaves", 1, "num_leaves=1: Input should be greater than or equal to 2"),
        ("learning_rate", 0, "learning_rate=0: Input should be greater than 0"),
        ("subsample", 1.5, "subsample=1.5: Input should be less than or equal to 1"),
        ("n_rounds", "many", "n_rounds='many'"),
        ("task", "ranking", "task='ranking': Input should be 'regression', 'binary' or 'three_class'"),
        ("threads", -1, "threads=-1"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(field: str, value: object, message: str) -> None:
    """Each wrong field gives the family, the field, the value and the limit or the nearest name."""
    with pytest.raises(ConfigError) as caught:
        read_model_config({"kind": "lightgbm", field: value})
    assert "model.lightgbm" in str(caught.value)
    assert message in str(caught.value)


class Training(Section):
    """A section that holds a model of any family."""

    model: ModelField = LightGBMConfig()


def test_a_section_reads_its_model_by_kind_and_writes_it_whole() -> None:
    """A nested model is read as its family's configuration, written with all its fields, and read back equal."""
    section = validate_section({"model": {"kind": "lightgbm", "num_leaves": 7}}, Training, origin="t")
    assert section.model == LightGBMConfig(num_leaves=7)
    written = section.model_dump(mode="json")
    assert written["model"]["num_leaves"] == 7
    assert validate_section(written, Training, origin="t") == section
    with pytest.raises(ConfigError, match="num_leafs is not a field; did you mean num_leaves"):
        validate_section({"model": {"kind": "lightgbm", "num_leafs": 7}}, Training, origin="t")


def test_create_model_makes_the_family_of_the_configuration() -> None:
    """The model made is of the configuration's kind and keeps the feature order."""
    model = create_model(LightGBMConfig(), ["b", "a"])
    assert isinstance(model, LightGBMModel)
    assert model.feature_names == ("b", "a")


def test_reading_a_configuration_loads_no_engine() -> None:
    """Looking up a family and reading its configuration does not import lightgbm, onnx or onnxruntime."""
    code = (
        "import sys; from trademl.models.registry import read_model_config; read_model_config({'kind': 'lightgbm'});"
        "sys.exit(len({'lightgbm', 'onnx', 'onnxruntime', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(ModelRegistry, "_added", {})


class HalfConfig(ModelConfig):
    """A family of this test."""

    kind: Literal["half"] = "half"
    share: float = 0.5


class Half(RidgeModel):
    """Ridge under another name."""

    kind = "half"
    config_type = HalfConfig  # type: ignore[assignment]


def test_the_documented_example_runs() -> None:
    """The example in the docstring of `register` prints what it says."""
    assert doctest.testmod(registry).attempted > 0
    assert doctest.testmod(registry).failed == 0


def test_a_registered_class_is_a_kind_like_any_other(added: None) -> None:
    """After the decorator a configuration names it, and create makes it by name and by family:name."""
    assert ModelRegistry.register("half", "linear", "half a ridge", requires_gpu=True)(Half) is Half
    assert read_model_config({"kind": "half", "share": 0.25}) == HalfConfig(share=0.25)
    assert model_class("half") is Half
    for name in ("half", "linear:half"):
        model = ModelRegistry.create(name, {"share": 0.75}, ["b", "a"])
        assert isinstance(model, Half)
        assert model.config == HalfConfig(share=0.75)
        assert model.feature_names == ("b", "a")
    row = {"name": "half", "family": "linear", "description": "half a ridge", "requires_gpu": True}
    assert row in ModelRegistry.list_models()
    assert [one["name"] for one in ModelRegistry.list_models("linear")] == ["half", "ridge"]
    assert "linear:half" in ModelRegistry.discover()


def test_the_list_has_every_row_once_in_the_order_of_full_names() -> None:
    """Name, family, description and requires_gpu of each model; a family's rows alone; an unknown family is named."""
    rows = ModelRegistry.list_models()
    names = [f"{row['family']}:{row['name']}" for row in rows]
    assert names == sorted(names)
    assert {row.full_name for row in MODELS.values()} <= set(names)
    assert all(set(row) == {"name", "family", "description", "requires_gpu"} and row["description"] for row in rows)
    assert [row["name"] for row in ModelRegistry.list_models("boosting")] == ["catboost", "lightgbm", "xgboost"]
    with pytest.raises(ConfigError, match="model family 'bosting' does not exist; did you mean boosting") as caught:
        ModelRegistry.list_models("bosting")
    assert "baseline, boosting, linear" in caught.value.remedy


def test_create_takes_a_mapping_or_a_section() -> None:
    """A mapping without kind, one with the kind or the full name, and the section itself give the same model."""
    for config in ({}, {"kind": "ridge"}, {"kind": "linear:ridge"}, RidgeConfig()):
        assert ModelRegistry.create("ridge", config, ["a"]).config == RidgeConfig()
    with pytest.raises(ConfigError, match=r"model.ridge: penalty=-1: Input should be greater than or equal to 0"):
        ModelRegistry.create("ridge", {"penalty": -1}, ["a"])
    with pytest.raises(ConfigError, match="'ridge' is of kind 'ridge', its configuration has kind='lightgbm'"):
        ModelRegistry.create("ridge", {"kind": "lightgbm"}, ["a"])
    with pytest.raises(ConfigError, match="config of model 'ridge' is a str"):
        ModelRegistry.create("ridge", "penalty", ["a"])  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="a lightgbm configuration for a ridge model"):
        ModelRegistry.create("ridge", LightGBMConfig(), ["a"])
    with pytest.raises(ModelError, match="feature name 'a' occurs twice"):
        ModelRegistry.create("ridge", {}, ["a", "a"])


@pytest.mark.parametrize(
    "name, near",
    [
        ("lightgmb", "lightgbm"),
        ("linear:lightgbm", "boosting:lightgbm"),
        ("boosting:xgbost", "boosting:xgboost"),
        ("boosting:ridge", "linear:ridge"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    """A misspelt name or family is answered with the model that was probably meant."""
    with pytest.raises(ConfigError, match=f"model {name!r} does not exist; did you mean {near}") as caught:
        ModelRegistry.create(name, {}, ["a"])
    assert "kinds are catboost, lightgbm" in caught.value.remedy


def test_a_full_name_is_a_kind_too() -> None:
    """A configuration may name the family as well; what is read holds the kind."""
    assert read_model_config({"kind": "boosting:lightgbm"}) == LightGBMConfig()


def test_two_families_may_have_a_model_of_one_name(added: None) -> None:
    """The second calls itself by its full name; the bare name is ambiguous where names are asked for, never a kind."""

    class OtherConfig(ModelConfig):
        kind: Literal["acme:ridge"] = "acme:ridge"

    class Other(RidgeModel):
        kind = "acme:ridge"
        config_type = OtherConfig  # type: ignore[assignment]

    ModelRegistry.register("ridge", "acme")(Other)
    with pytest.raises(ConfigError, match="model 'ridge' is ambiguous: it matches acme:ridge, linear:ridge"):
        ModelRegistry.create("ridge", {}, ["a"])
    assert type(ModelRegistry.create("acme:ridge", {}, ["a"])) is Other
    assert type(ModelRegistry.create("linear:ridge", {}, ["a"])) is RidgeModel
    assert read_model_config({"kind": "ridge"}) == RidgeConfig()
    assert type(create_model(read_model_config({"kind": "acme:ridge"}), ["a"])) is Other


def test_a_name_or_a_kind_is_taken_once(added: None) -> None:
    """A second class under a full name or kind is refused and the first stays; so is the same class twice."""
    ModelRegistry.register("half", "linear")(Half)
    with pytest.raises(ConfigError, match=r"linear:half is taken by tests\.models\.test_registry:Half of this package"):
        ModelRegistry.register("half", "linear")(Half)
    with pytest.raises(ConfigError, match=r"linear:ridge is taken by trademl\.models\.ridge:RidgeModel"):
        ModelRegistry.register("ridge", "linear")(RidgeModel)
    with pytest.raises(ConfigError, match=r"the kind 'half' is taken by tests\.models\.test_registry:Half"):
        ModelRegistry.register("half", "boosting")(Half)
    assert model_class("half") is Half


def test_everything_wrong_with_a_class_is_said_at_once(added: None) -> None:
    """Names, missing methods, missing attributes and the kind are one message; nothing is registered."""

    class Unfinished(BaseModel):
        config_type: ClassVar[Any] = dict

        def predict(self, X: np.ndarray) -> np.ndarray:
            return X

    with pytest.raises(ConfigError) as caught:
        ModelRegistry.register("Half-Done", "my family")(Unfinished)
    for told in (
        "my family:Half-Done cannot be registered",
        "the name 'Half-Done' is not lower case letters",
        "the family 'my family' is not lower case letters",
        "Unfinished lacks the methods export_onnx, fit_rows, importances, load, prepare, save",
        "Unfinished lacks the attributes kind, suffix",
        "config_type=<class 'dict'>, which is not derived from ModelConfig",
    ):
        assert told in caught.value.message
    assert caught.value.remedy
    with pytest.raises(ConfigError, match="Half calls itself kind='half', not 'third'"):
        ModelRegistry.register("third", "linear")(Half)
    for thing in (Path, len, 3):
        with pytest.raises(ConfigError, match="is no class derived from BaseModel"):
            ModelRegistry.register("thing", "linear")(thing)  # type: ignore[type-var]
    assert ModelRegistry._added == {}


def test_the_rows_of_this_package_lie_where_they_say() -> None:
    """Each row's family is that of its neighbours and its kind has no family in it."""
    assert {row.full_name for row in MODELS.values()} == {
        "boosting:lightgbm",
        "boosting:xgboost",
        "boosting:catboost",
        "linear:ridge",
        "baseline:momentum",
        "stacking:stack",
        "stacking:xgboost_ridge",
    }
    assert all(issubclass(model_class(kind), LinearModel) for kind in ("ridge", "momentum"))
