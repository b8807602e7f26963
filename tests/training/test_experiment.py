"""Experiments: which cells there are, what a failure does, and that a rerun trains nothing twice."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.market import small_config
from trademl.config.home import Home
from trademl.config.reading import load_section, validate_section
from trademl.errors import ConfigError
from trademl.governance.ledger import trials_of
from trademl.lake.layout import layout_of
from trademl.sleeves.equities import EQUITIES, EquitiesConfig, train
from trademl.training.cross_validate import Silent
from trademl.training.experiment import (
    Cell,
    CellResult,
    ExperimentConfig,
    Pace,
    cell_trial,
    expand,
    read_experiment,
    read_model,
    run_cells,
)
from trademl.training.run import RunResult

TREES = {"name": "trees", "kind": "lightgbm", "n_rounds": 3, "num_leaves": 4, "min_data_in_leaf": 20, "seed": 7}
FEATURE = {"name": "feature", "kind": "momentum", "feature": "signal_rank"}


class Heard(Silent):
    """Remembers what it was told; ``stop_at`` interrupts when that cell begins."""

    def __init__(self, stop_at: int = 0) -> None:
        self.stop_at = stop_at
        self.begun: list[tuple[int, int, str, bool]] = []
        self.done: list[CellResult] = []

    def cell(self, number: int, total: int, cell: Cell, seconds_left: float | None) -> None:
        if number == self.stop_at:
            raise KeyboardInterrupt
        self.begun.append((number, total, cell.name, seconds_left is None))

    def cell_done(self, result: CellResult) -> None:
        self.done.append(result)


def experiment(**fields: Any) -> ExperimentConfig:
    """An experiment on the small market's configuration."""
    document = {"name": "small", "training": "training/small.yml", "models": ["ridge"], "labels": ["horizon"], **fields}
    return validate_section(document, ExperimentConfig, origin="experiment")


def cells_of(home: Home, **fields: Any) -> tuple[Cell, ...]:
    small_config(home)
    return expand(home, EQUITIES, EquitiesConfig, experiment(**fields))


def test_models_labels_and_horizons_are_crossed(home: Home) -> None:
    """Every model meets every label; `horizon` once per horizon, other labels once."""
    cells = cells_of(home, models=["ridge", TREES], labels=["horizon", "tb", "ret_1d"], horizons=[5, 20])
    assert [(cell.label, cell.model) for cell in cells] == [
        (label, model) for label in ("fwd_5d", "fwd_20d", "tb_2_1_10", "ret_1d") for model in ("ridge", "trees")
    ]
    assert cells[1].config.model.model_dump()["num_leaves"] == 4
    assert cells[2].config.k == 20


def test_an_override_of_features_replaces_the_configurations_choice(home: Home) -> None:
    """A feature set for all cells takes the place of the list in the training configuration, and a list of a set."""
    (cell,) = cells_of(home, overrides={"feature_set": "alpha158_v1"})
    assert (cell.config.features, cell.config.feature_set) == ((), "alpha158_v1")
    (cell,) = cells_of(home, overrides={"features": ["noise"]})
    assert (cell.config.features, cell.config.feature_set) == (("noise",), None)


def test_without_horizons_the_configuration_decides(home: Home) -> None:
    """`horizon` alone takes `k` of the training configuration, and its own `k` wins over `horizons`."""
    assert [cell.label for cell in cells_of(home)] == ["fwd_5d"]
    mixed = cells_of(home, labels=[{"label": "horizon", "k": 1}, "horizon"], horizons=[20])
    assert [cell.label for cell in mixed] == ["fwd_1d", "fwd_20d"]


def test_a_label_may_say_what_is_fitted(home: Home) -> None:
    """Task and target of a label replace those of the training configuration, and the cell's name tells the task."""
    plain, ranked, tails = cells_of(
        home,
        models=[TREES],
        labels=["ret_1d", {"label": "ret_1d", "target": "rank"}, {"label": "ret_1d", "task": "top_bottom"}],
    )
    assert (plain.config.target, ranked.config.target, tails.config.task) == ("demeaned", "rank", "top_bottom")
    assert (plain.name, tails.name) == ("ret_1d trees", "ret_1d top_bottom trees")


def test_overrides_are_put_over_the_configuration_field_by_field(home: Home) -> None:
    """A nested override changes its field and leaves the others of its section."""
    (cell,) = cells_of(home, overrides={"validation": {"folds": 6}, "symbols": ["S01"]})
    assert (cell.config.validation.folds, cell.config.validation.embargo) == (6, 3)
    assert cell.config.symbols == ("S01",)


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"model": ["ridge"]}, "model is not a field; did you mean models?"),
        ({"labels": [{"labl": "tb"}]}, "labl is not a field; did you mean label?"),
        ({"name": "../up"}, "name='../up'"),
        ({"models": []}, "models="),
        ({"models": ["rigde"]}, "'rigde' is neither a file of configs/models nor a family; did you mean ridge?"),
        ({"models": [{"kind": "ridge", "penalti": 1}]}, "penalti is not a field; did you mean penalty?"),
        ({"models": [{"penalty": 1}]}, "has no name"),
        ({"models": ["../ridge"]}, "has no name"),
        ({"models": ["ridge", {"name": "ridge", "kind": "lightgbm"}]}, "'ridge' occurs twice"),
        ({"horizons": [7]}, "fwd_7d"),
        ({"labels": ["tb"], "horizons": [5]}, "`labels` has no `horizon`"),
        ({"labels": ["horizon", "fwd_5d"]}, "'fwd_5d ridge' and 'fwd_5d ridge' are one and the same run"),
        ({"models": ["ridge", {"name": "same", "kind": "ridge"}]}, "are one and the same run"),
        ({"overrides": {"model": {"kind": "ridge"}}}, "overrides.model is what the cells differ in"),
        ({"overrides": {"validation": {"fold": 3}}}, "validation.fold is not a field; did you mean folds?"),
        ({"training": "training/none.yml"}, "no configuration file"),
        ({"training": "../small.yml"}, "lies outside configs/"),
    ],
)
def test_what_cannot_be_an_experiment_is_refused(home: Home, fields: dict[str, Any], said: str) -> None:
    """Each message names the field or value and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        cells_of(home, **fields)
    assert said in str(caught.value)
    assert caught.value.remedy


def test_a_model_is_a_file_or_a_family(home: Home) -> None:
    """A file of configs/models wins, whatever its name; a family without a file has its defaults."""
    folder = home.configs / "models"
    (folder / "stiff.yml").write_text("kind: ridge\npenalty: 3.0\n")
    (folder / "ridge.yml").unlink()
    assert read_model(home, "stiff").model_dump()["penalty"] == 3.0
    assert read_model(home, "ridge").model_dump()["penalty"] == 0.01
    (folder / "torn.yml").write_text("kind: [ridge\n")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_model(home, "torn")


def test_the_shipped_experiment_is_whole(home: Home) -> None:
    """configs/experiments/baseline.yml crosses five families with three labels."""
    found = read_experiment(home.configs / "experiments" / "baseline.yml")
    cells = expand(home, EQUITIES, EquitiesConfig, found)
    assert len({cell_trial(EQUITIES, cell) for cell in cells}) == len(cells) == 15
    assert {cell.label for cell in cells} == {"fwd_5d", "fwd_20d", "tb_2_1_10"}


def test_time_left_follows_the_models_own_pace(home: Home, tmp_path: Path) -> None:
    """Cells of a model seen before take its mean, others the mean of all; what was not trained now does not count."""
    slow, quick = cells_of(home, models=[TREES, "ridge"])
    pace = Pace()
    assert pace.left([slow, quick]) is None
    pace.add(CellResult(slow, None, "failed", 500.0))
    pace.add(CellResult(slow, finished(tmp_path, already=True), "", 1.0))
    assert pace.left([slow]) is None
    pace.add(CellResult(slow, finished(tmp_path), "", 30.0))
    pace.add(CellResult(slow, finished(tmp_path), "", 50.0))
    assert pace.left([slow, quick]) == 80.0
    pace.add(CellResult(quick, finished(tmp_path), "", 4.0))
    assert pace.left([slow, quick]) == 44.0


def finished(path: Path, *, already: bool = False) -> RunResult:
    return RunResult("r", path, "fwd_5d", 5, {}, {}, 0, already, None, "2020-01-01", 0)


def test_one_failure_does_not_stop_the_others(market: Home) -> None:
    """A label that does not exist is reported with its remedy; the cells after it are trained, and are trials."""
    cells = cells_of(market, models=["ridge", FEATURE], labels=["ret_9d", "ret_1d"])
    heard = Heard()
    results = run_cells(market, EQUITIES, cells, heard, mlflow=False)
    assert [result.run is None for result in results] == [True, True, False, False]
    assert "ret_9d" in results[0].error
    assert "remedy: labels are fwd_5d, ret_1d" in results[0].error
    assert [begun[:2] for begun in heard.begun] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [begun[3] for begun in heard.begun] == [True, True, True, False]
    assert tuple(heard.done) == results
    tried = trials_of(layout_of(market), "equities", "ret_1d")
    assert [trial for trial, _, _ in tried] == [cell_trial(EQUITIES, cell) for cell in cells[2:]]


def test_an_interrupted_experiment_goes_on_where_it_was(market: Home) -> None:
    """After a stop between cells the same command trains the rest alone; a third time it trains nothing."""
    cells = cells_of(market, models=["ridge", FEATURE, TREES], labels=["ret_1d"])
    with pytest.raises(KeyboardInterrupt):
        run_cells(market, EQUITIES, cells, Heard(stop_at=2), mlflow=False)
    second = run_cells(market, EQUITIES, cells, Heard(), mlflow=False)
    third = run_cells(market, EQUITIES, cells, Heard(), mlflow=False)
    assert [result.run.already_trained for result in second if result.run] == [True, False, False]
    assert [result.run.already_trained for result in third if result.run] == [True, True, True]
    assert [result.run.run_id for result in third if result.run] == [
        result.run.run_id for result in second if result.run
    ]


def test_a_cell_is_the_run_of_the_training_command(market: Home) -> None:
    """Training a cell's configuration by itself finds the cell's run finished."""
    document = yaml.safe_load(small_config(market).read_text())
    small_config(market, model={"kind": "ridge", "penalty": 0.01})
    alone = train(market, load_section(market.configs / "training" / "small.yml", EquitiesConfig), mlflow=False)
    (market.configs / "training" / "small.yml").write_text(yaml.safe_dump(document))
    cells = expand(market, EQUITIES, EquitiesConfig, experiment())
    (result,) = run_cells(market, EQUITIES, cells, Heard(), mlflow=False)
    assert result.run is not None
    assert (result.run.run_id, result.run.already_trained) == (alone.run_id, True)
