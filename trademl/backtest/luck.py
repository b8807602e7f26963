"""How much of a backtest is luck, by the ledger of trials: the gate's own deflated Sharpe ratio and PBO.

The trials are those of the run's sleeve and label, with the returns that ``ops.trial_returns`` holds; the backtest
stands in for its run among them, for it is what would be traded. Nothing is registered here: strategies without a
signal, which PBO needs, are the gate's to add.
"""

import math
from dataclasses import dataclass

import numpy as np

from trademl.backtest.run import SLEEVE, Finished
from trademl.governance.decisions import Recorded, read_decisions
from trademl.governance.gate import Evidence, PromotionPolicy, luck_of
from trademl.governance.ledger import trials_of
from trademl.governance.returns import aligned, baseline_names, no_signal_names, recorded_runs, series
from trademl.lake.layout import Layout
from trademl.validation.pbo import probability_of_overfitting
from trademl.validation.sharpe import probabilistic_sharpe_ratio, return_moments


@dataclass(frozen=True)
class Luck:
    """The backtest against the luckiest of all trials.

    Attributes:
        trials: configurations in the ledger on the sleeve and label. compared: of them, with returns on these dates.
        no_signal: strategies without a signal in the PBO matrix.
        dsr: probability that the true Sharpe ratio is above that of the luckiest trial without skill; NaN without
            variation.
        threshold: that Sharpe ratio, annual.
        pbo: probability of backtest overfitting; NaN before the gate registered strategies without a signal.
        verdict: the gate's last decision on the run; None: it was not judged yet.
    """

    trials: int
    compared: int
    no_signal: int
    dsr: float
    threshold: float
    pbo: float
    verdict: Recorded | None

    @property
    def said(self) -> str:
        """The verdict in words."""
        if self.verdict is None:
            return "not judged yet"
        failed = [bar.name for bar in self.verdict.bars if bar.verdict != "pass"]
        told = f"refused by {len(failed)} of {len(self.verdict.bars)} bars: {', '.join(failed)}"
        return told if failed else f"passed all {len(self.verdict.bars)} bars"


def luck_in(layout: Layout, finished: Finished, policy: PromotionPolicy) -> Luck:
    """Deflate a backtest's net returns by everything that was tried.

    Raises:
        PromotionError: the decisions on the sleeve do not add up.
    """
    request, label = finished.request, finished.label
    tried = trials_of(layout, SLEEVE, label)
    others = [other for _, other, _ in tried if other != request.run_id]
    registered = recorded_runs(layout)
    blanks = no_signal_names(SLEEVE, label, request.run_id, max(policy.min_no_signal, len(tried)))
    references = [name for name in (*blanks, *baseline_names(SLEEVE, label, request.run_id)) if name in registered]
    found = series(layout, [*others, *references], policy.strategy)
    dates = [day.item() for day in finished.days.date[1:]]
    # A series that begins or ends a few sessions elsewhere earned nothing on the others.
    trials, kept = aligned(found, others, dates, idle=True)
    blank, listed = aligned(found, references, dates, idle=True)
    net = finished.days.net
    evidence = Evidence(
        run_id=request.run_id,
        sleeve=SLEEVE,
        label=label,
        returns=net,
        turnover=finished.figures.turnover,
        trials=np.column_stack([net, trials]),
        no_signal=blank,
        n_trials=len(tried),
        leakage_violations=None,
        leakage_checks=0,
        artifact_fault=None,
        data_faults=None,
        data_age=None,
        calibration=None,
        shadow=None,
        champion=None,
    )
    luck = luck_of(evidence)
    pbo = math.nan
    if listed and len(net) >= 2 * policy.pbo_blocks:
        pbo = probability_of_overfitting(np.hstack([evidence.trials, blank]), n_blocks=policy.pbo_blocks).pbo
    decisions = [made for made in read_decisions(layout, SLEEVE) if made.run_id == request.run_id and made.bars]
    return Luck(
        trials=luck.trials,
        compared=1 + len(kept),
        no_signal=len(listed),
        dsr=_deflated(net, luck.threshold),
        threshold=luck.threshold * math.sqrt(policy.periods_per_year),
        pbo=pbo,
        verdict=decisions[-1] if decisions else None,
    )


def _deflated(net: np.ndarray[tuple[int], np.dtype[np.float64]], threshold: float) -> float:
    if not float(np.ptp(net)) > 0:
        return math.nan
    moments = return_moments(net)
    return probabilistic_sharpe_ratio(
        moments.sharpe, moments.n, skew=moments.skew, kurtosis=moments.kurtosis, benchmark=threshold
    )
