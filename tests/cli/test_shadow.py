"""``trademl shadow equities``: what it says it did."""

from datetime import date

import pytest
from click.testing import CliRunner

from trademl.cli.main import main
from trademl.config import Home
from trademl.sleeves.equities_shadow import ShadowResult


def test_sessions_and_refusals_are_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The range is handed on, and each refused session comes with its reason."""
    asked: dict[str, object] = {}

    def fake(_: Home, run: str, **given: object) -> ShadowResult:
        asked.update(run=run, first=given["first"], last=given["last"])
        return ShadowResult(run, (date(2024, 1, 2), date(2024, 1, 3)), 4, ((date(2024, 1, 4), "RED"),))

    monkeypatch.setattr("trademl.sleeves.equities_shadow.shadow_equities", fake)
    done = CliRunner().invoke(
        main, ["--home", str(home.root), "shadow", "equities", "run-1", "--from", "2024-01-02", "--to", "2024-01-04"]
    )
    assert done.exit_code == 0
    assert asked == {"run": "run-1", "first": date(2024, 1, 2), "last": date(2024, 1, 4)}
    assert "2 sessions in shadow with run-1, 4 before" in done.output
    assert "2024-01-04: RED" in done.output
    assert "trademl gate run-1" in done.output


def test_a_wrong_date_is_a_usage_error(home: Home) -> None:
    """A date that is none is refused before anything is read."""
    done = CliRunner().invoke(main, ["--home", str(home.root), "shadow", "equities", "run-1", "--from", "soon"])
    assert done.exit_code == 2
