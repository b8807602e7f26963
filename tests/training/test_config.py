"""The training configuration."""

from pathlib import Path

import pytest

from trademl.config.reading import load_section, validate_section
from trademl.errors import ConfigError
from trademl.training.config import TrainingConfig, horizon_of

MODEL = {"kind": "lightgbm"}


def config(**fields: object) -> TrainingConfig:
    return validate_section({"model": MODEL, **fields}, TrainingConfig, origin="test")


def test_the_default_file_states_every_field(repository: Path) -> None:
    """configs/training/equities.yml names every field of the configuration and of its sections."""
    import yaml

    path = repository / "configs" / "training" / "equities.yml"
    stated = yaml.safe_load(path.read_text())
    read = load_section(path, TrainingConfig).model_dump()
    read["model"].pop("task")
    read["model"].pop("early_stopping_rounds")
    assert set(stated) == set(read)
    for section in ("validation", "data_gate", "model"):
        assert set(stated[section]) == set(read[section]), section


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    """A mistyped field is an error that names the field meant."""
    with pytest.raises(ConfigError, match="did you mean embargo"):
        config(validation={"embarg": 3})
    with pytest.raises(ConfigError, match="num_leafs is not a field; did you mean num_leaves"):
        config(model={"kind": "lightgbm", "num_leafs": 3})


@pytest.mark.parametrize(
    "fields",
    [
        {"start": "2020-02-01", "end": "2020-01-01"},
        {"features": []},
        {"tail_fraction": 0.6},
        {"regime": ["calm"]},
        {"validation": {"folds": 1}},
        {"data_gate": {"require": "RED"}},
    ],
)
def test_senseless_values_are_refused(fields: dict[str, object]) -> None:
    """A range that is empty, no feature, overlapping tails, an unknown regime, one fold and RED data are refused."""
    with pytest.raises(ConfigError):
        config(**fields)


def test_threads_do_not_make_another_run() -> None:
    """Two configurations that differ in threads only have one hash; another seed has another."""
    one = config(model={**MODEL, "threads": 1})
    two = config(model={**MODEL, "threads": 2})
    other = config(model={**MODEL, "seed": 8})
    assert one.hash() == two.hash()
    assert one.hash() != other.hash()


def test_the_horizon_is_the_last_number_of_a_label() -> None:
    """ret_1d looks 1 session ahead, fwd_20d 20, and the triple barrier of 2 and 1 sigma 10."""
    assert [horizon_of(label) for label in ("ret_1d", "fwd_20d", "tb_2_1_10")] == [1, 20, 10]
