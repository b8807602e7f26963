"""``trademl trade``: what it says, and its exit codes."""

import json
import shutil
from datetime import date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.execution.trading_home import at, bare_home, write_execution, write_home, write_targets
from trademl.cli.main import main
from trademl.config.home import Home

NOON, NIGHT = (12, 0), (21, 30)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[date]]:
    root = tmp_path_factory.mktemp("trade") / "home"
    home = bare_home(root)
    days = write_home(home, 3)
    for day in days[:2]:
        write_targets(home, day)
    return root, days


class Line:
    """The command line in a copy of a home, at a time of its own."""

    def __init__(self, root: Path, days: list[date], monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.days, self.monkeypatch = Home(root), days, monkeypatch

    def run(self, *arguments: str, day: int = 1, when: tuple[int, int] = NOON) -> Result:
        moment: datetime = at(self.days[day], *when)
        self.monkeypatch.setenv("TRADEML_NOW", moment.isoformat())
        return CliRunner().invoke(main, ["--home", str(self.home.root), "trade", *arguments])


@pytest.fixture
def line(traded: tuple[Path, list[date]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    shutil.copytree(traded[0], tmp_path / "home")
    return Line(tmp_path / "home", traded[1], monkeypatch)


def test_a_day_at_the_desk(line: Line) -> None:
    """Plan, trade, look, reconcile: every command says what came of it."""
    day = str(line.days[0])
    planned = line.run("plan", "--date", day)
    assert planned.exit_code == 0, planned.output
    assert "orders      8," in planned.output
    assert "next        trademl trade paper" in planned.output
    done = line.run("paper", "--date", day)
    assert done.exit_code == 0, done.output
    assert "8 accepted; 8 sent now" in done.output
    again = line.run("paper", "--date", day)
    assert "8 accepted; 0 sent now, resumed" in again.output
    night = line.run("reconcile", when=NIGHT)
    assert night.exit_code == 0, night.output
    assert "8 positions, 8 new fills, 0 unexplained" in night.output
    state = line.run("status", when=NIGHT)
    assert "simulated-paper, may trade" in state.output
    assert "8 filled" in state.output
    assert "8, from 8 fills" in state.output


def test_json_says_the_same(line: Line) -> None:
    """Every command that shows something has a form for machines."""
    day = str(line.days[0])
    plan = json.loads(line.run("plan", "--date", day, "--format", "json").stdout)
    assert len(plan["orders"]) == 8
    assert plan["tripwires"] == []
    done = json.loads(line.run("paper", "--date", day, "--format", "json").stdout)
    assert (done["sent"], done["orders"]) == (8, {"accepted": 8})
    found = json.loads(line.run("reconcile", "--format", "json", when=NIGHT).stdout)
    assert len(found["positions"]) == 8
    assert {row["explanation"] for row in found["differences"]} == {"reported since the last look"}
    state = json.loads(line.run("status", "--format", "json", when=NIGHT).stdout)
    assert (state["halts"], state["orders"], state["positions"]) == ([], {"filled": 8}, found["positions"])


def test_a_halt_by_hand_refuses_orders_with_exit_code_5(line: Line) -> None:
    """Halted, told so by every command, resumed, traded."""
    assert line.run("halt", "--reason", "no").exit_code == 2
    halted = line.run("halt", "--reason", "the fire drill of the year")
    assert halted.exit_code == 0, halted.output
    refused = line.run("paper", "--date", str(line.days[0]))
    assert refused.exit_code == 5
    assert "manual: the fire drill of the year" in refused.output
    assert "HALTED" in line.run("status").output
    assert "may trade again" in line.run("resume", "--reason", "the drill is over").output
    assert "was not halted" in line.run("resume", "--reason", "the drill is over").output
    assert line.run("paper", "--date", str(line.days[0])).exit_code == 0


def test_a_tripwire_is_shown_by_the_plan_and_halts_the_trade(line: Line) -> None:
    """The plan names what would stop it and halts nothing; the trade halts."""
    write_execution(line.home, "tripwires: {max_turnover: 0.01}\n")
    planned = line.run("plan", "--date", str(line.days[0]))
    assert planned.exit_code == 0
    assert "tripwire    turnover: 8 orders trade" in planned.output
    assert "may trade" in line.run("status").output
    assert line.run("paper", "--date", str(line.days[0])).exit_code == 5
    assert "turnover" in line.run("status").output


def test_paper_and_money_are_kept_apart(line: Line) -> None:
    """`trade live` needs both settings, and `trade paper` refuses them."""
    refused = line.run("live", "--date", str(line.days[0]))
    assert refused.exit_code == 2
    assert "mode paper" in refused.output
    write_execution(line.home, "broker: {name: alpaca, mode: live}\n")
    assert line.run("live", "--date", str(line.days[0])).exit_code == 2
    write_execution(line.home, "broker: {name: alpaca, mode: live, live_account: '123'}\n")
    refused = line.run("paper", "--date", str(line.days[0]))
    assert refused.exit_code == 2
    assert "run `trademl trade live`" in refused.output


def test_halting_cancels_what_works(line: Line) -> None:
    """With --cancel the broker is asked to cancel each order that is not filled."""
    line.run("paper", "--date", str(line.days[0]))
    done = line.run("halt", "--reason", "stop everything now", "--cancel")
    assert "cancelled   8 orders" in done.output
    assert "8 canceled" in line.run("status").output


def test_halting_needs_no_snapshot(line: Line) -> None:
    """With everything else broken one can still halt."""
    shutil.rmtree(line.home.lake / "objects")
    line.home.warehouse.unlink()
    assert line.run("status").exit_code == 1
    assert line.run("halt", "--reason", "the disk is dying").exit_code == 0
    assert line.run("resume", "--reason", "it was the cable").exit_code == 0


def test_nothing_to_trade_says_what_to_run(line: Line) -> None:
    """A date without targets, a sleeve that cannot be traded."""
    none = line.run("plan", "--date", "2020-01-01")
    assert none.exit_code == 2
    assert "trademl portfolio build" in none.output
    assert line.run("plan", "--sleeve", "traders").exit_code == 2
