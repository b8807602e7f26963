"""Reading a pickle's numbers without unpickling it."""

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sleeves.traders.seed_models import write_seed_model
from trademl.errors import ModelError
from trademl.sleeves.traders import unpickle
from trademl.sleeves.traders.unpickle import Plain, read_plain


class Harmful:
    """An object whose pickle runs a program when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.called = (function, arguments)

    def __reduce__(self) -> Any:
        return self.called


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_it_reads_what_the_first_system_wrote(protocol: int, tmp_path: Path) -> None:
    """Numbers, names and arrays are those of the objects that scikit-learn pickled, under every binary protocol."""
    stated = write_seed_model(tmp_path, protocol=protocol)
    found = read_plain((tmp_path / "stacked_pipeline.pkl").read_bytes(), "here")
    ridge, scaler = found["meta_learner"], found["scaler"]
    assert (ridge.kind, scaler.kind) == ("Ridge", "StandardScaler")
    assert np.array_equal(ridge.state["coef_"], stated["meta_learner"].coef_)
    assert ridge.state["alpha"] == 60.0
    assert float(ridge.state["intercept_"]) == float(stated["meta_learner"].intercept_)
    for name in ("mean_", "scale_", "var_"):
        assert np.array_equal(scaler.state[name], getattr(stated["scaler"], name))
    assert found["agg_feat_cols"] == stated["agg_feat_cols"]
    assert found["min_windows"] == 3


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from([2, 3, 4, 5]),
)
def test_plain_values_are_what_pickle_makes_of_them(value: Any, protocol: int) -> None:
    """Of plain values it agrees with pickle itself."""
    assert read_plain(pickle.dumps(value, protocol), "here") == value


@pytest.mark.parametrize("kind", ["<f8", ">f4", "<i8", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_type_shape_and_order(kind: str, order: Any) -> None:
    """Any array of plain numbers, and any numpy number, comes back."""
    array = np.asarray(np.arange(12).reshape(3, 4) % 2, dtype=kind, order=order)
    for protocol in (3, 4, 5):
        found = read_plain(pickle.dumps([array, array[1, 2]], protocol), "here")
        assert np.array_equal(found[0], array)
        assert found[1] == array[1, 2]


def test_a_malicious_pickle_runs_nothing(tmp_path: Path) -> None:
    """Whatever it would run, import or make is refused by name, and nothing has happened."""
    trace = tmp_path / "was_here"
    command = f"touch {trace}"
    for harmful in (
        Harmful(os.system, command),
        Harmful(eval, f"open({str(trace)!r}, 'w')"),
        Harmful(__import__, "this"),
        Harmful(pickle.loads, pickle.dumps(Harmful(os.system, command))),
        {"meta_learner": [Harmful(os.mkdir, str(trace))]},
        Path(tmp_path),
        object(),
        Harmful,
    ):
        with pytest.raises(ModelError, match="which is none of Ridge, StandardScaler"):
            read_plain(pickle.dumps(harmful), "bad.pkl")
    assert not trace.exists()
    # The same file does harm where it is loaded: the refusal above is what stops it.
    pickle.loads(pickle.dumps(Harmful(os.system, command)))
    assert trace.exists()


def test_known_names_cannot_be_misused() -> None:
    """A class on the list is not called, numpy's constructors take numbers alone, and old instructions are unknown."""
    ridge = b"csklearn.linear_model._ridge\nRidge\n"
    for raw, told in [
        (ridge + b"]\x85R.", "calls Ridge"),
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8tR.", "a numpy type 'O8'"),
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00V8tR.", "a numpy type 'V8'"),
        (b"cnumpy\nload\n.", r"numpy\.load"),
        (b"(i__main__\nRidge\n.", "INST"),
        (b"I1\n.", "INT"),
        (b"\x82\x01.", "EXT1"),
        (b"Pid\n.", "PERSID"),
        (ridge + b".", "a class or a type where a value is due"),
        (b"\x80\x04.", "damaged"),
        (b"", "damaged"),
        (b"]q\x00h\x00a.", "holds itself"),
        (b"h\x05.", "damaged"),
    ]:
        with pytest.raises(ModelError, match=told):
            read_plain(raw, "here")


def test_bombs_of_memory_and_time_do_not_go_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that hold lists twice, 200 levels deep, are read once each; a far memory place costs nothing."""
    deep: Any = []
    for _ in range(200):
        deep = [deep, deep]
    assert len(read_plain(pickle.dumps(deep), "here")) == 2
    assert read_plain(b"Nr\xff\xff\xff\x7f.", "here") is None
    with pytest.raises(ModelError, match="damaged"):
        read_plain(b"\x8e" + b"\xff" * 7 + b"\x7f" + b"x.", "here")
    nested = b"]" * 100_000 + b"a" * 99_999 + b"."
    with pytest.raises(ModelError, match="damaged"):
        read_plain(nested, "here")
    monkeypatch.setattr(unpickle, "MAX_BYTES", 10)
    with pytest.raises(ModelError, match="at most 10 are read"):
        read_plain(b"x" * 11, "here")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400))
def test_noise_is_an_error_and_nothing_else(noise: bytes, at: int) -> None:
    """Random bytes, and a good file with random bytes in it, give values or a ModelError."""
    whole = pickle.dumps({"a": np.arange(4.0), "b": [1, 2.5, "x", None]})
    modules = set(sys.modules)
    for raw in (noise, whole[: at % len(whole)] + noise + whole[at % len(whole) :]):
        try:
            found = read_plain(raw, "here")
        except ModelError:
            continue
        assert isinstance(found, dict | list | int | float | str | bytes | bytearray | np.ndarray | Plain | None)
    assert set(sys.modules) == modules
