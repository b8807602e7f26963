"""Open an ONNX graph the one way trademl scores with it: one thread, so that a result never depends on the machine."""

from pathlib import Path
from typing import TYPE_CHECKING

from trademl.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime

INPUT = "features"
OUTPUT = "score"
PROBABILITIES = "probabilities"
"""Second output of the graph of a model of three classes: P(-1), P(0), P(1)."""
FEATURES_KEY = "trademl.feature_names"
"""Metadata entry of the graph: the feature names in column order, as a JSON list."""

ERRORS_ONLY = 3


def open_graph(path: Path) -> "onnxruntime.InferenceSession":
    """Return a sequential, single-threaded onnxruntime session on the file ``path``.

    Raises:
        ModelError: the file is missing or is not an ONNX graph.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    if not path.is_file():
        raise ModelError(f"no ONNX file {path}", remedy="export the model first, or sync the bundle again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS_ONLY
    refusals = (native.Fail, native.InvalidGraph, native.InvalidProtobuf, native.InvalidArgument, native.NotImplemented)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except refusals as error:
        raise ModelError(
            f"{path} is not an ONNX graph that onnxruntime {onnxruntime.__version__} can run: {error}",
            remedy="compare its sha256 with the manifest and fetch it again",
        ) from error
