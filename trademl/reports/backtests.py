"""Backtests in words and side by side: what was asked, what came out, and whether a difference is luck."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trademl.backtest.luck import Luck
from trademl.backtest.record import Recorded
from trademl.backtest.run import Finished
from trademl.reports.runs import flat
from trademl.reports.tear_sheet import TearSheet, figure_rows
from trademl.validation.metrics import newey_west_t

LAGS = 5


@dataclass(frozen=True)
class PairedReturns:
    """Daily net returns of a backtest less the first one's, on the dates that both have."""

    backtest_id: str
    sessions: int
    difference: float
    t_stat: float
    correlation: float


@dataclass(frozen=True)
class BacktestComparison:
    """Backtests side by side, the first one as the reference.

    Attributes:
        backtests: their ids.
        differences: field of the request -> its value in each, of fields that are not the same in all.
        figures: measure -> its text in each. paired: of every other one with the first.
    """

    backtests: tuple[str, ...]
    differences: dict[str, tuple[str, ...]]
    figures: dict[str, tuple[str, ...]]
    paired: tuple[PairedReturns, ...]

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON can hold it."""
        return {
            "backtests": list(self.backtests),
            "differences": {name: list(values) for name, values in self.differences.items()},
            "figures": {name: list(values) for name, values in self.figures.items()},
            "paired": [{name: _finite(value) for name, value in pair.__dict__.items()} for pair in self.paired],
        }

    def paired_rows(self) -> list[list[str]]:
        """Return the paired differences as text."""
        place = {name: number for number, name in enumerate(self.backtests, start=1)}
        return [
            [
                f"[{place[pair.backtest_id]}] less [1]",
                str(pair.sessions),
                f"{pair.difference * 1e4:+.2f} bps",
                f"{pair.t_stat:+.2f}",
                f"{pair.correlation:+.3f}",
            ]
            for pair in self.paired
        ]


def compare_backtests(found: Sequence[Recorded]) -> BacktestComparison:
    """Put recorded backtests side by side."""
    requests = [flat(one.config) for one in found]
    names = sorted({name for request in requests for name in request})
    asked = {name: tuple(str(request.get(name, "-")) for request in requests) for name in names}
    told = [dict(figure_rows(one.figures)) for one in found]
    return BacktestComparison(
        backtests=tuple(one.backtest_id for one in found),
        differences={name: values for name, values in asked.items() if len(set(values)) > 1},
        figures={name: tuple(one[name] for one in told) for name in told[0]},
        paired=tuple(_paired(one, found[0]) for one in found[1:]),
    )


def evidence_values(luck: Luck) -> dict[str, Any]:
    """Return what is recorded on luck and the gate; what is not known is None."""
    return {
        "dsr": _finite(luck.dsr),
        "sharpe_of_the_luckiest": _finite(luck.threshold),
        "pbo": _finite(luck.pbo),
        "trials": luck.trials,
        "no_signal": luck.no_signal,
        "gate": luck.said,
    }


def evidence_rows(luck: Luck) -> tuple[tuple[str, str], ...]:
    """Return the same as pairs of a name and a text."""
    ask = "`trademl gate` registers strategies without a signal to compare with"
    return (
        ("deflated Sharpe ratio", _number(luck.dsr)),
        ("annual Sharpe ratio of the luckiest trial without skill", _number(luck.threshold)),
        ("probability of backtest overfitting", _number(luck.pbo) if math.isfinite(luck.pbo) else f"not known: {ask}"),
        ("trials in the ledger", f"{luck.trials}, {luck.compared} with returns, {luck.no_signal} without a signal"),
        ("the gate on the run", luck.said),
    )


def sheet_of(finished: Finished, luck: Luck) -> TearSheet:
    """Return the tear sheet of a backtest."""
    request = finished.request
    rules, portfolio = request.rules, request.portfolio
    limit = "none" if rules.max_participation is None else f"{rules.max_participation:.0%} of the session's volume"
    return TearSheet(
        title=f"Backtest {finished.backtest_id}",
        about=(
            ("run", f"{request.run_id}, label {finished.label}, path {request.path}, out of fold"),
            ("engine", request.engine),
            ("decisions", f"every {request.every} sessions at the close, ranks averaged over {request.smooth}"),
            ("fills", f"at the next open, limit: {limit}, {'whole' if rules.whole_shares else 'fractional'} shares"),
            ("capital", f"{rules.capital_usd:,.0f} USD, weights are shares of the {rules.sizing}"),
            (
                "portfolio",
                f"{portfolio.side}, {portfolio.optimiser}, gross {portfolio.gross:g}, "
                f"at most {portfolio.max_name:g} a name",
            ),
            ("impact", request.costs.impact),
            ("period", f"{finished.days.date[0]} to {finished.days.date[-1]}"),
        ),
        figures=finished.figures.document(),
        evidence=evidence_rows(luck),
        days=finished.days,
    )


def _paired(one: Recorded, first: Recorded) -> PairedReturns:
    _, left, right = np.intersect1d(one.days.date[1:], first.days.date[1:], return_indices=True)
    net, against = one.days.net[left], first.days.net[right]
    difference = net - against
    varies = len(left) > 2 and min(float(np.ptp(net)), float(np.ptp(against))) > 0
    return PairedReturns(
        backtest_id=one.backtest_id,
        sessions=len(left),
        difference=float(difference.mean()) if len(left) else math.nan,
        t_stat=newey_west_t(difference, lags=LAGS) if varies and float(np.ptp(difference)) > 0 else math.nan,
        correlation=float(np.corrcoef(net, against)[0, 1]) if varies else math.nan,
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "not known"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
