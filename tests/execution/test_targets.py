"""Target weights of a session: from predictions to rows, with what is held, and nothing from the future."""

import json
from datetime import datetime, timedelta

import numpy as np
import pytest

from tests.execution.priced_home import (
    NOW,
    RUN,
    WEDNESDAY,
    write_fills,
    write_predictions,
    write_returns,
    write_warehouse,
)
from trademl.config.home import Home
from trademl.costs.model import CostModel
from trademl.errors import ConfigError, DataGateError
from trademl.execution.known import Known
from trademl.execution.targets import Targets, _weigh, build_targets
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot
from trademl.portfolio.build import Candidates, PortfolioConfig, build

SCORES = {"A": 0.04, "B": 0.03, "C": 0.02, "D": 0.01, "E": 0.05, "F": 0.06}
FREE = PortfolioConfig(max_name=0.5, max_sector=10.0, max_net=1.0)


@pytest.fixture
def ready(home: Home) -> Home:
    """Predictions of six symbols, of which four can be weighed."""
    write_warehouse(home)
    write_predictions(home, SCORES)
    return home


def decide(home: Home, config: PortfolioConfig = FREE, **other: object) -> Targets:
    return build_targets(home, "equities", None, config, now=lambda: NOW, **other)  # type: ignore[arg-type]


def rows(home: Home, columns: str = "symbol, weight") -> list[tuple[object, ...]]:
    with open_snapshot(layout_of(home)) as snapshot:
        return snapshot.con.execute(f"select {columns} from ops.targets order by symbol").fetchall()


def weights(found: Targets) -> dict[str, float]:
    return {one.symbol: one.weight for one in found.targets}


def test_weights_are_those_of_the_policy(ready: Home) -> None:
    """Of the four that can be weighed, in units of their own volatility; the others are named and get none."""
    found = decide(ready)
    by_hand = build(
        Candidates(tuple("ABCD"), np.array([4.0, 3, 2, 1]), volatility=np.array([0.25, 0.25, 0.5, 0.5])), FREE
    )
    assert weights(found) == pytest.approx({**dict(zip("ABCD", by_hand.weights, strict=True)), "E": 0, "F": 0})
    assert (found.dt, found.model_id, found.run_id, found.horizon) == (WEDNESDAY, RUN, None, 5)
    assert "2 symbols get no weight, as their volatility or traded value is not known: E, F" in found.notes


def test_without_any_sector_there_is_no_sector_limit() -> None:
    """Where nobody knows a sector, a long-only book is not held to the limit of one."""
    facts = [
        Known(name, score=score, volatility=0.2, day_value_usd=1e9, price_usd=10.0)
        for name, score in (("A", 0.01), ("B", 0.02), ("C", 0.03), ("D", 0.04))
    ]
    config = PortfolioConfig(side="long_only", max_name=0.5, max_sector=0.25)
    found = _weigh(facts, {}, config, CostModel(), 1e6, 1.0)
    assert found.gross == pytest.approx(1.0)


def test_the_estimate_prices_the_way_there(ready: Home) -> None:
    """Spread on each changed dollar, and the sum of the symbols' costs."""
    costs = CostModel(impact_coefficient=0.0)
    found = decide(ready, costs=costs, equity_usd=2e6)
    assert found.estimate.by_part()["spread"] == pytest.approx(found.turnover * 2e6 * 5e-4)
    by_symbol = {one.symbol: one.cost_usd for one in found.targets}
    assert by_symbol["A"] == pytest.approx(abs(weights(found)["A"]) * 2e6 * 5e-4)
    assert by_symbol["E"] is None


def test_rows_are_written_once_and_replaced_by_another_decision(ready: Home) -> None:
    """The same decision adds nothing; another one, that knows a symbol less, sends it to 0."""
    first = decide(ready)
    assert first.written
    again = build_targets(ready, "equities", WEDNESDAY, FREE, now=lambda: NOW + timedelta(hours=1))
    assert not again.written
    assert rows(ready) == list(weights(first).items())
    stored = rows(ready, "dt, price_usd, volatility, day_value_usd, model_id, portfolio_hash, notes")[0]
    assert stored[:5] == (WEDNESDAY, 100.0, 0.25, 40e6, RUN)
    assert stored[5] == first.portfolio_hash
    assert json.loads(str(stored[6])) == list(first.notes)
    later = NOW + timedelta(hours=2)
    other = build_targets(ready, "equities", None, FREE, universe=["A", "B", "C"], now=lambda: later)
    assert other.written
    assert "3 symbols with a prediction are not in the universe" in other.notes
    assert dict(rows(ready))["D"] == 0
    assert dict(rows(ready))["A"] == pytest.approx(weights(other)["A"])
    assert other.portfolio_hash == first.portfolio_hash


def test_a_dry_run_writes_nothing(ready: Home) -> None:
    """And decides the same."""
    found = decide(ready, write=False)
    assert not found.written
    assert rows(ready) == []
    assert weights(found) == weights(decide(ready))


def test_what_is_held_counts_and_is_sold_without_a_prediction(ready: Home) -> None:
    """G was bought and nobody predicts it: its weight is held, and its target 0."""
    write_fills(ready, ("G", 400.0, datetime(2024, 1, 10, 15)), ("A", 100.0, datetime(2024, 1, 10, 15)))
    found = decide(ready, equity_usd=100_000.0)
    held = {one.symbol: one.held_weight for one in found.targets}
    assert held == pytest.approx({"A": 0.1, "B": 0, "C": 0, "D": 0, "E": 0, "F": 0, "G": 0.1})
    assert weights(found)["G"] == 0
    named = decide(ready, held={"B": 0.05}, write=False)
    assert {one.symbol: one.held_weight for one in named.targets if one.held_weight} == {"B": 0.05}


def test_the_convex_optimiser_takes_the_same_inputs(ready: Home) -> None:
    """Its answer keeps the limits; what is held without a prediction is sold."""
    pytest.importorskip("cvxpy", reason="the extra portfolio is not installed")
    config = FREE.model_copy(update={"optimiser": "convex"})
    found = decide(ready, config, held={"G": 0.1}, equity_usd=1e5)
    assert weights(found)["G"] == 0
    assert weights(found)["E"] == 0
    assert found.gross <= 1 + 1e-6
    assert found.optimiser == "convex"
    assert found.portfolio_hash != decide(ready, write=False).portfolio_hash


def test_measured_confidence_scales_and_says_so(ready: Home) -> None:
    """49.75 of 50.75 parts, as in the test of the measurement itself."""
    write_returns(ready, [0.003, -0.001] * 100)
    whole = decide(ready, write=False)
    found = decide(ready, FREE.model_copy(update={"confidence": "measured"}))
    assert found.run_id == RUN
    assert found.confidence == pytest.approx(49.75 / 50.75)
    assert weights(found)["A"] == pytest.approx(weights(whole)["A"] * 49.75 / 50.75)


def test_nothing_after_the_close_changes_a_decision(ready: Home) -> None:
    """Bars, risk, predictions and fills of Thursday, as wild as they may be, leave Wednesday's weights as they were."""
    before = decide(ready, write=False)
    write_warehouse(
        ready,
        "insert into silver.equity_bars select symbol, date '2024-01-11', 3, 'other', 1e6, 1, 100, "
        "timestamp '2024-01-11 21:00:00' from silver.equity_bars where date = date '2024-01-10'",
        "insert into gold.equities_features select symbol, date '2024-01-11', 9, 9, 1e-6 "
        "from gold.equities_features where date = date '2024-01-10'",
    )
    write_predictions(ready, {"A": -9.0, "D": 9.0}, dt=datetime(2024, 1, 11).date())
    write_fills(ready, ("A", 1e6, datetime(2024, 1, 11, 14, 30)))
    after = build_targets(ready, "equities", WEDNESDAY, FREE, write=False, now=lambda: NOW)
    assert after.targets == before.targets
    assert after.notes == before.notes


def test_what_cannot_be_decided_is_refused(ready: Home) -> None:
    """A sleeve without prices, a session without predictions, no money."""
    with pytest.raises(ConfigError, match="'traders' has no portfolio"):
        build_targets(ready, "traders", None, FREE)
    with pytest.raises(DataGateError, match="no predictions for 2024-01-09"):
        build_targets(ready, "equities", datetime(2024, 1, 9).date(), FREE)
    with pytest.raises(ConfigError, match=r"an equity of 0\.0 USD"):
        decide(ready, equity_usd=0.0)
