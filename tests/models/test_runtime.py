"""Opening a graph."""

from pathlib import Path

import pytest

from trademl.errors import ModelError
from trademl.models.runtime import open_graph


def test_a_missing_file_and_a_file_that_is_no_graph_are_model_errors(tmp_path: Path) -> None:
    """No file, an empty file, a web page and random bytes are each a ModelError that names the file."""
    with pytest.raises(ModelError, match="no ONNX file"):
        open_graph(tmp_path / "absent.onnx")
    for content in (b"", b"<html></html>", bytes(range(256)) * 9):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(ModelError, match="not an ONNX graph that onnxruntime"):
            open_graph(tmp_path / "m.onnx")
