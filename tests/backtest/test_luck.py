"""Luck: the gate's own statistics on a backtest's returns, with the counts of the ledger."""

import math

import numpy as np
import pytest

from tests.backtest.home import RUN, write_returns
from trademl.backtest.luck import luck_in
from trademl.backtest.run import Finished, Request, run_requests
from trademl.config.home import Home
from trademl.governance.gate import Bar, Decision, PromotionPolicy
from trademl.governance.promotion import record_gate
from trademl.lake.layout import layout_of
from trademl.portfolio.config import PortfolioConfig
from trademl.validation.pbo import probability_of_overfitting
from trademl.validation.sharpe import expected_maximum_sharpe, probabilistic_sharpe_ratio, return_moments
from trademl.warehouse.read import read_snapshot

POLICY = PromotionPolicy(pbo_blocks=4)


def finished(home: Home) -> Finished:
    """A backtest of the home's run."""
    request = Request(RUN, portfolio=PortfolioConfig(max_name=0.2, max_sector=10.0))
    with read_snapshot(home) as snapshot:
        return run_requests(snapshot.con, [request], build_id="b-1")[0]


def test_before_anything_is_registered_the_trials_still_count(written_once: Home) -> None:
    """Two trials, one of them without returns: the luckiest of two; no PBO without strategies without a signal."""
    made = finished(written_once)
    found = luck_in(layout_of(written_once), made, POLICY)
    assert (found.trials, found.compared, found.no_signal) == (2, 1, 0)
    assert math.isnan(found.pbo)
    net = made.days.net
    threshold = expected_maximum_sharpe(2.0, 1 / (len(net) - 1))
    assert found.threshold == pytest.approx(threshold * math.sqrt(252))
    moments = return_moments(net)
    assert found.dsr == pytest.approx(
        probabilistic_sharpe_ratio(
            moments.sharpe, moments.n, skew=moments.skew, kurtosis=moments.kurtosis, benchmark=threshold
        )
    )
    assert found.said == "not judged yet"


def test_pbo_is_over_the_trials_and_what_the_gate_registered(traded: Home) -> None:
    """The backtest in the place of its run, the other trial, 20 strategies without a signal, four baselines."""
    write_returns(traded)
    made = finished(traded)
    found = luck_in(layout_of(traded), made, POLICY)
    assert (found.trials, found.compared, found.no_signal) == (2, 2, 24)
    assert 0 <= found.pbo <= 1
    random = np.random.default_rng(11)
    # The draws of write_returns, on the backtest's own dates: sessions 6 to 85.
    drawn = np.column_stack([random.normal(0, 0.01, 90) for _ in range(25)])[6:86]
    expected = probability_of_overfitting(np.column_stack([made.days.net, drawn]), n_blocks=4).pbo
    assert found.pbo == pytest.approx(expected)


def test_the_gates_last_verdict_stands_beside_it(traded: Home) -> None:
    """Refused, with the bars that failed."""
    bars = (Bar("sharpe", 2.0, 1.0, "pass", "fine"), Bar("pbo", 0.5, 0.05, "fail", "luck"))
    record_gate(traded, Decision(RUN, "equities", "fwd_5d", bars, None))
    found = luck_in(layout_of(traded), finished(traded), POLICY)
    assert found.said == "refused by 1 of 2 bars: pbo"
