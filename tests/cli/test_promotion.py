"""`trademl promote`, `rollback`, `champion` and `router`."""

import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.governance.promotable import REASON, A, B, clock, decision, write_run
from trademl.cli.main import main
from trademl.config.home import Home
from trademl.governance.gate import Decision
from trademl.governance.promotion import champion as reigning
from trademl.governance.promotion import promote, record_gate

Judge = Callable[..., None]


@pytest.fixture
def ready(home: Home) -> Home:
    """A home with two registered runs."""
    for run in (A, B):
        write_run(home, run)
    return home


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Replace the judgement of runs, which needs a warehouse, by one in which the named bars fail."""

    def set_failing(*failing: str) -> None:
        def decide(home: Home, run: str, **_: Any) -> Decision:
            found = reigning(home, "equities")
            return decision(run, champion=found.run_id if found else None, failing=failing)

        module = ModuleType("gate_run")
        module.decide = decide  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "trademl.governance.gate_run", module)

    set_failing()
    return set_failing


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), *arguments])


def test_a_run_that_passes_is_promoted(ready: Home, judge: Judge) -> None:
    """The output shows the bars, who reigns now and after whom, and the decision's number."""
    first = run(ready, "promote", A)
    assert first.exit_code == 0, first.output
    assert "verdict: passed" in first.stdout
    assert f"promoted: {A} is the champion of equities, its first" in first.stdout
    assert "decision equities-00001-" in first.stdout
    assert f"note: configs/router.yml names {A} for equities" in first.stderr
    second = run(ready, "promote", B, "--no-mlflow")
    assert f"promoted: {B} is the champion of equities, after {A}" in second.stdout


def test_promoting_the_champion_says_so(ready: Home, judge: Judge) -> None:
    """The same command again exits 0 and changes nothing."""
    run(ready, "promote", A)
    again = run(ready, "promote", A)
    assert again.exit_code == 0
    assert f"{A} is the champion of equities already; nothing was changed" in again.stdout


def test_a_failed_bar_exits_3(ready: Home, judge: Judge) -> None:
    """A refusal lists each failed bar with its remedy on standard error and exits 3; there is no force flag."""
    judge("pbo", "max_drawdown")
    refused = run(ready, "promote", A)
    assert refused.exit_code == 3
    assert "pbo: 2, limit 1: pbo is 2, at most 1 is asked; mend pbo" in refused.stderr
    assert "max_drawdown: 2, limit 1" in refused.stderr
    assert refused.stdout == ""
    assert run(ready, "promote", A, "--force").exit_code == 2


def test_an_override_needs_its_reason(ready: Home, judge: Judge) -> None:
    """A short reason is refused, a sentence is taken, and never for leakage."""
    judge("pbo")
    assert run(ready, "promote", A, "--override", "urgent").exit_code == 3
    done = run(ready, "promote", A, "--override", REASON)
    assert done.exit_code == 0, done.output
    assert f"overridden: {A} is the champion of equities" in done.stdout
    assert REASON in run(ready, "champion", "equities").stdout
    judge("leakage")
    assert run(ready, "promote", B, "--override", REASON).exit_code == 3


def test_a_rollback_goes_back_once(ready: Home, judge: Judge) -> None:
    """`--from` makes the command safe to repeat; a reason must be given; beyond the first champion is refused."""
    for name in (A, B):
        run(ready, "promote", name)
    assert run(ready, "rollback", "equities").exit_code == 2
    done = run(ready, "rollback", "equities", "--reason", "live loss", "--from", B)
    assert done.exit_code == 0, done.output
    assert f"rolled back: {A} is the champion of equities, after {B}" in done.stdout
    again = run(ready, "rollback", "equities", "--reason", "live loss", "--from", B)
    assert again.exit_code == 3
    assert f"the champion of equities is {A}, not {B}" in again.stderr
    assert run(ready, "rollback", "equities", "--reason", "live loss").exit_code == 3


def test_champion_shows_every_sleeve(ready: Home) -> None:
    """Without a sleeve all are listed, those without a champion too; an unknown sleeve is a usage error."""
    promote(ready, decision(A), mlflow=False, now=clock())
    lines = run(ready, "champion").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["equities", "events", "options", "traders"]
    assert f"{A} (fwd_5d), promoted 2026-03-02 21:30 UTC: 3 bars passed" in lines[0]
    assert lines[3].split(maxsplit=1)[1] == "no champion"
    assert run(ready, "champion", "bonds").exit_code == 2


def test_history_shows_refusals_too(ready: Home, judge: Judge) -> None:
    """`--history` lists gate runs and refusals with their bars, in JSON as well."""
    record_gate(ready, decision(A, failing=("pbo",)), now=clock())
    judge("pbo")
    run(ready, "promote", A)
    shown = run(ready, "champion", "equities", "--history").stdout
    assert f"gate {A}: failed, 3 of 4 bars: failed: pbo" in shown
    assert f"promote {A}: refused, 3 of 4 bars: failed: pbo" in shown
    document = json.loads(run(ready, "champion", "equities", "--history", "--format", "json").stdout)
    assert document["equities"]["champion"] is None
    assert [made["outcome"] for made in document["equities"]["history"]] == ["failed", "refused"]
    assert {bar["name"] for bar in document["equities"]["history"][1]["bars"]} == {
        "sharpe", "leakage", "beats_champion", "pbo",
    }  # fmt: skip


def test_champion_brings_the_router_in_line(ready: Home) -> None:
    """What a killed promotion left behind is done by the next `trademl champion`, which says so."""
    promote(ready, decision(A), mlflow=False, now=clock())
    path = ready.configs / "router.yml"
    path.write_text(path.read_text().replace(A, "null"))
    shown = run(ready, "champion", "equities")
    assert f"note: configs/router.yml names {A} for equities" in shown.stderr
    assert yaml.safe_load(path.read_text())["equities"]["champion"] == A


def test_what_lags_is_a_warning(ready: Home) -> None:
    """A registry that cannot follow does not hide the champion; the warning says why."""
    promote(ready, decision(A), mlflow=False, now=clock())
    (ready.models_artifacts / "mlflow.db").write_text("no database, and long enough to be told from an empty one" * 20)
    shown = run(ready, "champion", "equities")
    assert shown.exit_code == 0
    assert shown.stdout.startswith(f"equities  {A}")
    assert "warning: MLflow's aliases do not follow" in shown.stderr


def test_the_router_is_shown_killed_and_restored(ready: Home) -> None:
    """`show` tells who answers and why; `kill` and `restore` turn the switch and say when it was so already."""
    promote(ready, decision(A), mlflow=False, now=clock())
    assert run(ready, "router", "show", "equities").stdout.startswith(f"equities  {A}: champion since 2026-03-02")
    killed = run(ready, "router", "kill", "equities")
    assert killed.stdout.startswith("kill switch of equities: on; the frozen scorer answers for equities")
    assert "on already" in run(ready, "router", "kill", "equities").stdout
    assert run(ready, "router", "show", "equities").stdout == "equities  the frozen scorer: the kill switch is on\n"
    assert run(ready, "router", "restore", "equities").exit_code == 0
    (shown,) = json.loads(run(ready, "router", "show", "equities", "--format", "json").stdout)
    assert (shown["answers"], shown["run_id"]) == ("champion", A)


def test_show_lists_every_sleeve_and_the_fallback(ready: Home) -> None:
    """Without a sleeve all routes are shown, with the weights of a fallback."""
    path = ready.configs / "router.yml"
    path.write_text(path.read_text().replace("fallback: {}", f"fallback: {{{B}: 1.0}}"))
    shown = run(ready, "router", "show").stdout
    assert "equities  the latest registered run: equities has no champion" in shown
    assert f"fallback: {B} (1)" in shown
    assert "traders   the latest registered run: traders has no champion" in shown


def test_a_wrong_router_is_a_usage_error(ready: Home) -> None:
    """A key that does not exist exits 2 with the nearest name."""
    (ready.configs / "router.yml").write_text("equities:\n  kill_swich: on\n")
    refused = run(ready, "router", "show")
    assert refused.exit_code == 2
    assert "did you mean kill_switch" in refused.stderr


def test_a_switch_that_leads_nowhere_exits_2(ready: Home) -> None:
    """A sleeve without a frozen scorer cannot be killed."""
    assert run(ready, "router", "kill", "options").exit_code == 2
