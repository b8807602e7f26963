"""Linear scores: the same bits in numpy, after reloading, and in ONNX, whatever the input."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl.edge.session import ScoringSession
from trademl.errors import ModelError
from trademl.models.linear import LinearForm, unit_form

FORM = LinearForm("ridge", {}, ("a", "b", "c"), (0.1, -3.0, 0.0), (0.5, 7.0, 1.0), (1.0, 2.0, 3.0), 0.25)
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)


def test_a_score_is_the_sum_in_feature_order() -> None:
    """Worked out by hand; a missing value counts as its fill."""
    X = np.array([[2.0, 1.0, 9.0], [np.nan, 1.0, np.nan]], dtype=np.float32)
    assert FORM.predict(X).tolist() == [0.25 + 0.1 * 2.0 - 3.0, 0.25 + 0.1 * 0.5 - 3.0]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ScoringSession:
    """The form as onnxruntime runs it."""
    path = tmp_path_factory.mktemp("linear") / "model.onnx"
    FORM.export_onnx(path)
    return ScoringSession(path)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=20))
def test_onnx_has_the_same_bits(session: ScoringSession, rows: list[tuple[float, float, float]]) -> None:
    """Any float32 goes in, infinities, subnormals and NaN among them; whatever comes out is the same."""
    X = np.array(rows, dtype=np.float32)
    native, exported = FORM.predict(X), session.predict(X)
    undefined = np.isnan(native)
    assert np.array_equal(undefined, np.isnan(exported))
    assert native[~undefined].tobytes() == exported[~undefined].tobytes()
    assert [session.predict(X[at : at + 1])[0] for at in range(len(X))] == pytest.approx(
        exported.tolist(), abs=0, rel=0, nan_ok=True
    )


def test_a_saved_form_reads_back(tmp_path: Path) -> None:
    """Every number is the same float64, and the same form gives the same bytes."""
    FORM.save(tmp_path / "model.json")
    assert LinearForm.load(tmp_path / "model.json", "ridge") == FORM
    FORM.export_onnx(tmp_path / "one.onnx")
    FORM.export_onnx(tmp_path / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-30],
        lambda raw: raw.replace(b"linear model 1", b"linear model 2"),
        lambda raw: raw.replace(b'"ridge"', b'"momentum"'),
        lambda raw: raw.replace(b'"name": "b"', b'"name": "a"'),
        lambda raw: raw.replace(b"-3.0", b"NaN"),
        lambda raw: json.dumps({"format": "trademl linear model 1", "kind": "ridge"}).encode(),
    ],
)
def test_another_file_is_refused(tmp_path: Path, damage: object) -> None:
    """Cut off, of another format or kind, with a name twice, a number that is none, or a field less."""
    path = tmp_path / "model.json"
    FORM.save(path)
    raw = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(raw))  # type: ignore[operator]
    with pytest.raises(ModelError):
        LinearForm.load(path, "ridge")
    with pytest.raises(ModelError, match="no saved ridge model"):
        LinearForm.load(tmp_path / "absent.json", "ridge")


def test_a_matrix_of_another_shape_is_refused() -> None:
    """Two columns are not three."""
    with pytest.raises(ModelError, match=r"expected \(rows, 3\)"):
        FORM.predict(np.zeros((1, 2), dtype=np.float32))


def test_one_feature_alone() -> None:
    """The form of a rule: that feature, its fill, and the bias."""
    form = unit_form("momentum", {}, ("a", "b"), "b", fill=0.5, bias=-0.5)
    assert form.predict(np.array([[9.0, 0.75], [9.0, np.nan]], dtype=np.float32)).tolist() == [0.25, 0.0]
    with pytest.raises(ModelError, match="'z', which is not among the 2 features"):
        unit_form("momentum", {}, ("a", "b"), "z", fill=0.5, bias=-0.5)
