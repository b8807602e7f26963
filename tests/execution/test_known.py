"""What is known at a close: predictions of the right model, positions through splits, and evidence for confidence."""

from datetime import datetime

import pytest

from tests.execution.priced_home import (
    MONDAY,
    NOW,
    RUN,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    write_fills,
    write_predictions,
    write_returns,
    write_warehouse,
)
from trademl.config.home import Home
from trademl.errors import ConfigError, DataGateError
from trademl.execution.known import (
    Known,
    known_at,
    last_session,
    liquidity_of,
    measured_confidence,
    predictor,
    run_of,
    weights_held,
)
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import Snapshot, open_snapshot

OTHER = "equities-fallback-abc"


def opened(home: Home) -> Snapshot:
    return open_snapshot(layout_of(home))


def test_a_symbol_has_what_was_known_of_it(home: Home) -> None:
    """Score, sector, close, volatility a year and USD a session; a symbol with one side only has the rest empty."""
    write_warehouse(home)
    write_predictions(home, {"A": 0.5, "F": 0.25})
    with opened(home) as snapshot:
        known = known_at(snapshot.con, "equities", WEDNESDAY, RUN, 60)
    assert known["A"] == Known("A", "tech", 100.0, 0.25, 40e6, 0.5, 1.0, 5)
    assert known["F"] == Known("F", None, None, None, None, 0.25, 0.5, 5)
    assert known["B"] == Known("B", "tech", 50.0, 0.25, 30e6)
    assert [symbol for symbol, one in known.items() if not one.can_be_weighed] == ["E", "F"]


def test_the_last_session_with_predictions(home: Home) -> None:
    """And the way to some, where there are none."""
    write_warehouse(home)
    with opened(home) as snapshot, pytest.raises(DataGateError, match="is empty"):
        last_session(snapshot.con, "equities")
    write_predictions(home, {"A": 1.0}, dt=TUESDAY)
    with opened(home) as snapshot:
        assert last_session(snapshot.con, "equities") == TUESDAY


def test_who_predicted_last_is_taken_while_there_is_no_champion(home: Home) -> None:
    """Unless another was asked for; one that did not predict is refused with those that did."""
    write_warehouse(home)
    write_predictions(home, {"A": 1.0})
    write_predictions(home, {"A": 2.0}, model_id=OTHER, scored_at=datetime(2024, 1, 10, 22))
    with opened(home) as snapshot:
        chosen, notes = predictor(snapshot.con, home, "equities", WEDNESDAY, now=lambda: NOW)
        assert chosen == OTHER
        assert notes == [f"equities has no champion: weighing {OTHER}, which predicted last"]
        assert predictor(snapshot.con, home, "equities", WEDNESDAY, RUN) == (RUN, [])
        with pytest.raises(DataGateError, match=f"(?s)no predictions of nobody.*{OTHER}, {RUN}"):
            predictor(snapshot.con, home, "equities", WEDNESDAY, "nobody")
        with pytest.raises(DataGateError, match=f"the last ones before are of {WEDNESDAY}"):
            predictor(snapshot.con, home, "equities", THURSDAY)
        assert run_of(snapshot.con, RUN) is None
    write_returns(home, [])
    with opened(home) as snapshot:
        assert run_of(snapshot.con, RUN) == RUN


def test_positions_are_the_fills_through_splits(home: Home) -> None:
    """100 shares of G before its split are 200 after it, of 25 USD; what comes after the close does not count."""
    write_warehouse(home)
    write_fills(
        home,
        ("G", 100.0, datetime(2024, 1, 8, 14, 30)),
        ("G", -50.0, datetime(2024, 1, 9, 14, 30)),
        ("A", -10.0, datetime(2024, 1, 8, 14, 30)),
        ("B", 5.0, datetime(2024, 1, 8, 14, 30)),
        ("B", -5.0, datetime(2024, 1, 9, 14, 30)),
        ("C", 7.0, datetime(2024, 1, 11, 14, 30)),
    )
    with opened(home) as snapshot:
        assert weights_held(snapshot.con, MONDAY, 10_000.0) == pytest.approx({"A": -0.1, "B": 0.025, "G": 0.5})
        assert weights_held(snapshot.con, WEDNESDAY, 10_000.0) == pytest.approx({"A": -0.1, "G": 150 * 25 / 10_000})


def test_fills_of_two_accounts_are_not_mixed(home: Home) -> None:
    """One must be named; a position without any price is refused."""
    write_warehouse(home)
    write_fills(home, ("A", 10.0, datetime(2024, 1, 8, 15)))
    write_fills(home, ("A", 20.0, datetime(2024, 1, 8, 15)), ("X", 1.0, datetime(2024, 1, 9, 15)), account="other")
    with opened(home) as snapshot:
        with pytest.raises(ConfigError, match="fills of 2 accounts, other, paper"):
            weights_held(snapshot.con, WEDNESDAY, 1e4)
        assert weights_held(snapshot.con, WEDNESDAY, 1e4, "paper") == pytest.approx({"A": 0.1})
        with pytest.raises(DataGateError, match="1 symbols are held that have no bar up to 2024-01-10: X"):
            weights_held(snapshot.con, WEDNESDAY, 1e4, "other")


def test_confidence_is_measured_on_returns_up_to_the_session(home: Home) -> None:
    """200 returns of 0.003 and -0.001 in turn have the t-statistic 7.05; the ones after the session do not count."""
    write_warehouse(home)
    write_returns(home, [0.003, -0.001] * 100 + [-1.0] * 365)
    with opened(home) as snapshot:
        confidence, said = measured_confidence(snapshot.con, RUN, "long_short", datetime(2023, 7, 19).date())
        # Mean 0.001, deviation 0.002 x root of 200 / 199: t squared is 199 x 0.25.
        assert confidence == pytest.approx(49.75 / 50.75)
        assert said == "confidence 0.980: 200 out-of-fold net returns with a t-statistic of 7.05"
        with pytest.raises(ConfigError, match="has 0 out-of-fold returns of long_only"):
            measured_confidence(snapshot.con, RUN, "long_only", WEDNESDAY)


def test_what_a_schedule_needs_of_a_symbol(home: Home) -> None:
    """Close, volatility of a day, shares a session; of the last session unless another is named."""
    write_warehouse(home)
    with opened(home) as snapshot:
        found = liquidity_of(snapshot.con, "G", None)
        assert (found.session, found.price) == (WEDNESDAY, 25.0)
        assert found.day_volatility == pytest.approx(0.25 / 252**0.5)
        assert found.volume == pytest.approx(200_000)
        assert liquidity_of(snapshot.con, "G", MONDAY).price == 50.0
        with pytest.raises(DataGateError, match="E has no bar with a volatility"):
            liquidity_of(snapshot.con, "E", None)
