"""Graphs made step by step compute what numpy computes."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl.models.onnx_steps import Steps, add_softmax
from trademl.models.runtime import open_graph
from trademl.models.softmax import exp_of_minus, expected_class, softmax

FLOATS = st.floats(-900, 900, width=32) | st.floats(-2, 2, width=32) | st.sampled_from([0.0, 1e-30, 700.0, -700.0])


def computed(steps: Steps, outputs: dict[str, str], values: np.ndarray) -> list[np.ndarray]:
    """Run the steps on ``values``, the input ``x``."""
    double = onnx.TensorProto.DOUBLE
    for output, value in outputs.items():
        steps.name(value, output)
    graph = onnx.helper.make_graph(
        steps.nodes,
        "steps",
        [onnx.helper.make_tensor_value_info("x", double, [None] * values.ndim)],
        [onnx.helper.make_tensor_value_info(output, double, None) for output in outputs],
        steps.constants,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "steps.onnx"
        onnx.save(model, path)
        found: list[np.ndarray] = open_graph(path).run(list(outputs), {"x": values})
    return found


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=60))
def test_softmax_has_the_bits_of_numpy(drawn: list[tuple[float, float, float]]) -> None:
    """Probabilities and expected class of any margins, for many rows and for one."""
    margins = np.array(drawn)
    for rows in (margins, margins[:1]):
        steps = Steps(onnx, "test")
        score, probabilities = add_softmax(steps, "x")
        found = computed(steps, {"score": score, "probabilities": probabilities}, rows)
        assert np.array_equal(found[1], softmax(rows))
        assert np.array_equal(found[0], expected_class(softmax(rows))[:, None])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1e300) | st.floats(0, 5), min_size=1, max_size=60))
def test_the_exponential_has_the_bits_of_numpy(drawn: list[float]) -> None:
    """Of any size from 0 to beyond what it can tell from 0."""
    steps = Steps(onnx, "test")
    found = computed(steps, {"y": steps.exp_of_minus("x")}, np.array(drawn))
    assert np.array_equal(found[0], exp_of_minus(np.array(drawn)))


def test_names_begin_with_the_prefix_and_never_meet() -> None:
    """Two sets of steps can stand in one graph, and columns are cut off in order."""
    steps, others = Steps(onnx, "one"), Steps(onnx, "two")
    for made in (steps, others):
        first, second = made.columns("x", 2)
        made.add("Sub", first, second)
    names = [{name for node in made.nodes for name in node.output} for made in (steps, others)]
    assert all(name.startswith("one_") for name in names[0])
    assert not names[0] & names[1]
    values = np.array([[5.0, 2.0], [1.0, 4.0]])
    assert computed(steps, {"y": f"one_step_{len(steps.nodes) - 1}"}, values)[0].tolist() == [[3.0], [-3.0]]
