"""The training configuration."""

from pathlib import Path

import pytest

from trademl.config.reading import load_section, validate_section
from trademl.errors import ConfigError
from trademl.training.config import TrainingConfig, choose_features, horizon_of

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
    assert set(stated) == set(TrainingConfig.model_fields)
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
        {"features": ["*_rank"], "feature_set": "core_v1"},
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


def test_a_set_stands_in_place_of_the_list() -> None:
    """A configuration chooses a list or a set; what it is written as reads back as itself."""
    chosen = config(feature_set="alpha158_v1")
    assert (chosen.features, chosen.feature_set) == ((), "alpha158_v1")
    assert validate_section(chosen.model_dump(), TrainingConfig, origin="test") == chosen
    with pytest.raises(ConfigError, match=r"feature_set='core_v1' and features=\['beta_60d'\] both choose the columns"):
        config(features=["beta_60d"], feature_set="core_v1")


def test_a_run_without_a_set_is_the_run_that_it_was() -> None:
    """The identity of a configuration that names no set has no such field, so its runs and trials keep their names."""
    plain = config()
    assert "feature_set" not in plain.identity()
    # Of the configuration {"model": {"kind": "lightgbm"}}, as the version before feature sets hashed it.
    assert plain.hash() == "99bd4eed17bc9d5a6b5aa340d279e46eb085910a8b80b8113cb3af16b01f7a12"
    assert config(feature_set="core_v1").identity()["feature_set"] == "core_v1"
    assert config(feature_set="core_v1").hash() != config(feature_set="core_v2").hash()


@pytest.mark.parametrize(
    "before, over, after",
    [
        ({"features": ["a"]}, {"feature_set": "x_v1"}, ((), "x_v1")),
        ({"feature_set": "x_v1"}, {"features": ["a"]}, (("a",), None)),
        ({"feature_set": "x_v1"}, {"feature_set": "y_v1"}, ((), "y_v1")),
        ({"features": ["a"]}, {"features": ["b"], "feature_set": None}, (("b",), None)),
        ({"feature_set": "x_v1"}, {}, ((), "x_v1")),
    ],
)
def test_the_later_choice_of_features_counts(
    before: dict[str, object], over: dict[str, object], after: tuple[tuple[str, ...], str | None]
) -> None:
    """A list put over a set replaces it, and the other way round; without a choice the first one stays."""
    merged = {**config(**before).model_dump(), **{name: value for name, value in over.items() if value is not None}}
    choose_features(merged, over)
    found = validate_section(merged, TrainingConfig, origin="test")
    assert (found.features, found.feature_set) == after


def test_the_horizon_is_the_last_number_of_a_label() -> None:
    """ret_1d looks 1 session ahead, fwd_20d 20, and the triple barrier of 2 and 1 sigma 10."""
    assert [horizon_of(label) for label in ("ret_1d", "fwd_20d", "tb_2_1_10")] == [1, 20, 10]
