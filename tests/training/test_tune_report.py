"""The report of a study: order, table, best configuration."""

import csv
import math
from pathlib import Path

import pytest

from tests.governance.test_gate_run import with_marts
from tests.training.market import change, small_config
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.sleeves.equities import EQUITIES, EquitiesConfig
from trademl.training.search import SearchSpace
from trademl.training.tune import tune_sleeve
from trademl.training.tune_report import StudyReport, spread_over_paths
from trademl.training.tune_trial import Outcome

SPACE = SearchSpace.model_validate({"kind": "ridge", "parameters": {"penalty": {"values": [0.01, 1.0, 100.0, 1e4]}}})


def study(home: Home, trials: int = 4) -> StudyReport:
    config = load_section(small_config(home, model={"kind": "ridge"}, target="rank"), EquitiesConfig)
    return tune_sleeve(home, EQUITIES, config, SPACE, trials=trials, command="trademl tune equities")


def test_trials_stand_best_first_in_every_form(market: Home) -> None:
    """Table, report and CSV agree; best.yml is the first one's configuration, whole; the plot is a picture."""
    with_marts(market)
    report = study(market)
    values = [trial.outcome.value or -1.0 for trial in report.trials]
    assert values == sorted(values, reverse=True)
    with (report.folder / "trials.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [int(row["trial"]) for row in table] == [trial.number for trial in report.trials]
    assert [float(row["rank_ic"]) for row in table] == values
    assert report.best is not None
    best = load_section(report.best, EquitiesConfig)
    assert best.model.model_dump()["penalty"] == report.trials[0].params["penalty"]
    assert (best.target, best.features) == ("rank", ("*_rank", "noise"))
    assert (report.folder / "history.png").read_bytes().startswith(b"\x89PNG")


def test_the_choice_is_judged_beside_strategies_without_a_signal(market: Home) -> None:
    """With a planted signal every trial is good: PBO among them is high or low by chance, beside noise it is 0."""
    with_marts(market)
    choice = study(market).choice
    assert choice is not None
    assert (choice.trials, choice.with_returns, choice.sessions) == (4, 4, 155)
    assert choice.pbo_with_no_signal == 0.0
    assert choice.pbo is not None
    assert 0.0 <= choice.pbo <= 1.0
    assert choice.dsr is not None
    assert choice.dsr > 0.99
    assert choice.notes == ()


def test_what_cannot_be_measured_is_said(market: Home) -> None:
    """Without the mart there are no returns; with one trial there is no choice."""
    choice = study(market, 2).choice
    assert choice is not None
    assert (choice.pbo, choice.dsr) == (None, None)
    assert "no daily returns" in choice.notes[0]


def test_one_trial_is_no_choice(market: Home) -> None:
    """There is no PBO of a single trial, and its Sharpe ratio is deflated by one trial: not at all."""
    with_marts(market)
    choice = study(market, 1).choice
    assert choice is not None
    assert choice.pbo is None
    assert any("fewer than 2 trials" in note for note in choice.notes)


def test_a_market_without_the_baselines_features_has_no_references(market: Home) -> None:
    """The features that baselines rank by may be missing: that is a note and no failure."""
    with_marts(market)
    change(
        market,
        "alter table gold.equities_features drop column momentum_126d_rank",
        build_id="b9",
    )
    choice = study(market, 2).choice
    assert choice is not None
    assert choice.pbo_with_no_signal is None
    assert any("no strategies without a signal" in note for note in choice.notes)


@pytest.mark.parametrize(
    "paths, spread", [((), None), ((0.1,), None), ((0.1, math.nan), None), ((0.0, 0.2), 0.02**0.5)]
)
def test_the_spread_is_over_known_paths(paths: tuple[float, ...], spread: float | None) -> None:
    """With fewer than two of them there is none."""
    found = spread_over_paths(Outcome("r", "finished", paths=paths))
    assert found == (None if spread is None else pytest.approx(spread))


def test_a_study_has_its_own_folder(market: Home) -> None:
    """Without a name it is made of label, family and settings."""
    folder: Path = study(market, 1).folder
    assert folder.parent == market.models_artifacts / "equities" / "studies"
    assert folder.name.startswith("fwd_5d-ridge-")
