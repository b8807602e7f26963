"""``trademl events index``, ``similar`` and ``sequences``: what they print, and their errors."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.sleeves.events.past_events import make_bars, make_events, publish
from trademl.cli.main import main
from trademl.config.home import Home


@pytest.fixture
def events_home(home: Home) -> Home:
    """A home with 120 events of three sessions and their bars."""
    events = make_events(120, sessions=3)
    publish(home, events, make_bars(events))
    return home


def run(home: Home, *arguments: str) -> Result:
    return CliRunner(env={"TRADEML_HOME": str(home.root)}).invoke(main, ["events", *arguments])


def test_an_index_and_the_events_like_one(events_home: Home) -> None:
    """The index says what it holds; the table shows the event, what neighbours came to, and the nearest."""
    made = run(events_home, "index", "--k-neighbors", "12")
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("120 events of 2025-09-15 to 2025-09-17, 7 features: ")
    asked = make_events(120, sessions=3).loc[100]
    shown = run(events_home, "similar", asked["event_id"], "--top", "3")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].startswith(f"{asked['event_id']}: {asked['symbol']} {asked['level_kind_name']} ")
    assert f"level_kind_name {asked['level_kind_name']}, direction {asked['direction']}" in lines[1]
    assert lines[-4].split()[:3] == ["t1", "(UTC)", "symbol"]
    assert all(
        line.split()[0] == "2025-09-15" or line.split()[0] == "2025-09-16" or "-17" in line for line in lines[-3:]
    )


def test_json_has_every_number_and_neighbour(events_home: Home) -> None:
    """Standard JSON: null for what is missing; every neighbour was resolved before t1."""
    run(events_home, "index", "--k-neighbors", "12")
    asked = make_events(120, sessions=3).loc[110]
    found = json.loads(run(events_home, "similar", asked["event_id"], "--any-kind", "--any-direction", "--json").stdout)
    assert found["event"]["ts_ns"] == asked["ts_ns"]
    assert found["filters"] == {}
    assert len(found["neighbors"]) == 12
    assert all(row["resolved_at"] < found["event"]["t1"] for row in found["neighbors"])
    assert 0 <= found["p_break"] <= 1
    assert {"similarity", "entropy", "time_to_bounce_2_mean"} <= set(found)


def test_sequences_are_written(events_home: Home, tmp_path: Path) -> None:
    """The line counts samples; numpy reads the file without pickle."""
    path = tmp_path / "sequences.npz"
    done = run(events_home, "sequences", "--date", "2025-09-16", "--seq-len", "20", "--output", str(path))
    assert done.exit_code == 0, done.output
    with np.load(path, allow_pickle=False) as file:
        assert file["X"].shape[1:] == (20, 5)
        assert f"{len(file['X'])} samples of 20 bars x 5" in done.stdout


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["similar", "e000001"], 1, "no retrieval index"),
        (["index", "--stage", "stage_c"], 2, "stage_c"),
        (["index", "--k-neighbors", "0"], 2, "k-neighbors"),
        (["sequences", "--date", "yesterday", "--output", "x.npz"], 2, "yesterday"),
        (["sequences", "--date", "2025-09-16", "--output", "x.joblib"], 2, "does not end in .npz"),
        (["sequences", "--date", "2019-09-16", "--output", "x.npz"], 3, "no event of 2019-09-16"),
    ],
)
def test_wrong_input_has_a_message(events_home: Home, arguments: list[str], code: int, words: str) -> None:
    """No traceback: what was given and what to do."""
    result = run(events_home, *arguments)
    assert result.exit_code == code
    assert words in result.output
    assert "Traceback" not in result.output
