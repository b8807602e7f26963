"""Backtests side by side: what was asked differently, and the paired difference of daily returns by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reports.test_tear_sheet import days
from trademl.backtest.figures import Days, summarise
from trademl.backtest.luck import Luck
from trademl.backtest.record import Recorded
from trademl.reports.backtests import compare_backtests, evidence_rows, evidence_values
from trademl.validation.metrics import newey_west_t

LUCK = Luck(trials=3, compared=2, no_signal=0, dsr=0.25, threshold=0.5, pbo=float("nan"), verdict=None)


def recorded(name: str, found: Days, **asked: Any) -> Recorded:
    """A backtest as it was read back."""
    return Recorded(name, "run-1", "fwd_5d", "mean", "event", asked, summarise(found).document(), Path("x"), found)


def test_only_what_differs_is_listed_and_returns_are_paired() -> None:
    """The second earned 1 % on every session, the first something else."""
    first = days()
    equity = 100 * np.cumprod([1, 1.02, 0.99, 1.03, 1.0])
    other = Days(first.date, {**first.columns, "equity_usd": equity}, np.concatenate([equity[:1], equity[:-1]]))
    found = compare_backtests([recorded("bt-a", other, every=1, smooth=2), recorded("bt-b", first, every=5, smooth=2)])
    assert found.differences == {"every": ("1", "5")}
    assert found.figures["returns"] == ("4", "4")
    (pair,) = found.paired
    difference = np.array([0.01 - 0.02, 0.01 + 0.01, 0.01 - 0.03, 0.01])
    assert pair.sessions == 4
    assert pair.difference == pytest.approx(difference.mean())
    assert pair.correlation != pair.correlation or abs(pair.correlation) <= 1
    assert found.document()["paired"][0]["backtest_id"] == "bt-b"
    assert found.paired_rows()[0][:2] == ["[2] less [1]", "4"]


def test_the_t_statistic_is_newey_wests() -> None:
    """Of two series that both vary."""
    first = days()
    random = np.random.default_rng(5)

    def drawn() -> Days:
        equity = 100 * np.cumprod(1 + random.normal(0, 0.01, 40))
        columns = {name: np.zeros(40) for name in first.columns} | {"equity_usd": equity}
        dates = np.datetime64("2020-01-06") + np.arange(40)
        return Days(dates, columns, np.concatenate([equity[:1], equity[:-1]]))

    one, other = drawn(), drawn()
    (pair,) = compare_backtests([recorded("bt-a", one), recorded("bt-b", other)]).paired
    assert pair.t_stat == pytest.approx(newey_west_t(other.net - one.net, lags=5))
    assert pair.correlation == pytest.approx(np.corrcoef(one.net, other.net)[0, 1])


def test_luck_is_told_with_what_is_missing() -> None:
    """Without strategies without a signal there is no PBO, and the command that makes them is named."""
    rows = dict(evidence_rows(LUCK))
    assert rows["deflated Sharpe ratio"] == "0.250"
    assert rows["probability of backtest overfitting"].startswith("not known: `trademl gate`")
    assert rows["the gate on the run"] == "not judged yet"
    assert evidence_values(LUCK)["pbo"] is None
