"""The scores of one date, whoever gave them."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from tests.sleeves.traders.wallets import address
from tests.training.market import change
from trademl.config.home import Home
from trademl.errors import ModelError
from trademl.governance.router import FrozenScorer, frozen_scorer, frozen_scores
from trademl.sleeves.traders.answers import of_frozen, of_scores
from trademl.warehouse.read import read_snapshot

LAST = date(2025, 4, 10)


def test_what_a_model_does_not_state_is_missing() -> None:
    """Rows have the columns of preds.traders; unknown spread and probability are None."""
    answer = of_scores("m", "fwd_7d", 7, LAST, ["0xa", "0xb"], np.array([1.5, -0.5]))
    rows = answer.rows(now=lambda: datetime(2025, 4, 11, tzinfo=UTC))
    assert len(answer) == 2
    assert rows[0] == {
        "address": "0xa", "dt": LAST, "horizon": 7, "model_id": "m", "label": "fwd_7d", "yhat": 1.5, "yhat_std": None,
        "prob_up": None, "rank_pct": 1.0, "scored_at": rows[0]["scored_at"],
    }  # fmt: skip
    assert rows[1]["rank_pct"] == 0.5


def test_the_frozen_model_reads_the_snapshots_of_the_date(wallets: Home) -> None:
    """Each wallet's score is that of its 18 features; wallet 3's infinite profit factor is the cap of the date."""
    scorer = frozen_scorer("traders")
    with read_snapshot(wallets) as snapshot:
        found = of_frozen(snapshot.con, scorer, LAST)
        columns = ", ".join(scorer.features)
        raw = snapshot.con.execute(
            f"select {columns} from gold.ml_feature_snapshots where snapshot_date = date '{LAST}' order by address"
        ).fetchall()
    X = np.array(raw, dtype=np.float64)
    at = scorer.features.index("profit_factor")
    assert np.isinf(X[3, at])
    X[3, at] = 10.0 + 100
    assert found.entities == tuple(address(number) for number in range(14))
    assert np.array_equal(found.yhat, frozen_scores(scorer, X.astype(np.float32)).yhat)


def test_a_date_without_snapshots_has_no_scores(wallets: Home) -> None:
    """Nobody is scored, and nothing is asked of the frozen model."""
    scorer = FrozenScorer("traders", "v1", "fwd_7d", 7, ("roi_7d",))
    with read_snapshot(wallets) as snapshot:
        assert len(of_frozen(snapshot.con, scorer, date(2020, 1, 1))) == 0


def test_a_missing_column_is_named(wallets: Home) -> None:
    """An older warehouse lacks what the frozen model reads: said, with the remedy."""
    change(wallets, "alter table gold.ml_feature_snapshots drop column roi_7d")
    with read_snapshot(wallets) as snapshot, pytest.raises(ModelError, match=r"lacks what legacy-traders-v1 reads"):
        of_frozen(snapshot.con, frozen_scorer("traders"), LAST)
