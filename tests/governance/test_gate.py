"""Every bar refuses what it is for, by its own name, and nothing passes because it was not measured."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trademl.config.reading import load_section
from trademl.errors import ModelError
from trademl.governance.gate import Bar, Calibration, Decision, Evidence, PromotionPolicy, Shadow, judge

POLICY = PromotionPolicy()
PERIODS = 1000


def series(sharpe: float, seed: int, periods: int = PERIODS, volatility: float = 0.004) -> np.ndarray:
    """Return daily returns with exactly this annual Sharpe ratio."""
    draws = np.random.default_rng(seed).normal(size=periods)
    draws = (draws - draws.mean()) / draws.std(ddof=1)
    return volatility * (draws + sharpe / math.sqrt(252))


def evidence(**changes: Any) -> Evidence:
    """Return the evidence on a good run among ten trials, with ``changes``."""
    good = series(3.0, 0)
    trials = np.column_stack([good, *(series(1.5 - 0.1 * k, k + 1) for k in range(9))])
    blank = np.column_stack([series(0.0, 100 + k) for k in range(20)])
    facts: dict[str, Any] = {
        "run_id": "run",
        "sleeve": "equities",
        "label": "fwd_5d",
        "returns": good,
        "turnover": 0.4,
        "trials": trials,
        "no_signal": blank,
        "n_trials": 10,
        "leakage_violations": 0,
        "leakage_checks": 12,
        "artifact_fault": None,
        "data_faults": 0,
        "data_age": 0,
        "calibration": Calibration(0.01, 0.2490, 0.2499),
        "shadow": Shadow(25, series(2.0, 5, 25), 0.05),
    }
    return Evidence(**{**facts, **changes})


def failed(**changes: Any) -> set[str]:
    return {bar.name for bar in judge(evidence(**changes), POLICY).failed}


def test_a_good_run_passes_every_bar() -> None:
    """A good run passes every bar."""
    decision = judge(evidence(), POLICY)
    assert decision.passed, decision.failed
    assert {bar.name for bar in decision.bars} >= {"leakage", "sharpe", "dsr", "dsr_excess", "pbo", "shadow_profit"}


@pytest.mark.parametrize(
    "changes, names",
    [
        ({"leakage_violations": 1}, {"leakage"}),
        ({"leakage_violations": None}, {"leakage"}),
        ({"leakage_checks": 0}, {"leakage"}),
        ({"artifact_fault": "model.txt has another hash"}, {"artifacts"}),
        ({"data_faults": 2}, {"data_green"}),
        ({"data_faults": None}, {"data_green"}),
        ({"data_age": 6}, {"data_fresh"}),
        ({"data_age": None}, {"data_fresh"}),
        ({"turnover": 0.61}, {"turnover"}),
        ({"turnover": math.nan}, {"turnover"}),
        ({"calibration": None}, {"calibration", "brier"}),
        ({"calibration": Calibration(0.06, 0.2490, 0.2499)}, {"calibration"}),
        ({"calibration": Calibration(0.01, 0.2500, 0.2499)}, {"brier"}),
        ({"shadow": None}, {"shadow_sessions", "shadow_profit", "shadow_drift"}),
        ({"shadow": Shadow(19, series(2.0, 5, 25), 0.05)}, {"shadow_sessions"}),
        ({"shadow": Shadow(25, -abs(series(2.0, 5, 25)), 0.05)}, {"shadow_profit"}),
        ({"shadow": Shadow(25, np.empty(0), 0.05)}, {"shadow_profit"}),
        ({"shadow": Shadow(25, series(2.0, 5, 25), 0.26)}, {"shadow_drift"}),
        ({"no_signal": np.column_stack([series(0.0, 100 + k) for k in range(19)])}, {"no_signal"}),
    ],
)
def test_each_bar_refuses_by_its_own_name(changes: dict[str, Any], names: set[str]) -> None:
    """Each bar refuses by its own name."""
    assert failed(**changes) == names


def test_a_low_sharpe_ratio_fails_sharpe_and_what_follows_from_it() -> None:
    """A low sharpe ratio fails sharpe and what follows from it."""
    weak = series(0.9, 0)
    trials = np.column_stack([weak, *(series(0.0, k + 1) for k in range(9))])
    assert {"sharpe", "dsr", "track_record"} <= failed(returns=weak, trials=trials)


def test_the_same_record_fails_when_more_was_tried() -> None:
    """A Sharpe ratio of 1.7 over four years is evidence from one trial and luck from ten thousand."""
    record = series(1.7, 0)
    few = {bar.name: bar for bar in judge(evidence(returns=record, n_trials=2), POLICY).bars}
    many = {bar.name: bar for bar in judge(evidence(returns=record, n_trials=10_000), POLICY).bars}
    assert few["dsr"].value is not None
    assert many["dsr"].value is not None
    assert few["dsr"].value > many["dsr"].value
    assert many["dsr"].verdict == "fail"


def test_a_drawdown_is_refused() -> None:
    """A drawdown is refused."""
    crashed = series(3.0, 0).copy()
    crashed[400:430] -= 0.01
    assert "max_drawdown" in failed(returns=crashed)


def test_a_short_record_is_refused() -> None:
    """A short record is refused."""
    short = {name: getattr(evidence(), name)[:200] for name in ("returns", "trials", "no_signal")}
    assert "sessions" in failed(**short)


def test_the_best_of_noise_overfits() -> None:
    """The best of noise overfits."""
    noise = np.column_stack([series(0.0, k) + 1e-5 * k for k in range(10)])
    best = int(np.argmax(noise.mean(axis=0)))
    assert {"pbo", "probability_of_loss"} <= failed(returns=noise[:, best], trials=noise)


def test_equally_good_trials_do_not_overfit() -> None:
    """Trials alone would give a PBO near one half; strategies without a signal show what the choice is worth."""
    equal = np.column_stack([series(3.0, k) for k in range(20)])
    bars = {bar.name: bar for bar in judge(evidence(returns=equal[:, 0], trials=equal), POLICY).bars}
    assert bars["pbo"].verdict == "pass"


def test_a_challenger_must_beat_the_champion_on_the_same_dates() -> None:
    """A challenger must beat the champion on the same dates."""
    weaker, equal = series(0.5, 77), evidence().returns.copy()
    facts = {"champion": "old", "champion_calibration": Calibration(0.01, 0.2490, 0.2499)}
    assert failed(champion_returns=weaker, **facts) == set()
    assert failed(champion_returns=equal, **facts) == {"beats_champion"}
    assert failed(champion_returns=None, **facts) == {"beats_champion"}


def test_a_champion_with_better_probabilities_stays() -> None:
    """A champion with better probabilities stays."""
    facts = {"champion": "old", "champion_returns": series(0.5, 77)}
    assert failed(champion_calibration=Calibration(0.01, 0.2479, 0.2499), **facts) == {"brier_champion"}
    assert failed(champion_calibration=None, **facts) == {"brier_champion"}


def test_a_stacked_model_must_beat_its_best_input() -> None:
    """A stacked model must beat its best input."""
    assert failed(best_sleeve=series(3.1, 9)) == {"stacker"}
    assert failed(best_sleeve=series(2.0, 9)) == set()


def test_constant_returns_are_no_record() -> None:
    """Constant returns are no record."""
    flat = np.zeros(PERIODS)
    trials = np.column_stack([flat, series(0.1, 1)])
    assert {"sharpe", "max_drawdown", "dsr"} <= failed(returns=flat, trials=trials)


def test_series_of_other_lengths_are_an_error() -> None:
    """Series of other lengths are an error."""
    with pytest.raises(ModelError, match="trials has shape"):
        judge(evidence(trials=np.zeros((10, 2))), POLICY)
    broken = evidence().returns.copy()
    broken[3] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        judge(evidence(returns=broken), POLICY)


def test_every_reason_names_value_and_limit() -> None:
    """Every reason names value and limit."""
    for bar in judge(evidence(), POLICY).bars:
        assert bar.reason
        if bar.value is not None and bar.bound is not None and bar.name != "artifacts":
            assert f"{bar.bound:g}" in bar.reason


def test_a_decision_without_bars_never_passes() -> None:
    """A decision without bars never passes."""
    assert not Decision("run", "equities", "fwd_5d", (), None).passed


def test_an_unknown_verdict_counts_as_failed() -> None:
    """An unknown verdict counts as failed."""
    bar = Bar("x", 1.0, 0.0, "fail", "because")
    assert Decision("run", "equities", "fwd_5d", (bar,), None).failed == (bar,)


def test_the_shipped_policy_is_the_default(repository: Path) -> None:
    """The shipped policy is the default."""
    shipped = load_section(repository / "configs" / "promotion.yml", PromotionPolicy)
    assert shipped == POLICY
    assert {field.name for field in dataclasses.fields(Evidence)} >= {"leakage_violations", "shadow", "no_signal"}
