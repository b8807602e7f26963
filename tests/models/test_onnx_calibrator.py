"""A calibrator as ONNX gives the probabilities of Python and SQL, bit for bit."""

from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.validation.calibrators import PLATTS, knots, same, tried
from trademl.errors import ModelError
from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel
from trademl.models.onnx_calibrator import append_calibrator, export_calibrator
from trademl.models.runtime import FEATURES_KEY, open_graph
from trademl.validation.calibration import PROBABILITY_RANGE, Calibrator, Clip, Knots, Platt, apply, fit_isotonic
from trademl.validation.calibration_sql import calibration_sql

NARROW = st.floats(-1e300, 1e300)
CLIPS = st.sampled_from([None, PROBABILITY_RANGE])


def in_onnx(calibrator: Calibrator, scores: np.ndarray, clip: Clip | None) -> np.ndarray:
    """Return the probabilities that onnxruntime computes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "calibrator.onnx"
        export_calibrator(calibrator, path, clip=clip)
        found: np.ndarray = open_graph(path).run(["probability"], {"score": scores})[0]
    return found


@settings(deadline=None, max_examples=60)
@given(tried(knots() | knots(NARROW) | PLATTS), CLIPS)
def test_onnx_has_the_bits_of_python(case: tuple[Calibrator, np.ndarray], clip: Clip | None) -> None:
    """At, beside, between and outside knots, at odd floats, NaN and infinities, clipped or not."""
    calibrator, scores = case
    assert same(in_onnx(calibrator, scores, clip), apply(calibrator, scores, clip=clip))


@pytest.mark.parametrize("kind", ["isotonic", "platt"])
def test_three_engines_agree_on_many_scores(kind: str) -> None:
    """On 20,000 scores and a curve fitted to noisy outcomes, SQL = Python = ONNX."""
    rng = np.random.default_rng(11)
    score = rng.normal(size=20_000)
    outcome = (rng.random(score.size) < 1 / (1 + np.exp(-score))).astype(float)
    calibrator = fit_isotonic(score, outcome) if kind == "isotonic" else Platt(-1.01, 0.003)
    expected = apply(calibrator, score, clip=PROBABILITY_RANGE)
    assert same(in_onnx(calibrator, score, PROBABILITY_RANGE), expected)
    with duckdb.connect() as con:
        con.register("scored", {"place": np.arange(score.size), "score": score})
        sql = calibration_sql(calibrator, "score", clip=PROBABILITY_RANGE)
        found = con.execute(f"select {sql} as probability from scored order by place").fetchnumpy()["probability"]
    assert same(np.asarray(found), expected)


@pytest.fixture
def model(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A small exported model, and rows to score."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(400, 3)).astype(np.float32)
    target = X[:, 0] + rng.normal(size=400)
    fitted = LightGBMModel(LightGBMConfig(n_rounds=5, num_leaves=5, threads=1), ("a", "b", "c")).fit(X, target)
    path = tmp_path / "model.onnx"
    fitted.export_onnx(path)
    return path, X


@pytest.mark.parametrize("calibrator", [Knots(np.array([-1.0, 0.2, 1.0]), np.array([0.1, 0.5, 0.9])), Platt(-2.0, 0.1)])
def test_a_model_gains_a_probability(model: tuple[Path, np.ndarray], calibrator: Calibrator, tmp_path: Path) -> None:
    """Behind a model the score is the model's own, and the probability that of the score, also for one row alone."""
    path, X = model
    (score,) = open_graph(path).run(["score"], {"features": X})
    append_calibrator(path, calibrator, tmp_path / "both.onnx", clip=PROBABILITY_RANGE)
    session = open_graph(tmp_path / "both.onnx")
    both, probability = session.run(["score", "probability"], {"features": X})
    np.testing.assert_array_equal(both, score)
    assert probability.shape == (400, 1)
    assert same(probability[:, 0].copy(), apply(calibrator, score[:, 0].astype(np.float64), clip=PROBABILITY_RANGE))
    alone = session.run(["probability"], {"features": X[:1]})[0]
    assert alone.tolist() == probability[:1].tolist()
    assert session.get_modelmeta().custom_metadata_map[FEATURES_KEY] == '["a", "b", "c"]'


def test_the_same_calibrator_gives_the_same_bytes(tmp_path: Path) -> None:
    """Written twice, the graph is one file."""
    for name in ("one.onnx", "two.onnx"):
        export_calibrator(Platt(-1.0, 0.5), tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_what_cannot_be_calibrated_is_refused(model: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    """A missing file, one that is no graph, a model that has its calibrator, and a coefficient that is no number."""
    path, _ = model
    target = tmp_path / "both.onnx"
    with pytest.raises(ModelError, match="cannot read"):
        append_calibrator(tmp_path / "nothing.onnx", Platt(-1.0, 0.0), target)
    (tmp_path / "text.onnx").write_text("this is no graph")
    with pytest.raises(ModelError):
        append_calibrator(tmp_path / "text.onnx", Platt(-1.0, 0.0), target)
    append_calibrator(path, Platt(-1.0, 0.0), target)
    with pytest.raises(ModelError, match="'score', 'probability'"):
        append_calibrator(target, Platt(-1.0, 0.0), tmp_path / "thrice.onnx")
    with pytest.raises(ModelError, match="no number"):
        export_calibrator(Platt(float("inf"), 0.0), tmp_path / "none.onnx")
    assert not (tmp_path / "none.onnx").exists()
