"""Published figures, reproduced: shared/reference/published_values.json, one test per entry."""

from typing import Any

import numpy as np
import pytest

from benchmarks.published import FILE, FOLDER, RECIPES, TOPICS, VARIABLE, figures, main, read_entries, reproduce


@pytest.fixture(scope="module")
def published() -> dict[str, dict[str, Any]]:
    """The published entries of these topics, by id."""
    if not (FOLDER / FILE).is_file():
        pytest.skip(f"no published values: {VARIABLE} (default ../shared/reference) names no folder that has them")
    return {entry["id"]: entry for entry in read_entries() if entry["topic"] in TOPICS}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_published_value_is_reproduced(name: str, published: dict[str, dict[str, Any]]) -> None:
    """What the paper or library prints is what comes out, within the tolerance stated there."""
    found = reproduce(published[name])
    assert found
    assert [figure for figure in found if not figure.ok] == []


def test_no_published_value_is_left_out(published: dict[str, dict[str, Any]]) -> None:
    """Every entry of these topics has a recipe."""
    assert set(published) == set(RECIPES)


@pytest.mark.parametrize(
    "expected, got",
    [
        (1.0, 1.2),
        (1.0, np.nan),
        (1.0, None),
        ([1.0, 2.0], np.array([1.0])),
        ([[1, 2], [3]], [[1, 2], [4]]),
        ([[1, 2], [3]], [[1], [2, 3]]),
        ({"a": 1.0}, {}),
        ({"a": 1.0}, {"a": 1.0, "b": 2.0}),
        ({"a": 1.0}, 1.0),
        ([{"a": 1.0}], []),
        ([{"a": 1.0}], [{"a": 1.0}, {"a": 1.0}]),
    ],
)
def test_a_miss_is_a_miss(expected: Any, got: Any) -> None:
    """Another number, NaN, another shape, and a name on one side only are each outside the tolerance."""
    assert not all(figure.ok for figure in figures("x", expected, got, 0.1))
    assert all(figure.ok for figure in figures("x", expected, expected, 0))


def test_the_table_says_what_missed(
    published: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All is well with exit code 0; a wrong recipe is a NO and exit code 1."""
    monkeypatch.setattr("sys.argv", ["published"])
    assert main() == 0
    table = capsys.readouterr().out
    assert f"{len(published)} entries" in table
    assert "topics not computed yet: black_scholes" in table
    monkeypatch.setitem(RECIPES, "sklearn_brier_doc", lambda inputs: 0.0376)
    assert main() == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.endswith(" NO")] == [
        "sklearn_brier_doc"
    ]
