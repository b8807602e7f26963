"""What boosting families refuse."""

from pathlib import Path

import numpy as np
import pytest

from trademl.errors import ModelError
from trademl.models.boosting.inputs import check_stopping, no_gpu, read_model_text, refuse_infinite


@pytest.mark.parametrize("row, value", [(0, np.inf), (69_999, -np.inf)])
def test_an_infinity_is_named_in_any_block(row: int, value: float) -> None:
    """The first infinite cell, its row counted through all blocks; NaN and the largest floats pass."""
    X = np.full((70_000, 3), np.finfo(np.float32).max, dtype=np.float32)
    X[:, 0] = np.nan
    refuse_infinite(X, ["a", "b", "c"])
    X[row, 1] = value
    with pytest.raises(ModelError, match=f"feature b is {value} in row {row}"):
        refuse_infinite(X, ["a", "b", "c"])


def test_stopping_and_its_rows_come_together() -> None:
    """Both or neither."""
    check_stopping(None, None)
    check_stopping(5, np.arange(3))
    with pytest.raises(ModelError, match="with no validation rows"):
        check_stopping(5, None)
    with pytest.raises(ModelError, match="with validation rows"):
        check_stopping(None, np.arange(3))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Missing, a folder, or bytes that are not UTF-8."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "absent", tmp_path, tmp_path / "bytes"):
        with pytest.raises(ModelError, match="cannot read the model file"):
            read_model_text(path)


def test_no_card_is_said_with_its_remedy() -> None:
    """Which engine, why, and what to set."""
    refusal = no_gpu("LightGBM", "No OpenCL device found")
    assert "LightGBM cannot train on one here: No OpenCL device found" in str(refusal)
    assert refusal.remedy.startswith("set `device: cpu`, or install a LightGBM with GPU support")
