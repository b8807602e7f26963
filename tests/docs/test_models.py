"""The Python of docs/models.md runs as it is written."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def test_the_example_runs_and_shows_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """A model by its full name, fitted, and its predictions as a table with the columns that the page names."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["datetime", "symbol", "horizon", "prediction", "prob_short", "prob_neutral", "prob_long"]
    assert len(rows) == 5
