"""kill -9 at any moment of a promotion, and two promotions at once."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.governance.promotable import A, B, clock, decision, write_run
from trademl.config.home import Home
from trademl.governance.promotion import champion, promote
from trademl.governance.router_config import read_router
from trademl.lake.layout import layout_of

REPOSITORY = Path(__file__).resolve().parents[2]

RACER = """
import sys, time
from pathlib import Path
from tests.governance.promotable import decision
from trademl.config.home import Home
from trademl.errors import PromotionError
from trademl.governance.promotion import promote

root, run, champion = sys.argv[1:]
made = decision(run, champion=champion or None)
print("ready", flush=True)
while not (Path(root) / "go").exists():
    pass
try:
    promote(Home(Path(root)), made, mlflow=False)
except PromotionError as error:
    print(f"refused {error.message}")
    sys.exit(3)
print("won")
"""


def killed_promotions(folder: Path, action: str, most: int) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killer = ["-W", "ignore", "-m", "tests.governance.promotion_killer"]
    command = [sys.executable, *killer, str(folder), action, str(most)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    document: dict[str, Any] = json.loads((folder / f"{action}.json").read_text())
    return document


def check_agreement(document: dict[str, Any], before: str, after: str, challenger: str | None) -> None:
    """Every observer names one champion; it is the old one up to some step and the new one from there on."""
    undisturbed, *records = document["records"]
    assert undisturbed["reported"] == after
    assert all(record["killed"] for record in records)
    seen = []
    for record in records:
        named = {record[place] for place in ("reported", "ops.promotions", "snapshot", "router", "registry")}
        assert len(named) == 1, record
        seen.append(named.pop())
        assert record["challenger"] == (challenger if seen[-1] == before else None), record
        # What is unfinished has no name that anybody reads; where something was brought in line it is swept.
        if seen[-1] == after:
            assert [name for name in record["leftovers"] if not name.startswith("lake/manifests")] == [], record
    turn = seen.index(after)
    assert seen == [before] * turn + [after] * (len(seen) - turn)
    # The step that decides is the rename of the batch: the first rename of all.
    deciding = next(number for number, name in enumerate(document["steps"], start=1) if name.startswith("os.rename"))
    assert records[turn - 1]["stop"] == deciding
    assert records[turn]["stop"] == deciding + 1


@pytest.mark.fault
@pytest.mark.slow
def test_twenty_kills_of_a_promotion_leave_one_champion(tmp_path: Path) -> None:
    """SIGKILL before 20 steps of a promotion: after the next `trademl champion` all places name the same champion."""
    document = killed_promotions(tmp_path, "promote", 20)
    assert len(document["records"]) >= 21
    check_agreement(document, before=A, after=B, challenger=B)


@pytest.mark.fault
@pytest.mark.slow
def test_kills_of_a_rollback_leave_one_champion(tmp_path: Path) -> None:
    """SIGKILL before a dozen steps of a rollback: the rollback is there whole or not at all, everywhere."""
    document = killed_promotions(tmp_path, "rollback", 12)
    check_agreement(document, before=B, after=A, challenger=None)


def race(home: Home, runs: tuple[str, str], reigning: str | None) -> list[tuple[int, str]]:
    """Promote each run in a process of its own, all let go at once; return exit codes and what they said."""
    (home.root / "go").unlink(missing_ok=True)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(home.root), run, reigning or ""],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for run in runs
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    (home.root / "go").touch()
    results = [(racer.communicate(timeout=60)[0], racer.returncode) for racer in racers]
    return [(code, said) for said, code in results]


@pytest.mark.fault
def test_of_two_promotions_at_once_one_wins(home: Home) -> None:
    """Two processes promote different runs against the same champion: one wins, the other is told who reigns now."""
    runs = ("equities-fwd_5d-111111111111", "equities-fwd_5d-222222222222")
    write_run(home, A)
    for run in runs:
        write_run(home, run)
    promote(home, decision(A), mlflow=False, now=clock())
    began = time.monotonic()
    results = race(home, runs, A)
    assert sorted(code for code, _ in results) == [0, 3], results
    winner, loser = sorted(zip(results, runs, strict=True))
    assert winner[0] == (0, "won\n")
    assert loser[0][1].startswith(f"refused the champion of equities is {winner[1]}, not {A}")
    found = champion(home, "equities")
    assert found is not None
    assert found.run_id == read_router(home).of("equities").champion == winner[1]
    files = [str(path) for path in layout_of(home).batch_files("ops.promotions")]
    crowned = duckdb.execute(
        "select run_id from read_parquet($1) where verdict = 'promoted' order by sequence", [files]
    ).fetchall()
    assert crowned == [(A,), (winner[1],)]
    assert time.monotonic() - began < 60


@pytest.mark.fault
def test_one_run_promoted_twice_at_once_is_promoted_once(home: Home) -> None:
    """Two processes promote the same run: it is champion, by one decision, and neither command fails."""
    write_run(home, A)
    results = race(home, (A, A), None)
    assert [code for code, _ in results] == [0, 0]
    assert len(layout_of(home).batch_files("ops.promotions")) == 1
