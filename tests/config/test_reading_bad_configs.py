"""benchmarks/bad_configs.py: wrong configurations of every kind are answered with field, value and fix."""

from pathlib import Path

import pytest

from benchmarks.bad_configs import CASES, Case
from trademl.errors import ConfigError


@pytest.mark.parametrize("case", CASES, ids=[f"{case.area}-{case.wrong}" for case in CASES])
def test_a_wrong_configuration_is_explained(case: Case, tmp_path: Path) -> None:
    """The message is one of ours, and holds the field, the value received and the nearest name, limit or choice."""
    message = case.message(tmp_path)
    assert case.lacks(message) == [], message
    assert "remedy: " in message
    assert "Traceback" not in message


def test_all_areas_are_there() -> None:
    """At least thirty cases, each of its own, over training, models, registry, data sets, experiments and tuning."""
    assert len({(case.area, case.wrong) for case in CASES}) == len(CASES) >= 30
    assert {case.area for case in CASES} == {"training", "model", "registry", "dataset", "experiment", "tuning"}


def test_a_message_that_falls_short_is_found() -> None:
    """What is not in the message is named; a case that is not refused lacks everything."""
    silent = Case("training", "k: 5", lambda _: None, "k", "5", "nothing")
    assert silent.lacks(silent.message(Path())) == ["any refusal"]

    def refuse(_: Path) -> None:
        raise ConfigError("k is wrong", remedy="use 5")

    vague = Case("training", "k: 7", refuse, "k", "k=7", "use 5")
    assert vague.lacks(vague.message(Path())) == ["the value"]
