"""The gate: whether the evidence on a run suffices for production, bar by bar.

Judging is a pure function of an :class:`Evidence` and a :class:`PromotionPolicy` (configs/promotion.yml), so a study of
simulated research campaigns judges exactly as `trademl gate` does. Evidence that is missing fails its bar: a bar is
never skipped because nobody measured it.

The matrix behind the probability of backtest overfitting (PBO) holds the sleeve's trials and at least as many
registered strategies without a signal. Among equally good trials the best in sample ranks anywhere, so trials alone
give a PBO of one half however good they are; against strategies without a signal a good choice ranks in the upper half
(ADR 8).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl.config.reading import Section
from trademl.errors import ModelError
from trademl.validation.bootstrap import paired_test
from trademl.validation.effective_trials import effective_trials
from trademl.validation.pbo import probability_of_overfitting
from trademl.validation.performance import max_drawdown
from trademl.validation.sharpe import (
    ReturnMoments,
    expected_maximum_sharpe,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    return_moments,
)

FloatArray = NDArray[np.float64]
Verdict = Literal["pass", "fail"]

POLICY_FILE = "promotion.yml"


class PromotionPolicy(Section):
    """The bars of configs/promotion.yml. Sharpe ratios are annual, of net daily returns; shares are 0 to 1."""

    strategy: Literal["long_short", "long_only"] = "long_short"
    periods_per_year: int = Field(252, ge=1, le=366)
    min_sessions: int = Field(250, ge=20)
    min_sharpe: float = 1.0
    max_drawdown: float = Field(0.20, gt=0.0, le=1.0)
    min_dsr: float = Field(0.95, ge=0.5, lt=1.0)
    max_pbo: float = Field(0.05, ge=0.0, le=0.5)
    pbo_blocks: int = Field(16, ge=4, le=20, multiple_of=2)
    max_probability_of_loss: float = Field(0.05, ge=0.0, le=0.5)
    min_no_signal: int = Field(20, ge=10, le=1000)
    max_turnover: float = Field(0.60, gt=0.0, le=4.0)
    max_calibration_error: float = Field(0.05, gt=0.0, le=1.0)
    max_brier_above_base: float = Field(0.0, ge=0.0, le=0.1)
    max_brier_above_champion: float = Field(0.001, ge=0.0, le=0.1)
    min_shadow_sessions: int = Field(20, ge=0, le=504)
    max_shadow_drift: float = Field(0.25, gt=0.0, le=5.0)
    max_data_age_sessions: int = Field(5, ge=0, le=252)
    max_p_against_champion: float = Field(0.05, gt=0.0, le=0.5)
    seed: int = 7


@dataclass(frozen=True)
class Bar:
    """One judged bar: what was measured (None: nothing), the limit, the verdict, and a sentence with the remedy."""

    name: str
    value: float | None
    bound: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Decision:
    """Every bar of a run. ``champion`` is the run it was compared with, None when the sleeve has none."""

    run_id: str
    sleeve: str
    label: str
    bars: tuple[Bar, ...]
    champion: str | None

    @property
    def passed(self) -> bool:
        """Whether every bar passed."""
        return bool(self.bars) and not self.failed

    @property
    def failed(self) -> tuple[Bar, ...]:
        """The bars that failed."""
        return tuple(bar for bar in self.bars if bar.verdict != "pass")


@dataclass(frozen=True)
class Calibration:
    """Out-of-fold quality of a run's probabilities: expected calibration error, Brier score, and the base rate's."""

    error: float
    brier: float
    base_brier: float


@dataclass(frozen=True)
class Shadow:
    """What a challenger did beside the champion.

    Attributes:
        sessions: sessions scored. returns: net daily returns of the scores whose labels are over, shape (periods,).
        drift: population stability index of the shadow scores against the out-of-fold ones.
    """

    sessions: int
    returns: FloatArray
    drift: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a run. Every array of returns is net of cost, one row a session, over the run's own dates.

    Attributes:
        returns: the run, shape (T,). turnover: its mean one-way turnover a session.
        trials: every trial of the sleeve and label that has returns on these dates, the run among them, shape (T, n).
        no_signal: registered strategies without a signal and baselines, shape (T, m).
        n_trials: distinct configurations in the ledger, with returns or without.
        leakage_violations, leakage_checks: sums over the stored audit of the run; None when there is none.
        artifact_fault: why the run folder does not verify; None when it does.
        data_faults: sessions of the training data or of the latest sessions that are not GREEN.
        data_age: sessions with data that the run was neither fitted on nor scored in shadow.
        champion_returns: the champion on the same dates, None when there is no champion.
        best_sleeve: for a stacked model, the returns of its best single input on the same dates.
    """

    run_id: str
    sleeve: str
    label: str
    returns: FloatArray
    turnover: float
    trials: FloatArray
    no_signal: FloatArray
    n_trials: int
    leakage_violations: int | None
    leakage_checks: int
    artifact_fault: str | None
    data_faults: int | None
    data_age: int | None
    calibration: Calibration | None
    shadow: Shadow | None
    champion: str | None = None
    champion_returns: FloatArray | None = None
    champion_calibration: Calibration | None = None
    best_sleeve: FloatArray | None = None
    notes: tuple[str, ...] = field(default=())


def judge(evidence: Evidence, policy: PromotionPolicy) -> Decision:
    """Judge every bar; none is left out, and what cannot be measured fails.

    Raises:
        ModelError: the arrays of the evidence do not fit each other.
    """
    _check(evidence)
    bars = [
        _leakage(evidence),
        _artifacts(evidence),
        _data_green(evidence),
        _data_fresh(evidence, policy),
        _turnover(evidence, policy),
        *_track_record(evidence, policy),
        *_overfitting(evidence, policy),
        *_calibration(evidence, policy),
        *_shadow(evidence, policy),
        _champion(evidence, policy),
    ]
    if evidence.best_sleeve is not None:
        bars.append(_stacker(evidence, policy))
    return Decision(evidence.run_id, evidence.sleeve, evidence.label, tuple(bars), evidence.champion)


def _at_most(name: str, value: float | None, bound: float, what: str, remedy: str) -> Bar:
    return _compare(name, value, bound, lambda x: x <= bound, what, f"at most {bound:g}", remedy)


def _at_least(name: str, value: float | None, bound: float, what: str, remedy: str) -> Bar:
    return _compare(name, value, bound, lambda x: x >= bound, what, f"at least {bound:g}", remedy)


def _compare(
    name: str, value: float | None, bound: float, holds: Callable[[float], bool], what: str, limit: str, remedy: str
) -> Bar:
    if value is None or math.isnan(value):
        return Bar(name, None, bound, "fail", f"{what} was not measured, {limit} is asked; {remedy}")
    if holds(value):
        return Bar(name, value, bound, "pass", f"{what} is {value:.4g}, {limit} is asked")
    return Bar(name, value, bound, "fail", f"{what} is {value:.4g}, {limit} is asked; {remedy}")


def _leakage(evidence: Evidence) -> Bar:
    count = evidence.leakage_violations if evidence.leakage_checks else None
    what = f"the sum of violations over {evidence.leakage_checks} audit checks"
    return _at_most("leakage", None if count is None else float(count), 0.0, what, "train again without the leak")


def _artifacts(evidence: Evidence) -> Bar:
    fault = evidence.artifact_fault
    reason = "every file of the run folder has the size and hash of its manifest"
    if fault is not None:
        return Bar("artifacts", 1.0, 0.0, "fail", f"{fault}; restore the run folder or train again")
    return Bar("artifacts", 0.0, 0.0, "pass", reason)


def _data_green(evidence: Evidence) -> Bar:
    faults = evidence.data_faults
    what = "the number of sessions that are not GREEN"
    return _at_most(
        "data_green", None if faults is None else float(faults), 0.0, what, "backfill them, build, train again"
    )


def _data_fresh(evidence: Evidence, policy: PromotionPolicy) -> Bar:
    age = None if evidence.data_age is None else float(evidence.data_age)
    what = "the number of sessions that the run was neither fitted on nor scored in shadow"
    return _at_most("data_fresh", age, float(policy.max_data_age_sessions), what, "train again on today's data")


def _turnover(evidence: Evidence, policy: PromotionPolicy) -> Bar:
    what = "mean one-way turnover a session"
    return _at_most(
        "turnover", evidence.turnover, policy.max_turnover, what, "lengthen the horizon or smooth the score"
    )


def _track_record(evidence: Evidence, policy: PromotionPolicy) -> list[Bar]:
    """Judge length, Sharpe ratio, drawdown, and the Sharpe ratio deflated by everything that was tried."""
    returns, year = evidence.returns, math.sqrt(policy.periods_per_year)
    length = _at_least(
        "sessions", float(len(returns)), float(policy.min_sessions), "the track record in sessions", "use more history"
    )
    moments = _moments(returns)
    if moments is None:
        lost = "use predictions that trade on more dates"
        bounds = (("sharpe", policy.min_sharpe), ("max_drawdown", policy.max_drawdown), ("dsr", policy.min_dsr))
        return [length, *(_at_least(name, None, bound, f"{name} of the net returns", lost) for name, bound in bounds)]
    luck = luck_of(evidence)
    threshold = luck.threshold
    probability, published = (
        probabilistic_sharpe_ratio(
            moments.sharpe, moments.n, skew=moments.skew, kurtosis=moments.kurtosis, benchmark=benchmark
        )
        for benchmark in (luck.threshold, luck.published)
    )
    tried = f"{luck.trials} trials ({luck.effective:g} effective; with the variance seen across them {published:.3f})"
    needed = math.inf
    if moments.sharpe > threshold:
        needed = minimum_track_record_length(
            moments.sharpe,
            benchmark=threshold,
            skew=moments.skew,
            kurtosis=moments.kurtosis,
            confidence=policy.min_dsr,
        )
    return [
        length,
        _at_least(
            "sharpe", moments.sharpe * year, policy.min_sharpe, "the annual Sharpe ratio, net", "find more signal"
        ),
        _at_most(
            "max_drawdown", _drawdown(returns), policy.max_drawdown, "the maximum drawdown, net", "hold less risk"
        ),
        _at_least(
            "dsr_excess",
            (moments.sharpe - threshold) * year,
            0.0,
            f"the annual Sharpe ratio less that of the luckiest of {luck.trials} trials",
            "fewer trials or more signal: nobody can raise it by trying again",
        ),
        _at_least(
            "dsr", probability, policy.min_dsr, f"the deflated Sharpe ratio over {tried}", "gather more sessions"
        ),
        _at_most(
            "track_record",
            needed,
            float(moments.n),
            f"the minimum track record length against the luckiest of {luck.trials} trials, in sessions",
            "gather more sessions",
        ),
    ]


@dataclass(frozen=True)
class Luck:
    """What the luckiest of the trials would show without any skill.

    Attributes:
        trials: configurations in the ledger. effective: the same with clusters of correlated trials counted once.
        correlation: mean correlation of two trials' returns, 0 for a pair without returns.
        threshold: expected Sharpe ratio per period of the luckiest, which judges.
        published: the same by the formula of Bailey & Lopez de Prado (2014) with the variance seen across trials.
    """

    trials: int
    effective: float
    correlation: float
    threshold: float
    published: float


def luck_of(evidence: Evidence) -> Luck:
    """Return the Sharpe ratio to expect of the luckiest trial.

    Under the null hypothesis that no trial has skill, each estimated Sharpe ratio is normal with variance 1 / (T - 1),
    and two have the correlation of their returns. Of N equally correlated normals the largest is expected
    ``sqrt((1 - r) / (T - 1))`` times the standard maximum above what they share. The variance seen across trials, which
    the published formula takes, estimates the same where nobody has skill; where trials differ in skill it counts their
    skill as luck and refuses what it should find (ADR 8 has the figures). A second threshold takes the effective number
    of trials (clusters: Lopez de Prado & Lewis 2019) at full variance; the higher of the two judges. A trial without
    returns, failed or killed, counts whole in both.
    """
    returns, periods = evidence.trials, max(len(evidence.returns) - 1, 1)
    number = max(evidence.n_trials, returns.shape[1], 1)
    sharpes = _sharpes(returns)
    seen = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else 0.0
    correlation, clusters = 0.0, float(min(returns.shape[1], 1))
    if len(sharpes) > 1:
        matrix = np.corrcoef(returns[:, returns.std(axis=0) > 0.0], rowvar=False)
        between = float(matrix.sum() - np.trace(matrix))
        correlation = min(max(between / (number * (number - 1)), 0.0), 1.0)
        clusters = float(effective_trials(returns).n_effective)
    effective = max(clusters + number - returns.shape[1], 1.0)
    shared = expected_maximum_sharpe(float(number), (1.0 - correlation) / periods)
    clustered = expected_maximum_sharpe(effective, 1.0 / periods)
    published = expected_maximum_sharpe(float(number), seen)
    return Luck(number, effective, correlation, max(shared, clustered), published)


def _overfitting(evidence: Evidence, policy: PromotionPolicy) -> list[Bar]:
    """Judge what choosing among the trials was worth out of sample, by combinatorially symmetric cross-validation."""
    wanted = max(policy.min_no_signal, evidence.trials.shape[1])
    registered = _at_least(
        "no_signal",
        float(evidence.no_signal.shape[1]),
        float(wanted),
        "the number of strategies without a signal in the PBO matrix",
        "the gate registers them itself; see docs/governance.md",
    )
    pbo, loss = None, None
    if len(evidence.returns) >= 2 * policy.pbo_blocks:
        found = probability_of_overfitting(np.hstack([evidence.trials, evidence.no_signal]), n_blocks=policy.pbo_blocks)
        pbo, loss = found.pbo, found.probability_of_loss
    what = f"the probability of overfitting over {evidence.trials.shape[1]} trials"
    return [
        registered,
        _at_most("pbo", pbo, policy.max_pbo, what, "a winner that changes with the sample is luck: find more signal"),
        _at_most(
            "probability_of_loss",
            loss,
            policy.max_probability_of_loss,
            "the probability that the choice loses out of sample",
            "find more signal or trade less",
        ),
    ]


def _calibration(evidence: Evidence, policy: PromotionPolicy) -> list[Bar]:
    own, theirs = evidence.calibration, evidence.champion_calibration
    bars = [
        _at_most(
            "calibration",
            own.error if own else None,
            policy.max_calibration_error,
            "the expected calibration error",
            "calibrate again on out-of-fold predictions",
        ),
        _at_most(
            "brier",
            own.brier - own.base_brier if own else None,
            policy.max_brier_above_base,
            "the Brier score less the base rate's",
            "probabilities that are worse than the base rate must not be used",
        ),
    ]
    if evidence.champion is not None:
        difference = own.brier - theirs.brier if own and theirs else None
        bound = policy.max_brier_above_champion
        bars.append(_at_most("brier_champion", difference, bound, "the Brier score less the champion's", "calibrate"))
    return bars


def _shadow(evidence: Evidence, policy: PromotionPolicy) -> list[Bar]:
    shadow = evidence.shadow
    sessions = _at_least(
        "shadow_sessions",
        float(shadow.sessions) if shadow else 0.0,
        float(policy.min_shadow_sessions),
        "the number of sessions scored in shadow",
        "run `trademl shadow equities RUN` until it has them",
    )
    if policy.min_shadow_sessions == 0:
        return [sessions]
    profit = float(shadow.returns.sum()) if shadow and len(shadow.returns) else None
    return [
        sessions,
        _at_least("shadow_profit", profit, 0.0, "the net return in shadow", "leave it in shadow, or drop it"),
        _at_most(
            "shadow_drift",
            shadow.drift if shadow else None,
            policy.max_shadow_drift,
            "the stability index of shadow against out-of-fold scores",
            "find out what changed in the data",
        ),
    ]


def _champion(evidence: Evidence, policy: PromotionPolicy) -> Bar:
    if evidence.champion is None:
        return Bar("beats_champion", None, None, "pass", "the sleeve has no champion to beat")
    p_value = None
    if evidence.champion_returns is not None:
        p_value = paired_test(evidence.returns, evidence.champion_returns, seed=policy.seed).p_value
    what = f"the p-value of beating champion {evidence.champion} on the same dates"
    return _at_most("beats_champion", p_value, policy.max_p_against_champion, what, "leave the champion in place")


def _stacker(evidence: Evidence, policy: PromotionPolicy) -> Bar:
    assert evidence.best_sleeve is not None
    year = math.sqrt(policy.periods_per_year)
    own, best = (_moments(series) for series in (evidence.returns, evidence.best_sleeve))
    excess = (own.sharpe - best.sharpe) * year if own and best else None
    what = "the stacked model's annual Sharpe ratio less its best input's"
    return _at_least("stacker", excess, 0.0, what, "promote the input instead")


def _moments(returns: FloatArray) -> ReturnMoments | None:
    if len(returns) < 20 or not np.ptp(returns) > 0.0:
        return None
    return return_moments(returns)


def _drawdown(returns: FloatArray) -> float:
    # Nothing comes back from a loss of everything.
    return max_drawdown(returns) if float(returns.min()) > -1.0 else 1.0


def _sharpes(returns: FloatArray) -> FloatArray:
    deviation = returns.std(axis=0, ddof=1) if len(returns) > 1 else np.zeros(returns.shape[1])
    moving = deviation > 0.0
    return np.asarray(returns.mean(axis=0)[moving] / deviation[moving], dtype=np.float64)


def _check(evidence: Evidence) -> None:
    periods = len(evidence.returns)
    shapes = {"trials": evidence.trials.shape, "no_signal": evidence.no_signal.shape}
    if evidence.champion_returns is not None:
        shapes["champion_returns"] = evidence.champion_returns.shape
    if evidence.best_sleeve is not None:
        shapes["best_sleeve"] = evidence.best_sleeve.shape
    wrong = {name: shape for name, shape in shapes.items() if shape[0] != periods}
    if wrong:
        said = ", ".join(f"{name} has shape {shape}" for name, shape in wrong.items())
        raise ModelError(
            f"the run has {periods} returns, but {said}",
            remedy="align every series on the run's own dates",
        )
    for name in ("returns", "trials", "no_signal"):
        if not np.isfinite(getattr(evidence, name)).all():
            raise ModelError(f"{name} has values that are not finite", remedy="leave out series with gaps")
