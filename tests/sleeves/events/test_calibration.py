"""Probabilities on test dates."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import _SigmoidCalibration

from trademl.config.home import Home
from trademl.errors import ConfigError, ModelError
from trademl.sleeves.events.calibration import calibrate, judge
from trademl.sleeves.events.train import EventsResult
from trademl.warehouse.read import read_snapshot

LAST = (date(2025, 2, 10), date(2025, 2, 11))


def test_every_probability_is_judged_and_drawn(heads_once: tuple[Home, EventsResult], tmp_path: Path) -> None:
    """Eight heads state one; each has a picture and a row, and the test dates have 40 events each."""
    home, _ = heads_once
    found = calibrate(home, "stage_b", "full", LAST, output=tmp_path)
    assert len(found.heads) == 8
    by_head = {head.head: head for head in found.heads}
    assert by_head["tradeable_2"].rows == 80
    # 22 sessions were predicted, the last two are the test.
    assert by_head["tradeable_2"].taught == 20 * 40
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == sorted(f"reliability_{name}_stage_b_full.png" for name in by_head)
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in pictures)
    document = json.loads((tmp_path / "calibration.json").read_text())
    assert document["test_dates"] == ["2025-02-10", "2025-02-11"]
    assert {head["head"] for head in document["heads"]} == set(by_head)
    assert {"brier", "ece", "mce"} <= set(document["heads"][0]["before"])


def test_nothing_of_the_test_dates_teaches(heads_once: tuple[Home, EventsResult], tmp_path: Path) -> None:
    """Calibrator and base rate are made again from the earlier dates alone, and give the Brier score of the report."""
    home, result = heads_once
    found = calibrate(home, "stage_b", "full", LAST, heads=["direction"], output=tmp_path).heads[0]
    with read_snapshot(home) as snapshot:
        rows = snapshot.con.execute(
            "select dt < date '2025-02-10', yhat, y from preds.oof where run_id = ? order by dt, entity",
            [result.runs["direction"].run_id],
        ).fetchall()
    past = [(score, y) for early, score, y in rows if early]
    test = [(score, y) for early, score, y in rows if not early]
    # Platt's sigmoid with his smoothed targets, as scikit-learn fits it.
    sigmoid = _SigmoidCalibration().fit(np.array([row[0] for row in past]), np.array([row[1] for row in past]))
    likely = sigmoid.predict(np.array([row[0] for row in test]))
    raw = [1 / (1 + np.exp(-row[0])) for row in test]
    assert found.after.brier == pytest.approx(
        np.mean([(p - row[1]) ** 2 for p, row in zip(likely, test, strict=True)]), rel=1e-4
    )
    assert found.before.brier == pytest.approx(np.mean([(p - row[1]) ** 2 for p, row in zip(raw, test, strict=True)]))
    assert found.known_rate == pytest.approx(np.mean([row[1] for row in past]))
    assert found.base_rate == pytest.approx(np.mean([row[1] for row in test]))
    assert found.base[0] == pytest.approx(np.mean([(found.known_rate - row[1]) ** 2 for row in test]))


def test_a_calibrator_mends_scores_of_the_wrong_size() -> None:
    """Log-odds three times too large are far from calibrated before and near it after."""
    rng = np.random.default_rng(2)
    odds = rng.normal(size=20_000)
    y = (rng.random(20_000) < 1 / (1 + np.exp(-odds))).astype(float)
    found = judge(3 * odds[:5_000], y[:5_000], 3 * odds[5_000:], y[5_000:])
    assert found["before"].ece > 0.1
    assert found["after"].ece < 0.03
    assert found["after"].brier < found["before"].brier
    assert found["auc"] > 0.7


@pytest.mark.parametrize(
    "days, match",
    [
        ([], "no test dates"),
        ([date(2025, 2, 8)], "predicted nothing out of fold on 2025-02-08"),
        ([date(2025, 1, 2)], "2025-01-02"),
        ([date(2025, 1, 13)], "no out-of-fold prediction before 2025-01-13"),
    ],
)
def test_dates_without_predictions_are_refused(
    heads_once: tuple[Home, EventsResult], tmp_path: Path, days: list[date], match: str
) -> None:
    """A Saturday, a session that trains only, and the first predicted one, before which nothing teaches."""
    home, _ = heads_once
    with pytest.raises(ConfigError, match=match):
        calibrate(home, "stage_b", "full", days, heads=["direction"], output=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_size_has_no_probability(heads_once: tuple[Home, EventsResult], tmp_path: Path) -> None:
    """Strength cannot be calibrated, and an unknown head is named."""
    home, _ = heads_once
    with pytest.raises(ModelError, match="strength state no probability"):
        calibrate(home, "stage_b", "full", LAST, heads=["strength"], output=tmp_path)
    with pytest.raises(ModelError, match="no head t1_120s"):
        calibrate(home, "stage_b", "full", LAST, heads=["t1_120s"], output=tmp_path)


def test_the_same_dates_give_the_same_bytes(heads_once: tuple[Home, EventsResult], tmp_path: Path) -> None:
    """Report and pictures do not depend on when they are made."""
    home, _ = heads_once
    made = [calibrate(home, "stage_b", "full", LAST, heads=["direction"], output=tmp_path / name) for name in "ab"]
    first, second = ([path.read_bytes() for path in one.files] for one in made)
    assert first == second
