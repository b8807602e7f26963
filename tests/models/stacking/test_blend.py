"""How a blend answers, also when an input is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.stacking.views import INPUTS, ROWS, config, fitted, views
from tests.oracles.stacking import blend_one
from trademl.errors import ModelError
from trademl.models.stacking.blend import Blend, average
from trademl.models.stacking.fit import fit_blend


def test_an_average_of_three_noisy_views_of_one_unit_beats_each() -> None:
    """An average reads scores in their own unit; its score has that unit."""
    scores, y = views(seed=2)
    scores = (scores - np.array([0.0, 3.0, -7.0])) / np.array([1.0, 0.01, 40.0])
    alone = [np.corrcoef(scores[:, column], y)[0, 1] for column in range(3)]
    blended = average(INPUTS, {}).predict(scores)
    np.testing.assert_allclose(blended, scores.mean(axis=1), rtol=1e-12)
    assert np.corrcoef(blended, y)[0, 1] > max(alone) + 0.03


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), linear=st.sampled_from(["ridge", "non_negative", "average"]))
def test_missing_inputs_leave_the_blend_of_the_others(seed: int, linear: str) -> None:
    """Row by row: the weights of the inputs that are there are scaled up to those of all; with none, no score."""
    blend = average(INPUTS, {"a": 1, "b": 3, "c": 0}) if linear == "average" else fitted(linear)
    rng = np.random.default_rng(seed)
    scores = views(seed)[0][:40]
    scores[rng.random(scores.shape) < 0.4] = np.nan
    found = blend.predict(scores)
    expected = [blend_one(row, blend.means, blend.scales, blend.weights, blend.level) for row in scores.tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert np.isnan(found[np.isnan(scores).all(axis=1)]).all()


def test_an_average_renormalises_over_what_is_there() -> None:
    """Weights 1 and 3: both, 2.5; the first alone, its own score; the third weighs nothing."""
    blend = average(INPUTS, {"a": 1, "b": 3, "c": 0})
    nan = float("nan")
    rows = np.array([[1.0, 3.0, 9.0], [1.0, nan, 9.0], [nan, 3.0, nan], [nan, nan, 9.0], [nan, nan, nan]])
    np.testing.assert_array_equal(blend.predict(rows), [2.5, 1.0, 3.0, 0.0, nan])


def test_trees_read_a_missing_input() -> None:
    """LightGBM takes NaN as NaN; only a row without any input has no score."""
    scores = views(seed=3)[0]
    scores[::2, 1] = np.nan
    scores[::10] = np.nan
    found = fitted("lightgbm").predict(scores)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(scores).all(axis=1))


def test_shares_sum_to_one_and_follow_the_worth() -> None:
    """The clearest view has the largest share."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(ROWS)
    scores = signal[:, None] + np.array([0.3, 2.0, 2.0]) * rng.standard_normal((ROWS, 3))
    for blender in ("ridge", "lightgbm"):
        trees = {"min_data_in_leaf": 50}
        shares = fit_blend(scores, signal, None, config(blender=blender, trees=trees), INPUTS).shares()
        assert sum(shares.values()) == pytest.approx(1.0)
        assert max(shares, key=lambda name: shares[name]) == "a"


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda raw: raw.pop("means"), "is no blend"),
        (lambda raw: raw.update(format="other"), "is no blend"),
        (lambda raw: raw.update(means=[0.0]), "do not fit"),
        (lambda raw: raw.update(scales=[1.0, 0.0, 1.0]), "a scale of 0"),
        (lambda raw: raw.update(weights=[1.0, float("inf"), 1.0]), "not finite"),
        (lambda raw: raw.update(blender="lightgbm"), "do not fit"),
    ],
)
def test_a_damaged_blend_is_refused(change: Any, told: str) -> None:
    """Every number is checked before it is used."""
    raw = fitted("ridge").to_dict()
    change(raw)
    with pytest.raises(ModelError, match=told):
        Blend.from_dict(raw, origin="blend.json")


def test_a_file_that_is_no_blend_is_refused(tmp_path: Path) -> None:
    """Missing, not JSON, not an object."""
    with pytest.raises(ModelError, match="cannot read"):
        Blend.load(tmp_path / "absent.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ModelError, match="holds no JSON object"):
        Blend.load(tmp_path / "list.json")
