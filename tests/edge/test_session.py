"""Scoring with an exported model."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from trademl.edge.session import ScoringSession
from trademl.errors import ModelError, ParityError
from trademl.models.golden import write_golden
from trademl.models.runtime import FEATURES_KEY


@pytest.fixture
def stump(tmp_path: Path) -> Path:
    """A hand-made graph: 1.5 when b <= 0.25, -2.5 when above, and 1.5 when b is missing."""
    helper = onnx.helper
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["score"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[1, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.25, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[1, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[1.5, -2.5],
    )
    tensor = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "stump",
        [helper.make_tensor_value_info("features", tensor, [None, 2])],
        [helper.make_tensor_value_info("score", tensor, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, {FEATURES_KEY: json.dumps(["a", "b"])})
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


ROWS = np.array([[9, 0.25], [9, 0.26], [9, np.nan], [np.nan, -9]], dtype=np.float32)
SCORES = np.array([1.5, -2.5, 1.5, 1.5])


def test_scores_by_hand(stump: Path) -> None:
    """Rows at, above and below the threshold and with a missing value score as drawn up by hand, as float64."""
    session = ScoringSession(stump)
    assert session.feature_names == ("a", "b")
    scores = session.predict(ROWS)
    assert scores.dtype == np.float64
    assert scores.tolist() == SCORES.tolist()
    assert session.predict(np.asfortranarray(ROWS)).tolist() == SCORES.tolist()
    assert session.predict(ROWS[:0]).shape == (0,)


def test_wrong_input_is_explained(stump: Path) -> None:
    """Another width, one dimension or float64 is a ModelError that gives the shape or type and what is expected."""
    session = ScoringSession(stump)
    with pytest.raises(ModelError, match=r"X has shape \(4, 1\), model.onnx expects \(rows, 2\)"):
        session.predict(ROWS[:, :1])
    with pytest.raises(ModelError, match=r"X has shape \(2,\)"):
        session.predict(ROWS[0])
    with pytest.raises(ModelError, match=r"X is float64, model\.onnx reads float32"):
        session.predict(ROWS.astype(np.float64))  # type: ignore[arg-type]


def test_a_graph_of_someone_else_is_refused(stump: Path) -> None:
    """A valid graph that does not record its features, or has other names, is not scored with."""
    graph = onnx.load(stump)
    del graph.metadata_props[:]
    onnx.save(graph, stump)
    with pytest.raises(ModelError, match="a trademl graph maps"):
        ScoringSession(stump)


def test_a_graph_with_probabilities_still_has_one_score_a_row(stump: Path) -> None:
    """Beside the score a graph of three classes has ``probabilities``; any other second output is someone else's."""
    helper, tensor = onnx.helper, onnx.TensorProto.FLOAT
    graph = onnx.load(stump)
    graph.graph.node.append(helper.make_node("Identity", ["score"], ["probabilities"]))
    graph.graph.output.append(helper.make_tensor_value_info("probabilities", tensor, [None, 1]))
    onnx.save(graph, stump)
    assert ScoringSession(stump).predict(ROWS).tolist() == SCORES.tolist()
    graph.graph.node[-1].output[0] = graph.graph.output[-1].name = "chances"
    onnx.save(graph, stump)
    with pytest.raises(ModelError, match="a trademl graph maps"):
        ScoringSession(stump)


def test_golden_vectors_verify(stump: Path, tmp_path: Path) -> None:
    """Right golden vectors verify and are counted; a score one ulp off, or other features, are refused."""
    session = ScoringSession(stump)
    write_golden(tmp_path / "good.json", ("a", "b"), ROWS, SCORES)
    assert session.verify(tmp_path / "good.json") == 4
    wrong = SCORES.copy()
    wrong[1] = np.nextafter(np.float32(-2.5), np.float32(0))
    write_golden(tmp_path / "bad.json", ("a", "b"), ROWS, wrong)
    with pytest.raises(ParityError, match="1 of 4 golden rows score differently here; row 1"):
        session.verify(tmp_path / "bad.json")
    write_golden(tmp_path / "other.json", ("b", "a"), ROWS, SCORES)
    with pytest.raises(ModelError, match=r"not those of model\.onnx"):
        session.verify(tmp_path / "other.json")


def test_scoring_uses_one_thread(stump: Path) -> None:
    """The session was opened with one thread within and between operators."""
    options = ScoringSession(stump)._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_scoring_loads_nothing_but_the_base_install(stump: Path) -> None:
    """A process that scores has not imported lightgbm, onnx, pandas, pyarrow, scipy or scikit-learn."""
    code = (
        "import sys; from pathlib import Path; from trademl.edge.session import ScoringSession;"
        f"ScoringSession(Path({str(stump)!r}));"
        "sys.exit(len({'lightgbm', 'onnx', 'pandas', 'pyarrow', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
