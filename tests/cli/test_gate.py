"""``trademl gate``: a table of bars, the verdict and the exit code."""

import json

import pytest
from click.testing import CliRunner

from trademl.cli.gate import REFUSED, as_json, describe
from trademl.cli.main import main
from trademl.config import Home
from trademl.governance.gate import Bar, Decision

GOOD = Bar("sharpe", 1.5, 1.0, "pass", "the annual Sharpe ratio, net is 1.5, at least 1 is asked")
BAD = Bar("pbo", 0.5, 0.05, "fail", "the probability of overfitting is 0.5, at most 0.05 is asked; find more signal")
UNKNOWN = Bar("track_record", float("inf"), None, "fail", "there is none")


def decision(*bars: Bar) -> Decision:
    return Decision("run-1", "equities", "fwd_5d", bars, None)


def test_the_table_shows_every_bar_and_why_one_failed() -> None:
    """Value and limit stand in the table, the sentence with the remedy below it."""
    text = "\n".join(describe(decision(GOOD, BAD)))
    assert "pass  sharpe" in text
    assert "fail  pbo" in text
    assert "pbo: the probability of overfitting is 0.5" in text
    assert text.endswith("verdict: refused by 1 of 2 bars")
    assert describe(decision(GOOD))[-1] == "verdict: passed"


def test_the_json_form_is_strict_json() -> None:
    """An infinite value is a word, since JSON has no number for it."""
    document = json.loads(as_json(decision(GOOD, UNKNOWN)), parse_constant=pytest.fail)
    assert document["passed"] is False
    assert [bar["value"] for bar in document["bars"]] == [1.5, "inf"]


@pytest.mark.parametrize("bars, code", [((GOOD,), 0), ((GOOD, BAD), REFUSED)])
def test_the_decision_is_recorded_and_decides_the_exit_code(
    home: Home, monkeypatch: pytest.MonkeyPatch, bars: tuple[Bar, ...], code: int
) -> None:
    """A failed bar ends with 3, as every refusal does; either way the bars are on record."""
    recorded: list[Decision] = []
    monkeypatch.setattr("trademl.governance.gate_run.decide", lambda *_, **__: decision(*bars))
    monkeypatch.setattr("trademl.governance.promotion.record_gate", lambda _, found: recorded.append(found))
    done = CliRunner().invoke(main, ["--home", str(home.root), "gate", "run-1"])
    assert done.exit_code == code
    assert recorded == [decision(*bars)]


def test_an_unknown_run_is_a_message(home: Home) -> None:
    """Before any build there is no snapshot to judge from; there is no traceback."""
    done = CliRunner().invoke(main, ["--home", str(home.root), "gate", "run-1"])
    assert done.exit_code != 0
    assert "trademl build" in done.output
    assert "Traceback" not in done.output
