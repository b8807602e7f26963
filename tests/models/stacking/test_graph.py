"""A blend as an ONNX graph."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.models.stacking.views import fitted, views
from trademl.models.stacking.blend import Blend
from trademl.models.stacking.config import BLENDERS
from trademl.models.stacking.graph import export_blend


@pytest.mark.parametrize("blender, task", [(name, task) for name, tasks in BLENDERS.items() for task in tasks])
def test_a_saved_blend_reads_back_and_its_graph_gives_the_same_bits(blender: str, task: str, tmp_path: Path) -> None:
    """File and ONNX graph: every bit, for missing and extreme scores, and on and beside each threshold of the trees."""
    blend = fitted(blender, task=task)
    scores = views(seed=4)[0]
    scores[np.random.default_rng(0).random(scores.shape) < 0.3] = np.nan
    odd = [0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308, np.inf, -np.inf, np.nan, 1e-300, 3.0]
    corners = np.stack(np.meshgrid(odd, odd, odd), axis=-1).reshape(-1, 3)
    rows = [scores, corners]
    if blend.trees:
        for tree in blend.meta.trees():
            for feature, threshold in zip(tree.feature, tree.threshold, strict=True):
                edge = np.float64(blend.means[feature]) + np.float64(blend.scales[feature]) * threshold
                for value in (edge, np.nextafter(edge, np.inf), np.nextafter(edge, -np.inf)):
                    rows.append(np.where(np.arange(3) == feature, value, scores[:1]))
    every = np.concatenate(rows)
    blend.save(tmp_path / "blend.json")
    again = Blend.load(tmp_path / "blend.json")
    assert again == blend
    export_blend(blend, tmp_path / "blend.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "blend.onnx", providers=["CPUExecutionProvider"])
    (exported,) = session.run(["score"], {"scores": every})
    assert exported.dtype == np.float64
    found = again.predict(every)
    nan = np.isnan(found)
    np.testing.assert_array_equal(np.isnan(exported[:, 0]), nan)
    np.testing.assert_array_equal(exported[:, 0][~nan].view(np.uint64), found[~nan].view(np.uint64))
