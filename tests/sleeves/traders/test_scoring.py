"""Scoring the traders into preds.traders."""

from datetime import date

import numpy as np
import pytest

from tests.sleeves.traders.wallets import address
from tests.training.market import change
from trademl.config.home import Home
from trademl.errors import ArtifactError, DataGateError
from trademl.governance.router import turn_kill_switch
from trademl.sleeves.traders.scoring import composite_ranks, latest_date, score_traders
from trademl.training.run import RunResult
from trademl.warehouse.read import read_snapshot

LAST = date(2025, 4, 10)


def test_scores_are_published(trained: tuple[Home, RunResult]) -> None:
    """One row per wallet with enough windows, with spread, probability and rank; twice is once."""
    home, result = trained
    found = score_traders(home)
    assert (found.scores.as_of, found.scores.model_id, found.origin, len(found.scores)) == (
        LAST, result.run_id, "latest", 12
    )  # fmt: skip
    with read_snapshot(home) as snapshot:
        rows = snapshot.con.execute(
            "select address, horizon, label, yhat, yhat_std, prob_up, rank_pct from preds.traders "
            f"where dt = date '{LAST}' order by yhat desc"
        ).fetchall()
    assert len(rows) == 12
    assert {row[0] for row in rows} == {address(number) for number in range(2, 14)}
    assert {(row[1], row[2]) for row in rows} == {(7, "fwd_7d")}
    assert all(np.isfinite(row[3]) and row[4] > 0 and 0.01 <= row[5] <= 0.99 for row in rows)
    assert [row[6] for row in rows] == pytest.approx(np.arange(12, 0, -1) / 12)
    assert found.written
    again = score_traders(home, LAST, result.run_id)
    assert (again.written, again.origin) == (False, "asked")


def test_the_composite_rank_stands_beside(trained: tuple[Home, RunResult]) -> None:
    """Where the warehouse has a composite score, its places are shown; they change no score."""
    home, _ = trained
    before = score_traders(home, LAST).scores.yhat
    change(
        home,
        "create table gold.traders_composite as select address, as_of, 0.5::double as composite_score, "
        "row_number() over (partition by as_of order by address)::bigint as composite_rank from gold.traders_features",
    )
    found = score_traders(home, LAST)
    assert found.composite[address(0)] == 1
    assert len(found.composite) == 14
    assert np.array_equal(found.scores.yhat, before)
    with read_snapshot(home) as snapshot:
        assert composite_ranks(snapshot.con, date(2020, 1, 1)) == {}


def test_a_date_that_does_not_pass_is_not_scored(trained: tuple[Home, RunResult]) -> None:
    """Not a day, not GREEN, or nobody with enough windows: refused, and nothing is written."""
    home, _ = trained
    change(home, f"update silver.trader_coverage set status = 'AMBER' where date = date '{LAST}'")
    with pytest.raises(DataGateError, match="trader_days is AMBER"):
        score_traders(home)
    with pytest.raises(DataGateError, match=r"not a session in silver\.trader_calendar"):
        score_traders(home, date(2030, 1, 1))
    with pytest.raises(DataGateError, match="has no trader with 16 windows on 2025-04-12"):
        score_traders(home, date(2025, 4, 12))
    with read_snapshot(home) as snapshot:
        assert snapshot.con.execute("select count(*) from preds.traders").fetchall() == [(0,)]


def test_without_run_or_data_it_says_so(wallets: Home) -> None:
    """No registered run, an unknown one, and an empty table of features."""
    with pytest.raises(ArtifactError, match="no registered run of traders"):
        score_traders(wallets)
    change(wallets, "delete from gold.traders_features")
    with read_snapshot(wallets) as snapshot, pytest.raises(DataGateError, match="is empty: there is no date to score"):
        latest_date(snapshot.con)


def test_with_the_kill_switch_the_frozen_model_answers(trained: tuple[Home, RunResult]) -> None:
    """The scores are the frozen model's, under its name, of every snapshot of the date."""
    home, _ = trained
    assert turn_kill_switch(home, "traders", "on")
    found = score_traders(home, LAST)
    assert (found.origin, found.scores.model_id, len(found.scores)) == ("legacy", "legacy-traders-v1", 14)
    assert np.isfinite(found.scores.yhat).all()
