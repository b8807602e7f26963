"""benchmarks/cpcv.py: what it counts as a leak, and what it says of a library that is not there."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import cpcv
from tests.oracles.splits import overlapping_pairs
from tests.validation.panels import random_panels
from trademl.validation.spans import LabelSpans


@settings(max_examples=80, deadline=None)
@given(random_panels(), st.data())
def test_leaking_rows_equal_those_of_the_loop_oracle(spans: LabelSpans, data: st.DataObject) -> None:
    """For any choice of test rows: train rows in an overlapping pair; touching ones share no session but an end."""
    drawn = data.draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans)))
    roles = [[row for row in range(len(spans)) if drawn[row] == tested] for tested in (False, True)]
    train, test = roles
    pairs = overlapping_pairs(spans, train, test, same_entity=False)
    leaking = {i for i, _ in pairs}
    inside = {i for i in leaking for j in test if max(spans.start[i], spans.start[j]) < min(spans.end[i], spans.end[j])}
    split = (np.array(train, dtype=np.int64), np.array(test, dtype=np.int64))
    found = cpcv.leaking_rows(spans.start, spans.end, [split, split])
    assert found == (2 * len(leaking), 2 * len(leaking - inside))


def stand_in(split: Callable[[], cpcv.Splits], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run no process and install nothing: only we are there, and ``split`` is what we did."""
    monkeypatch.setattr(cpcv, "install", lambda venv: (Path(sys.executable), {"trademl": "0.1"}))
    monkeypatch.setattr(cpcv, "run", lambda name, python, folder: (0.1, split()))


def test_no_row_of_ours_leaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the panel of the benchmark; that purgedcv was not measured is said."""
    stand_in(cpcv.ours(*cpcv.panel()), monkeypatch)
    assert cpcv.compare(tmp_path) == 0
    told = capsys.readouterr().out
    assert "250,000 rows" in told
    assert "not measured: how much faster than purgedcv" in told
    assert "holds  0 of our train rows leak" in told


def test_a_leak_of_ours_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two halves without purge leak at their border, and the exit code is 1."""
    halves = np.arange(125_000), np.arange(125_000, 250_000)
    stand_in(lambda: [halves], monkeypatch)
    assert cpcv.compare(tmp_path) == 1
    assert "FAILS" in capsys.readouterr().out
