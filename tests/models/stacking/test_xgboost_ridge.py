"""XGBoost models and their features under a ridge regression; test_registry_contract.py has what every family does."""

import json
from pathlib import Path

import numpy as np
import pytest

from trademl.edge.session import ScoringSession
from trademl.errors import ModelError
from trademl.models.onnx import prove_parity
from trademl.models.stacking.blend import average
from trademl.models.stacking.config import StackConfig
from trademl.models.stacking.meta_ridge import MetaRidge
from trademl.models.stacking.model import StackModel
from trademl.models.stacking.out_of_fold import out_of_fold
from trademl.models.stacking.xgboost_ridge import XGBoostRidgeModel
from trademl.models.stacking.xgboost_ridge_config import BaseTrees, InnerValidation, XGBoostRidgeConfig
from trademl.validation.spans import LabelSpans

NAMES = ("first", "second", "third")
ROWS = 240
CONFIG = XGBoostRidgeConfig(
    bases=tuple(BaseTrees(n_rounds=6, max_depth=1 + n % 3, min_child_weight=2, seed=n) for n in range(8)),
    inner=InnerValidation(folds=4, test_folds=2, embargo=2),
    threads=1,
)


def panel() -> tuple[np.ndarray, np.ndarray, LabelSpans]:
    """Return 40 days of 6 wallets: a linear part, a step, and noise."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(ROWS, 3)).astype(np.float32)
    y = X[:, 0] + 2.0 * (X[:, 1] > 0) + 0.5 * rng.normal(size=ROWS)
    day = np.repeat(np.arange(40), 6)
    return X, y, LabelSpans(day, day + 7, np.tile(np.arange(6), 40))


@pytest.fixture(scope="module")
def fitted() -> XGBoostRidgeModel:
    X, y, spans = panel()
    model = XGBoostRidgeModel(CONFIG, NAMES)
    model.tell_spans(spans)
    return model.fit(X, y)


@pytest.fixture
def saved(fitted: XGBoostRidgeModel, tmp_path: Path) -> Path:
    fitted.save(tmp_path / "model.json")
    return tmp_path / "model.json"


def test_the_regression_learns_from_out_of_fold_predictions(fitted: XGBoostRidgeModel) -> None:
    """Its coefficients are those of a ridge on the features beside the purged out-of-fold predictions."""
    X, y, spans = panel()
    data = XGBoostRidgeModel.prepare(X, NAMES, CONFIG)
    scores = out_of_fold(data, y.astype(np.float32).astype(np.float64), np.ones(ROWS), spans, CONFIG)
    inputs = (*NAMES, *(f"base_model_{number}" for number in range(8)))
    due = MetaRidge.fit(
        np.column_stack([X.astype(np.float64), scores]),
        y.astype(np.float32).astype(np.float64),
        np.ones(ROWS),
        alpha=60.0,
        inputs=inputs,
    )
    assert fitted.meta == due
    seen = MetaRidge.fit(
        np.column_stack([X.astype(np.float64), fitted.base_scores(X)]), y, np.ones(ROWS), alpha=60.0, inputs=inputs
    )
    assert not np.allclose(seen.coefficients, due.coefficients, rtol=0.05)


def test_spans_decide_what_the_regression_learns(fitted: XGBoostRidgeModel) -> None:
    """Without label spans nothing is purged, and the model is another."""
    X, y, _ = panel()
    alone = XGBoostRidgeModel(CONFIG, NAMES).fit(X, y)
    assert alone.meta != fitted.meta
    assert [base.text for base in alone.bases] == [base.text for base in fitted.bases]


def test_it_finds_what_neither_part_finds_alone(fitted: XGBoostRidgeModel) -> None:
    """Linear effect and step: the stack's error is below that of each base model."""
    X, y, _ = panel()
    error = np.mean((fitted.predict(X) - y) ** 2)
    assert error < min(np.mean((base.predict(X) - y) ** 2) for base in fitted.bases)
    shares = fitted.shares()
    assert list(shares)[:2] == ["features", "base_model_0"]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(fitted.importances(), key=lambda name: fitted.importances()[name]) in ("first", "second")


def test_one_merged_graph_scores_as_the_staged_path(fitted: XGBoostRidgeModel, saved: Path) -> None:
    """On random rows, around every threshold and with odd floats in every feature: no difference, in one graph."""
    import onnx

    X = np.random.default_rng(9).normal(scale=2.0, size=(3000, 3)).astype(np.float32)
    graph = saved.with_name("model.onnx")
    fitted.export_onnx(graph)
    report = prove_parity(XGBoostRidgeModel.native(saved), graph, X)
    assert (report.mismatches, report.max_abs_difference) == (0, 0.0)
    assert report.trees == 48
    # 20 odd floats in each of three features, whether a tree asks for it or not.
    assert report.boundary_rows >= 4 * report.thresholds + 60
    merged = onnx.load(graph)
    assert [value.name for value in merged.graph.input] == ["features"]
    assert sum(node.op_type == "TreeEnsembleRegressor" for node in merged.graph.node) == 8
    assert np.array_equal(ScoringSession(graph).predict(X), fitted.predict(X))
    fitted.export_onnx(saved.with_name("again.onnx"))
    assert saved.with_name("again.onnx").read_bytes() == graph.read_bytes()


def test_the_native_form_is_readable_files(saved: Path) -> None:
    """Eight of XGBoost's own JSON, scaler and ridge, and a document with their hashes; XGBoost reads its own."""
    import xgboost

    names = sorted(path.name for path in saved.parent.iterdir())
    assert names == [*(f"base_model_{n}.json" for n in range(8)), "model.json", "ridge.json", "scaler.json"]
    assert sorted(json.loads(saved.read_text())["parts"]) == sorted(set(names) - {"model.json"})
    booster = xgboost.Booster(model_file=str(saved.with_name("base_model_3.json")))
    assert booster.num_boosted_rounds() == 6


def test_missing_cut_or_altered_parts_are_refused(saved: Path) -> None:
    """Whatever happens to one of the files, the others do not score without it."""
    whole = {path.name: path.read_bytes() for path in saved.parent.iterdir()}

    def put(name: str, content: bytes | None) -> None:
        path = saved.with_name(name)
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)

    document = json.loads(whole["model.json"])
    fewer = {**document, "parts": {name: value for name, value in document["parts"].items() if "_7" not in name}}
    for name, content, told in [
        ("base_model_4.json", None, r"part base_model_4\.json of the stack is missing"),
        ("base_model_4.json", whole["base_model_4.json"][:200], r"base_model_4\.json was altered"),
        ("ridge.json", whole["ridge.json"].replace(b"1", b"2", 1), r"ridge\.json was altered"),
        ("model.json", whole["model.json"][:300], "cannot read"),
        ("model.json", json.dumps(fewer).encode(), r"needed are base_model_0\.json"),
        ("model.json", json.dumps({**document, "features": ["second", "first", "third"]}).encode(), "in their order"),
        ("model.json", json.dumps({**document, "format": "x"}).encode(), "no saved xgboost_ridge model"),
    ]:
        put(name, content)
        for read in (XGBoostRidgeModel.load, XGBoostRidgeModel.native):
            with pytest.raises(ModelError, match=told):
                read(saved)
        put(name, whole[name])
    assert XGBoostRidgeModel.load(saved).feature_names == NAMES


def test_parts_must_fit_together(fitted: XGBoostRidgeModel) -> None:
    """A base of other features, or a regression of other inputs, is refused when a stack is put together."""
    X, y, _ = panel()
    turned = XGBoostRidgeModel(CONFIG, NAMES[::-1]).fit(X, y)
    with pytest.raises(ModelError, match="features of base model 7 are not those of the stack"):
        XGBoostRidgeModel.of(CONFIG, [*fitted.bases[:7], turned.bases[7]], fitted.meta)
    with pytest.raises(ModelError, match="scaler and ridge read other features"):
        XGBoostRidgeModel.of(CONFIG, fitted.bases, turned.meta)
    with pytest.raises(ModelError, match="7 base models for 8"):
        XGBoostRidgeModel.of(CONFIG, fitted.bases[:7], fitted.meta)


def test_the_same_base_twice_is_refused() -> None:
    """Two equal base models would count double and teach nothing."""
    X, y, _ = panel()
    config = CONFIG.model_copy(update={"bases": (CONFIG.bases[0], CONFIG.bases[1], CONFIG.bases[0])})
    with pytest.raises(ModelError, match="bases 0 and 2 are the same model twice"):
        XGBoostRidgeModel(config, NAMES).fit(X, y)


def test_a_stack_of_runs_does_not_take_it(fitted: XGBoostRidgeModel) -> None:
    """Its native form is several files, and a stack of runs holds one text for each base."""
    config = StackConfig(bases=("a",), blender="average")
    with pytest.raises(ModelError, match="several files"):
        StackModel.of(config, [fitted], average(("a",), {}))
