"""The table of model families."""

import subprocess
import sys

import pytest

from trademl.config.reading import Section, validate_section
from trademl.errors import ConfigError
from trademl.models.base import BaseModel
from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel
from trademl.models.registry import MODELS, ModelField, create_model, model_class, read_model_config


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
        ("task", "ranking", "task='ranking': Input should be 'regression' or 'binary'"),
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
