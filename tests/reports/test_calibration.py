"""How honest a run's probabilities are."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reports.conftest import Trained
from trademl.artifacts.run_folder import RunFolder, RunManifest
from trademl.errors import ArtifactError
from trademl.reports.calibration import (
    as_document,
    calibration_report,
    cross_fitted,
    reliability_table,
    summary_table,
    uncalibrated,
    write_plots,
)
from trademl.reports.predictions import FinishedRun, OutOfFold, find_run, read_out_of_fold
from trademl.warehouse.read import read_snapshot


def run(**config: Any) -> FinishedRun:
    """Return a run with this configuration and no folder."""
    manifest = RunManifest.model_construct(config=config)
    return FinishedRun("r", "equities", "fwd_5d", RunFolder(Path("nowhere")), manifest)


def predictions(score: np.ndarray, value: np.ndarray, folds: int = 4) -> OutOfFold:
    """Return one name's predictions, a session each, in ``folds`` equal blocks."""
    session = np.arange(len(score))
    return OutOfFold(
        paths=1,
        dates=np.datetime64("2020-01-01") + session,
        session=session,
        entity=np.zeros_like(session),
        score=score,
        value=value,
        fold=session * folds // len(score),
    )


def drawn(n: int = 8000, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return scores that are twice too sure, and labels: P(label > 0) is the logistic function of score / 2."""
    rng = np.random.default_rng(seed)
    score = 2 * rng.normal(size=n)
    return score, np.where(rng.random(n) < 1 / (1 + np.exp(-score / 2)), 1.0, -1.0)


def test_calibration_mends_probabilities_that_are_too_sure() -> None:
    """Scores as log-odds twice too large: both methods have less than a third of the error, and beat the base rate."""
    found = calibration_report(run(task="top_bottom"), predictions(*drawn()))
    before, isotonic, platt = found.judged
    assert [judged.name for judged in found.judged] == ["before", "isotonic", "platt"]
    assert before.bins.ece > 0.08
    for judged in (isotonic, platt):
        assert judged.bins.ece < before.bins.ece / 3
        assert judged.parts.brier < before.parts.brier
        assert judged.parts.brier < found.base_brier
        assert judged.log_loss < before.log_loss


def test_each_fold_is_judged_by_the_others() -> None:
    """A fold whose labels are the opposite of all others' is badly calibrated: nothing was learned from it."""
    score, value = drawn(4000)
    value[3000:] *= -1
    held = cross_fitted(
        score,
        (value > 0).astype(float),
        np.arange(4000) // 1000,
        lambda s, y: (len(s), y.mean()),
        lambda fitted, s: np.full(len(s), fitted[1]),
    )
    rose = value > 0
    assert np.unique(held[:1000]).tolist() == [rose[1000:].mean()]
    assert np.unique(held[3000:]).tolist() == [rose[:3000].mean()]
    found = calibration_report(run(task="top_bottom"), predictions(score, value), methods=["platt"])
    assert found.judged[-1].log_loss > found.base_log_loss


def test_the_tables_add_up() -> None:
    """Brier is the sum of its parts, bins hold all rows, and the gaps of bins make the errors."""
    found = calibration_report(run(task="top_bottom"), predictions(*drawn()), n_bins=7)
    heading, base, *rows = summary_table(found)
    assert base[0] == "base rate"
    for judged, row in zip(found.judged, rows, strict=True):
        cells = dict(zip(heading, row, strict=True))
        total = (
            float(cells["reliability"])
            - float(cells["resolution"])
            + float(cells["uncertainty"])
            + float(cells["within bins"])
        )
        assert float(cells["Brier"]) == pytest.approx(total, abs=3e-6)
        _, *bins = reliability_table(judged)
        assert len(bins) == 7
        counts = [int(bin_[2].replace(",", "")) for bin_ in bins]
        assert sum(counts) == 8000
        gaps = [abs(float(bin_[4]) - float(bin_[3])) for bin_ in bins]
        assert float(cells["ECE"]) == pytest.approx(np.average(gaps, weights=counts), abs=2e-5)
        assert float(cells["MCE"]) == pytest.approx(max(gaps), abs=2e-5)
    document = json.loads(json.dumps(as_document(found)))
    assert [sum(judged["bins"]["count"]) for judged in document["judged"]] == [8000] * 3
    assert len(found.fold_rates) == found.folds == 4
    assert np.mean(found.fold_rates) == pytest.approx(found.base_rate)


@pytest.mark.parametrize(
    "config, score, expected",
    [
        ({"task": "top_bottom"}, 0.0, 0.5),
        ({"task": "top_bottom"}, math.log(3), 0.75),
        ({"task": "three_class", "target": "demeaned"}, -0.5, 0.25),
        ({"task": "regression", "target": "rank"}, 0.2, 0.7),
        ({"task": "regression", "target": "rank"}, 0.6, 1.0),
        # The other fold is off by 2 everywhere: a score of 2 is one standard deviation above 0.
        ({"task": "regression", "target": "raw"}, 2.0, 0.8413447460685429),
        ({"task": "regression", "target": "demeaned"}, -2.0, 0.15865525393145707),
    ],
)
def test_a_raw_score_states_a_probability(config: dict[str, str], score: float, expected: float) -> None:
    """Log-odds by the logistic function, ranks by their place, expected labels with normal errors."""
    scores, fold = np.array([score, 1.0, 1.0]), np.array([0, 1, 1])
    found, note = uncalibrated(config, scores, np.array([score, 3.0, -1.0]), fold)
    assert found[0] == pytest.approx(expected)
    assert note


def test_rows_without_a_score_or_a_label_do_not_count() -> None:
    """NaN in either leaves the row out."""
    score, value = drawn(4000)
    score[5], value[7] = np.nan, np.nan
    assert calibration_report(run(task="top_bottom"), predictions(score, value)).rows == 3998


def test_one_fold_leaves_nothing_to_calibrate_on() -> None:
    """With a single fold the error says that, and what to do."""
    with pytest.raises(ArtifactError, match="1 fold"):
        calibration_report(run(), predictions(*drawn(100), folds=1))


def test_the_report_has_the_numbers_of_training(trained_once: Trained) -> None:
    """Isotonic, Brier, log loss and error over wide bins are those of metrics/calibration.json, to the last bit."""
    home = trained_once.home
    with read_snapshot(home) as snapshot:
        finished = find_run(snapshot.con, home, trained_once.run_id)
        found = calibration_report(finished, read_out_of_fold(snapshot.con, trained_once.run_id), methods=["isotonic"])
    stored = json.loads((trained_once.folder / "metrics" / "calibration.json").read_text())
    isotonic = found.judged[-1]
    assert (found.rows, found.base_rate) == (stored["rows"], stored["base_rate"])
    assert isotonic.parts.brier == stored["brier"]
    assert isotonic.log_loss == stored["log_loss"]
    assert isotonic.ece_wide == stored["ece"]
    assert isotonic.bins.confidence.tolist() == stored["confidence"]


def test_a_diagram_is_drawn_for_each(tmp_path: Path) -> None:
    """Three PNG files, the same bytes when drawn again."""
    found = calibration_report(run(task="top_bottom"), predictions(*drawn(2000)))
    paths = write_plots(found, tmp_path)
    assert [path.name for path in paths] == [f"reliability_{name}.png" for name in ("before", "isotonic", "platt")]
    drawn_first = [path.read_bytes() for path in paths]
    assert all(image.startswith(b"\x89PNG") for image in drawn_first)
    assert [path.read_bytes() for path in write_plots(found, tmp_path)] == drawn_first
