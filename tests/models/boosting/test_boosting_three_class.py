"""What every boosting family must do with three classes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.models.panels import NAMES, awkward_panel
from trademl.edge.session import ScoringSession
from trademl.errors import ModelError, ParityError
from trademl.models.base import ModelConfig
from trademl.models.boosting.catboost import CatBoostConfig, CatBoostModel
from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel
from trademl.models.boosting.text_model import TextModel
from trademl.models.boosting.xgboost import XGBoostConfig, XGBoostModel
from trademl.models.linear import LinearModel
from trademl.models.momentum import MomentumConfig, MomentumModel
from trademl.models.onnx import prove_parity
from trademl.models.onnx_calibrator import append_calibrator
from trademl.models.ridge import RidgeConfig, RidgeModel
from trademl.models.runtime import open_graph
from trademl.validation.calibration import Platt, apply

ROWS = 3000
X, SIGNAL = awkward_panel(ROWS)
CLASS = np.digitize(SIGNAL, [-0.5, 1.0]) - 1.0
WEIGHT = np.linspace(0.1, 3.0, ROWS)

FAMILIES: dict[str, tuple[type[TextModel], ModelConfig]] = {
    "lightgbm": (LightGBMModel, LightGBMConfig(task="three_class", n_rounds=10, min_data_in_leaf=20, threads=1)),
    "xgboost": (XGBoostModel, XGBoostConfig(task="three_class", n_rounds=10, min_child_weight=5, threads=1)),
    "catboost": (CatBoostModel, CatBoostConfig(task="three_class", n_rounds=10, threads=1)),
}
EACH = pytest.mark.parametrize("kind", FAMILIES)


def new(kind: str, **fields: Any) -> TextModel:
    family, config = FAMILIES[kind]
    return family(config.model_copy(update=fields), NAMES)


@EACH
def test_a_planted_signal_is_found(kind: str) -> None:
    """On fresh rows the likeliest class is right far more often than the majority class, and shares are about right."""
    model = new(kind, n_rounds=60).fit(X, CLASS)
    fresh, signal = awkward_panel(ROWS, seed=1)
    came = np.digitize(signal, [-0.5, 1.0]) - 1.0
    found = model.probabilities(fresh)
    majority = max(np.mean(came == label) for label in (-1, 0, 1))
    assert np.mean(found.argmax(axis=1) - 1 == came) > majority + 0.1
    assert np.corrcoef(model.predict(fresh), came)[0, 1] > 0.35
    for column, label in enumerate((-1, 0, 1)):
        assert found[:, column].mean() == pytest.approx(np.mean(came == label), abs=0.03)


@EACH
def test_every_form_of_a_model_has_the_same_bits(kind: str, tmp_path: Path) -> None:
    """Score and probabilities in memory, read back, of the engine and of the graph agree wherever thresholds lie."""
    family, config = FAMILIES[kind]
    model = family(config, NAMES).fit_rows(
        family.prepare(X, NAMES, config), CLASS, np.arange(0, ROWS, 2), weight=WEIGHT
    )
    found, scores = model.probabilities(X), model.predict(X)
    assert found.shape == (ROWS, 3)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-15
    assert np.array_equal(scores, found[:, 2] - found[:, 0])
    assert model.probabilities(X[:0]).shape == (0, 3)
    assert model.predict(X[:0]).shape == (0,)
    assert np.array_equal(np.concatenate([model.probabilities(X[at : at + 1]) for at in range(30)]), found[:30])
    native, exported = tmp_path / f"model{family.suffix}", tmp_path / "model.onnx"
    model.save(native)
    model.export_onnx(exported)
    loaded = family.load(native)
    assert loaded.text == model.text
    assert loaded.config == config.model_copy(update={"threads": 0})
    assert np.array_equal(loaded.probabilities(X), found)
    session = open_graph(exported)
    assert [output.name for output in session.get_outputs()] == ["score", "probabilities"]
    score, probabilities = session.run(None, {"features": X})
    assert (score.shape, score.dtype, probabilities.shape, probabilities.dtype) == ((ROWS, 1), "f8", (ROWS, 3), "f8")
    assert np.array_equal(probabilities, found)
    assert np.array_equal(ScoringSession(exported).predict(X), scores)
    report = prove_parity(family.native(native), exported, X, latency=True)
    assert (report.mismatches, report.trees) == (0, 3 * model.rounds)
    assert report.boundary_rows > 0
    assert (model.rounds, model.n_trees) == (10, 30)
    assert tuple(model.importances()) == NAMES
    assert model.importances()["normal"] > model.importances()["constant"] == 0


@EACH
def test_margins_are_sums_of_leaves_on_one_grid(kind: str) -> None:
    """Each class's leaves add up in float32 to the float64 sum, and the margins make the probabilities."""
    model = new(kind, n_rounds=30).fit(X, CLASS, weight=WEIGHT)
    ensemble = model.ensemble()
    margins = ensemble.scores(X)
    assert margins.shape == (ROWS, 3)
    assert np.array_equal(margins, margins.astype(np.float32).astype(np.float64))
    again = ensemble.canonical()
    assert again.constants == ensemble.constants
    assert all(np.array_equal(a.leaf_value, b.leaf_value) for a, b in zip(again.trees, ensemble.trees, strict=True))
    exact = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    assert np.abs(model.probabilities(X) - exact).max() < 1e-14


@EACH
def test_threads_and_early_stopping_change_no_byte(kind: str) -> None:
    """1, 2 and 3 threads grow the same trees and stop in the same round, long before the last."""
    train, valid = np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)
    for stopping in (None, 5):
        texts = set()
        for threads in (1, 2, 3):
            model = new(
                kind,
                threads=threads,
                early_stopping_rounds=stopping,
                **({"n_rounds": 150, "learning_rate": 0.3} if stopping else {}),
            )
            shared = model.prepare(X, NAMES, model.config)
            model.fit_rows(shared, CLASS, train, weight=WEIGHT, valid_rows=valid if stopping else None)
            texts.add(model.text)
        assert len(texts) == 1
        assert model.rounds < 60


@EACH
def test_the_round_kept_is_the_best_of_a_slow_search(kind: str) -> None:
    """Early stopping keeps as many rounds as make the validation loss of the full fit's first rounds least."""
    train, valid = np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)
    told = {"n_rounds": 60, "learning_rate": 0.3}
    whole, stopped = new(kind, **told), new(kind, **told, early_stopping_rounds=8)
    shared = whole.prepare(X, NAMES, whole.config)
    whole.fit_rows(shared, CLASS, train)
    stopped.fit_rows(shared, CLASS, train, valid_rows=valid)
    ensemble, losses = whole.ensemble(), []
    at = (CLASS[valid] + 1).astype(int)
    for rounds in range(1, 61):
        margins = type(ensemble)(ensemble.trees[: 3 * rounds], ensemble.constants).scores(X[valid])
        p = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
        losses.append(-np.log(p[np.arange(len(valid)), at]).mean())
    assert stopped.rounds == int(np.argmin(losses)) + 1
    assert stopped.rounds < 50


@EACH
def test_heavy_rows_win(kind: str) -> None:
    """Classes come at random; where those of class 1 weigh a thousand times more, it is all but certain."""
    says = np.random.default_rng(3).integers(-1, 2, ROWS).astype(np.float64)
    heavy = new(kind).fit(X, says, weight=np.where(says == 1, 1000.0, 1.0)).probabilities(X)
    plain = new(kind).fit(X, says).probabilities(X)
    assert np.median(heavy[:, 2]) > 0.98
    assert abs(np.median(plain[:, 2]) - 1 / 3) < 0.1


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("only", [-1.0, 0.0, 1.0])
def test_a_class_that_never_comes_has_next_to_no_chance(kind: str, only: float, tmp_path: Path) -> None:
    """One class alone, or two of three, are fitted too, exported and read back."""
    other = only + 1 if only < 1 else -1.0
    alone = new(kind, n_rounds=3).fit(X, np.full(ROWS, only))
    assert (alone.probabilities(X)[:, int(only) + 1] > 0.99999).all()
    two = new(kind, n_rounds=3).fit(X, np.where(only == CLASS, other, CLASS))
    assert (two.probabilities(X)[:, int(only) + 1] < 1e-4).all()
    for number, model in enumerate((alone, two)):
        model.save(tmp_path / f"{number}")
        model.export_onnx(tmp_path / f"{number}.onnx")
        assert prove_parity(model.native(tmp_path / f"{number}"), tmp_path / f"{number}.onnx", X).mismatches == 0


def test_catboost_wants_rows_of_every_class() -> None:
    """It would fit two classes in silence; validation rows may lack one."""
    with pytest.raises(ModelError, match="none of the 3000 train rows has the class 0"):
        new("catboost").fit(X, np.where(CLASS == 0, 1.0, CLASS))
    model = new("catboost", early_stopping_rounds=3)
    model.fit_rows(
        model.prepare(X, NAMES, model.config), CLASS, np.arange(1500), valid_rows=1500 + np.flatnonzero(CLASS[1500:])
    )
    assert 1 <= model.rounds <= 10


@EACH
def test_other_labels_are_refused(kind: str) -> None:
    """Classes are -1, 0 and 1; class numbers 0, 1, 2 and missing labels are named with their row."""
    with pytest.raises(ModelError, match=r"label of row \d+ is 2\.0, must be -1, 0 or 1"):
        new(kind).fit(X, CLASS + 1)
    with pytest.raises(ModelError, match="label of row 7 is nan, must be -1, 0 or 1"):
        new(kind).fit(X, np.where(np.arange(ROWS) == 7, np.nan, CLASS))


@EACH
def test_only_three_classes_have_probabilities(kind: str) -> None:
    """A regression or binary model says that it has none and what to do; an unfitted one that it is not fitted."""
    for task, y in (("regression", SIGNAL), ("binary", (SIGNAL > 0).astype(np.float64))):
        model = new(kind, task=task, n_rounds=2).fit(X, y)
        with pytest.raises(ModelError, match=f"a {kind} model with task '{task}' has no class probabilities"):
            model.probabilities(X)
    with pytest.raises(ModelError, match="not fitted"):
        new(kind).probabilities(X)


@EACH
def test_constraints_are_refused_with_the_reason(kind: str) -> None:
    """What engines hold monotone is not the score, so a constraint on three classes is refused before any fit."""
    with pytest.raises(ModelError, match=r"monotone names normal, and the task is three_class: .* each class"):
        new(kind, monotone={"normal": 1})


@pytest.mark.parametrize("family, config", [(RidgeModel, RidgeConfig()), (MomentumModel, MomentumConfig())])
def test_linear_families_refuse_classes_with_a_remedy(family: type[LinearModel], config: ModelConfig) -> None:
    """They fit or read one number; the message names the families that fit classes."""
    with pytest.raises(ModelError, match="not the task 'three_class'") as caught:
        family(config.model_copy(update={"task": "three_class"}), NAMES)
    assert "lightgbm, xgboost, catboost" in caught.value.remedy


@EACH
def test_the_proof_finds_a_changed_probability_and_a_graph_without_any(kind: str, tmp_path: Path) -> None:
    """A leaf that moves all but one class, and a graph of another task, do not pass."""
    model = new(kind, n_rounds=3).fit(X, CLASS)
    model.save(tmp_path / "m")
    model.export_onnx(tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx")
    weights = next(item for item in graph.graph.node[0].attribute if item.name == "target_weights")
    weights.floats[0] += 2.0**-10
    onnx.save(graph, tmp_path / "changed.onnx")
    with pytest.raises(ParityError, match="native and ONNX scores differ"):
        prove_parity(model.native(tmp_path / "m"), tmp_path / "changed.onnx", X)
    new(kind, task="regression", n_rounds=3).fit(X, SIGNAL).export_onnx(tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="has not the classes of"):
        prove_parity(model.native(tmp_path / "m"), tmp_path / "other.onnx", X)


def test_a_calibrator_reads_the_expected_class(tmp_path: Path) -> None:
    """Behind a model of three classes a calibrator adds its probability and leaves the other outputs as they are."""
    model = new("lightgbm").fit(X, CLASS)
    model.export_onnx(tmp_path / "m.onnx")
    append_calibrator(tmp_path / "m.onnx", Platt(-2.0, 0.1), tmp_path / "both.onnx")
    score, classes, chance = open_graph(tmp_path / "both.onnx").run(None, {"features": X})
    assert np.array_equal(score[:, 0], model.predict(X))
    assert np.array_equal(classes, model.probabilities(X))
    assert np.array_equal(chance[:, 0], apply(Platt(-2.0, 0.1), model.predict(X)))


@pytest.mark.parametrize("quantised", [False, True])
def test_lightgbm_fits_side_by_side(quantised: bool) -> None:
    """Fits of one prepared matrix, in two threads at once, save the same texts as one after the other."""
    assert LightGBMModel.fits_side_by_side
    shared = LightGBMModel.prepare(X, NAMES, FAMILIES["lightgbm"][1])
    jobs = [
        (task, y, np.flatnonzero(np.arange(ROWS) % 5 != left))
        for task, y in (("three_class", CLASS), ("regression", SIGNAL))
        for left in range(4)
    ]

    def fitted(job: tuple[str, np.ndarray, np.ndarray]) -> str:
        task, y, rows = job
        model = new("lightgbm", task=task, quantised_gradients=quantised)
        return model.fit_rows(shared, y, rows, weight=None if quantised else WEIGHT).text

    alone = [fitted(job) for job in jobs]
    for _ in range(3):
        with ThreadPoolExecutor(max_workers=2) as pool:
            assert list(pool.map(fitted, jobs)) == alone
    assert len(set(alone)) == len(jobs)
    assert not XGBoostModel.fits_side_by_side
    assert not CatBoostModel.fits_side_by_side


@EACH
def test_a_card_that_is_not_there_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a graphics card a fit on one stops with the reason and the remedy; it never falls back in silence."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    model = new(kind, task="regression", device="gpu", **({"colsample_bylevel": 1.0} if kind == "catboost" else {}))
    with pytest.raises(ModelError, match=r"device is gpu, and .* cannot train on one here: .") as caught:
        model.fit(X, SIGNAL)
    assert "device: cpu" in caught.value.remedy


@EACH
def test_the_device_changes_configurations_only_where_it_is_a_card(kind: str) -> None:
    """On the processor nothing of it is written, so hashes and files stay; on a card it is."""
    config = FAMILIES[kind][1]
    assert "device" not in config.model_dump()
    assert "device" not in type(config)(device="cpu").model_dump_json()
    assert type(config)(device="gpu").model_dump()["device"] == "gpu"
    assert type(config).model_validate(config.model_dump(mode="json")) == config


def test_catboost_draws_no_columns_on_a_card() -> None:
    """A share of the columns below 1 is refused there instead of being forgotten."""
    model = new("catboost", device="gpu", colsample_bylevel=0.5)
    with pytest.raises(ModelError, match=r"colsample_bylevel is 0\.5 with device gpu"):
        model.fit(X, CLASS)
