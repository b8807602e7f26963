"""Golden vectors."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trademl.errors import ArtifactError
from trademl.models.golden import read_golden, same_bits, write_golden


def test_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    """NaN, infinities, -0.0, denormals and odd fractions read back with the same bits."""
    tiny = np.finfo(np.float32).smallest_subnormal
    X = np.array([[np.nan, np.inf, -np.inf], [-0.0, tiny, 0.1], [np.float32(1) / 3, 3.4e38, -1e-35]], dtype=np.float32)
    scores = np.array([0.5, -0.0, 1e-9])
    write_golden(tmp_path / "golden.json", ("a", "b", "c"), X, scores)
    names, rows, expected = read_golden(tmp_path / "golden.json")
    assert names == ("a", "b", "c")
    assert np.array_equal(rows[~np.isnan(X)].view(np.uint32), X[~np.isnan(X)].view(np.uint32))
    assert np.array_equal(np.isnan(rows), np.isnan(X))
    assert np.array_equal(expected.view(np.uint64), scores.view(np.uint64))


@given(arrays.arrays(np.float32, (3, 2), elements=st.floats(width=32, allow_nan=False)))
def test_any_float32_reads_back_the_same(tmp_path_factory: pytest.TempPathFactory, X: np.ndarray) -> None:
    """Every float32 matrix survives the round trip."""
    path = tmp_path_factory.mktemp("golden") / "golden.json"
    write_golden(path, ("a", "b"), X, X[:, 0].astype(np.float64))
    assert np.array_equal(read_golden(path)[1].view(np.uint32), X.view(np.uint32))


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    """Any JSON reader can read it: missing is null, infinities are strings."""
    write_golden(tmp_path / "g.json", ("a", "b"), np.array([[np.nan, -np.inf]], dtype=np.float32), np.array([2.0]))
    raw = json.loads((tmp_path / "g.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert raw["rows"] == [[[None, "-inf"], 2.0]]


@pytest.mark.parametrize("text", ["", "{}", '{"features": ["a"], "rows": [[[1, 2], 3]]}', '{"features": 3, "rows": 4}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    """A missing, empty or differently shaped file is an ArtifactError."""
    with pytest.raises(ArtifactError, match="does not hold golden vectors"):
        read_golden(tmp_path / "absent.json")
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(ArtifactError, match="does not hold golden vectors"):
        read_golden(tmp_path / "g.json")


def test_same_bits_tells_the_zeros_apart() -> None:
    """0.0 and -0.0 are equal numbers with different bits."""
    assert same_bits(np.float32([0.0, 1.0]), np.float32([-0.0, 1.0])).tolist() == [False, True]
