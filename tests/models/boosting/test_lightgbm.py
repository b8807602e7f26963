"""The LightGBM family: determinism, shared bins, inputs, saving."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.panels import NAMES, awkward_panel
from trademl.errors import ModelError
from trademl.models.boosting.lightgbm import (
    BinnedData,
    LGBMParams,
    LightGBMConfig,
    LightGBMModel,
    fit_split,
)

ROWS = 4000
X, Y = awkward_panel(ROWS)
SMALL = LightGBMConfig(n_rounds=12, num_leaves=8, min_data_in_leaf=20, threads=1)


@pytest.fixture(scope="module")
def binned() -> BinnedData:
    return LightGBMModel.prepare(X, NAMES, SMALL)


@pytest.fixture(scope="module")
def fitted(binned: BinnedData) -> LightGBMModel:
    return LightGBMModel(SMALL, NAMES).fit_rows(binned, Y)


def changed(**fields: Any) -> LightGBMConfig:
    return SMALL.model_copy(update=fields)


@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize("quantised", [False, True])
def test_threads_change_no_byte_of_the_model(task: str, quantised: bool) -> None:
    """1, 2 and 3 threads, binning included, give the same model text: sparse, tied and missing columns, weights."""
    y = Y if task == "regression" else (Y > 1).astype(float)
    weight = None if quantised else np.linspace(0.1, 3.0, ROWS)
    texts = {
        LightGBMModel(config, NAMES).fit(X, y, weight=weight).text
        for config in (changed(threads=t, task=task, quantised_gradients=quantised) for t in (1, 2, 3))
    }
    assert len(texts) == 1


def test_quantised_gradients_take_no_uneven_weights() -> None:
    """LightGBM would fit them wrongly and say nothing; even ones, or none, are fitted."""
    model = LightGBMModel(changed(quantised_gradients=True), NAMES)
    with pytest.raises(ModelError, match="quantised_gradients with sample weights from 0") as caught:
        model.fit(X, Y, weight=np.linspace(0.5, 2.0, ROWS))
    assert "quantised_gradients to false" in caught.value.remedy
    assert model.fit(X, Y, weight=np.full(ROWS, 2.0)).rounds == changed().n_rounds


def test_another_seed_gives_another_model(binned: BinnedData, fitted: LightGBMModel) -> None:
    """The seed drives row and column sampling, and not the bins, so one binned matrix serves all seeds."""
    other = fit_split(binned, np.arange(ROWS), Y, None, changed(seed=7))
    assert other.text != fitted.text
    assert LightGBMModel(changed(seed=7), NAMES).fit(X, Y).text == other.text


def test_a_split_of_shared_bins_reads_only_its_rows(binned: BinnedData) -> None:
    """Labels and weights outside the split's rows do not matter, and the rows' order does not either."""
    rows = np.arange(0, ROWS, 3)
    weight = np.linspace(0.1, 3.0, ROWS)
    first = fit_split(binned, rows, Y, weight, SMALL)
    spoilt, spoilt_weight = np.full(ROWS, np.nan), np.full(ROWS, -1.0)
    spoilt[rows], spoilt_weight[rows] = Y[rows], weight[rows]
    assert fit_split(binned, rows[::-1], spoilt, spoilt_weight, SMALL).text == first.text
    assert fit_split(binned, rows, Y, None, SMALL).text != first.text


def test_shared_bins_serve_many_labels(binned: BinnedData, fitted: LightGBMModel) -> None:
    """Fitting another label and task in between leaves the shared bins as they were."""
    fit_split(binned, np.arange(100, ROWS), (Y > 0).astype(float), None, changed(task="binary"))
    assert LightGBMModel(SMALL, NAMES).fit_rows(binned, Y).text == fitted.text


def test_the_split_equals_a_plain_fit_when_the_bins_are_the_same() -> None:
    """With few distinct values per column bins do not depend on the rows: a subset equals fitting its rows alone."""
    coarse = np.ascontiguousarray(np.round(np.nan_to_num(X[:, [0, 7, 9]])))
    rows = np.arange(0, ROWS, 2)
    names = ["a", "b", "c"]
    shared = LightGBMModel.prepare(coarse, names, SMALL)
    alone = LightGBMModel(SMALL, names).fit(coarse[rows], Y[rows])
    split = fit_split(shared, rows, Y, None, SMALL)
    assert np.abs(split.predict(coarse) - alone.predict(coarse)).max() < 1e-6


def test_canonical_scores_stay_within_half_a_grid_step_per_tree_of_lightgbm() -> None:
    """The canonical model's scores are LightGBM's own, up to half a step of 2**-23 for each of 12 trees."""
    import lightgbm

    values = np.ascontiguousarray(X[:, [0, 7]])
    parameters = {**SMALL.parameters(), "feature_fraction": 1.0, "bagging_freq": 0}
    booster = lightgbm.train(parameters, lightgbm.Dataset(values, label=Y, params=parameters), 12)
    model = LightGBMModel.from_text(booster.model_to_string())
    plain = booster.predict(values, raw_score=True, num_threads=1)
    # The largest leaves sum to less than 2, so the grid is 2**-23 or finer.
    assert 0.5 < np.abs(plain).max() < 2
    assert np.abs(model.predict(values) - plain).max() <= 12 * 2.0**-24


def test_scores_are_float32_numbers(fitted: LightGBMModel) -> None:
    """Every score is exactly a float32, one per row, as float64."""
    scores = fitted.predict(X)
    assert scores.dtype == np.float64
    assert scores.shape == (ROWS,)
    assert np.array_equal(scores, scores.astype(np.float32).astype(np.float64))
    assert fitted.predict(X[:0]).shape == (0,)


def test_the_model_learns_the_planted_signal(fitted: LightGBMModel) -> None:
    """On fresh rows of the same process the scores correlate with the label; the noise alone caps it near 0.7."""
    fresh, y = awkward_panel(ROWS, seed=1)
    assert np.corrcoef(fitted.predict(fresh), y)[0, 1] > 0.35


def test_binary_scores_are_log_odds() -> None:
    """A binary model scores log-odds: with no usable feature it says log(p / (1 - p)) of the base rate."""
    y = np.zeros(1000)
    y[:200] = 1
    constant = np.ones((1000, 1), dtype=np.float32)
    model = LightGBMModel(changed(task="binary"), ["one"]).fit(constant, y)
    # log(0.2 / 0.8) = -1.3862943611198906
    assert model.predict(constant[:1])[0] == pytest.approx(-1.3862943611198906, abs=1e-6)


def test_importances_are_gains_of_the_features_that_matter(fitted: LightGBMModel) -> None:
    """Gains come in feature order, and columns that cannot split anything have none."""
    gains = fitted.importances()
    assert tuple(gains) == NAMES
    assert gains["constant"] == gains["all_nan"] == 0
    assert gains["normal"] > gains["day"]


def test_save_and_load_round_trip(fitted: LightGBMModel, tmp_path: Path) -> None:
    """A loaded model has the same text, configuration (but for threads), features and scores."""
    fitted.save(tmp_path / "model.txt")
    loaded = LightGBMModel.load(tmp_path / "model.txt")
    assert loaded.text == fitted.text
    assert loaded.feature_names == NAMES
    assert loaded.config == changed(threads=0)
    assert np.array_equal(loaded.predict(X), fitted.predict(X))
    assert (tmp_path / "model.txt").stat().st_mode & 0o777 == 0o444


def test_plain_lightgbm_reads_the_saved_file(fitted: LightGBMModel, tmp_path: Path) -> None:
    """The saved file is LightGBM's own format: the engine alone gives the same scores."""
    import lightgbm

    fitted.save(tmp_path / "model.txt")
    booster = lightgbm.Booster(model_file=str(tmp_path / "model.txt"))
    assert booster.feature_name() == list(NAMES)
    assert np.array_equal(booster.predict(X, raw_score=True, num_threads=1), fitted.predict(X))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not a complete LightGBM model text"),
        ("<html>404</html>", "not a complete LightGBM model text"),
        ("tree\nversion=v4\n\nTree=0\nnum_leaves=2\n", "not a complete LightGBM model text"),
    ],
)
def test_files_that_are_no_model_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """An empty file, a web page and a cut text are named as such."""
    (tmp_path / "model.txt").write_text(text)
    with pytest.raises(ModelError, match=message):
        LightGBMModel.load(tmp_path / "model.txt")
    with pytest.raises(ModelError, match="cannot read the model file"):
        LightGBMModel.load(tmp_path / "absent.txt")


def test_a_text_that_lost_a_tree_is_refused(fitted: LightGBMModel) -> None:
    """When the header declares more trees than there are, the text is damaged."""
    start, end = fitted.text.index("Tree=3\n"), fitted.text.index("Tree=4\n")
    with pytest.raises(ModelError, match="11 trees of 12 declared"):
        LightGBMModel.from_text(fitted.text[:start] + fitted.text[end:])


def test_progress_counts_every_round(binned: BinnedData) -> None:
    """Progress is called with 1 of 12 to 12 of 12."""
    seen: list[tuple[int, int]] = []
    fit_split(binned, np.arange(ROWS), Y, None, SMALL, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 12) for done in range(1, 13)]


def test_early_stopping_keeps_the_best_round(binned: BinnedData) -> None:
    """Pure noise stops early, and fewer trees than rounds are kept; validation rows may not be left out."""
    noise = np.random.default_rng(0).standard_normal(ROWS)
    config = changed(n_rounds=200, early_stopping_rounds=5, learning_rate=0.3)
    train, valid = np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)
    model = fit_split(binned, train, noise, None, config, valid_rows=valid)
    assert model.n_trees < 50
    with pytest.raises(ModelError, match="early_stopping_rounds=5 with no validation rows"):
        fit_split(binned, train, noise, None, config)
    with pytest.raises(ModelError, match="early_stopping_rounds=None with validation rows"):
        fit_split(binned, train, noise, None, SMALL, valid_rows=valid)


def label(row: int, value: float) -> np.ndarray:
    y = Y.copy()
    y[row] = value
    return y


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"y": Y[:-1]}, r"y has shape \(3999,\), expected \(4000,\)"),
        ({"y": label(7, np.nan)}, "label of row 7 is nan, must be finite"),
        ({"y": label(7, np.inf)}, "label of row 7 is inf, must be finite"),
        ({"weight": np.ones(3)}, r"weight has shape \(3,\)"),
        ({"weight": -np.ones(ROWS)}, "weight of row 0 is -1.0, must be finite and >= 0"),
        ({"weight": np.zeros(ROWS)}, "all 4000 weights are 0"),
        ({"rows": np.array([], dtype=int)}, "rows is empty"),
        ({"rows": np.array([0, ROWS])}, "rows has position 4000, the matrix has 4000 rows"),
        ({"rows": np.array([-1, 3])}, "rows has position -1"),
        ({"rows": np.array([3, 3])}, "rows has a position twice"),
    ],
)
def test_wrong_training_input_is_named(binned: BinnedData, arguments: dict[str, Any], message: str) -> None:
    """A wrong label, weight or row position is a ModelError that gives the position and the value."""
    with pytest.raises(ModelError, match=message):
        LightGBMModel(SMALL, NAMES).fit_rows(binned, **{"y": Y, **arguments})


def test_binary_labels_are_zero_or_one(binned: BinnedData) -> None:
    """A binary task refuses any other label."""
    with pytest.raises(ModelError, match=r"label of row 0 is .*, must be 0 or 1"):
        LightGBMModel(changed(task="binary"), NAMES).fit_rows(binned, Y)


def test_other_bins_or_features_than_the_models_are_refused(binned: BinnedData) -> None:
    """A matrix binned with another max_bin or other features cannot be fitted from."""
    with pytest.raises(ModelError, match="binned with max_bin=255, the model has 63"):
        LightGBMModel(changed(max_bin=63), NAMES).fit_rows(binned, Y)
    with pytest.raises(ModelError, match="other feature names"):
        LightGBMModel(SMALL, NAMES[::-1]).fit_rows(binned, Y)


def test_matrix_must_be_float32_in_c_order_and_as_wide_as_the_model(fitted: LightGBMModel) -> None:
    """Nothing is converted in silence when scoring."""
    with pytest.raises(ModelError, match="X is float64; models read float32"):
        fitted.predict(X.astype(np.float64))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="not C-order"):
        fitted.predict(np.asfortranarray(X))
    with pytest.raises(ModelError, match=r"X has shape \(4000, 9\), expected \(rows, 10\)"):
        fitted.predict(X[:, 1:])


@pytest.mark.parametrize(
    "names, message",
    [([], "no feature names"), (["a b"], "'a b' is not letters"), (["a", "a"], "'a' occurs twice"), (["1a"], "'1a'")],
)
def test_feature_names_are_identifiers(names: list[str], message: str) -> None:
    """Names that SQL or the model file cannot carry are refused."""
    with pytest.raises(ModelError, match=message):
        LightGBMModel(SMALL, names)


def test_an_unfitted_model_says_so() -> None:
    """Predicting, saving or asking for importances before fitting is a ModelError."""
    model = LightGBMModel(SMALL, NAMES)
    with pytest.raises(ModelError, match="not fitted"):
        model.predict(X)
    with pytest.raises(ModelError, match="not fitted"):
        model.importances()


def test_seed_parameters_are_the_seeds() -> None:
    """LGBMParams has the defaults of seed 004's appendix A."""
    params = LGBMParams()
    stated = (63, -1, 0.05, 200, 0.8, 0.8, 0.0, 0.0)
    names = "num_leaves max_depth learning_rate min_data_in_leaf colsample_bytree subsample lambda_l1 lambda_l2"
    assert tuple(getattr(params, name) for name in names.split()) == stated
