"""Kill a tuning run twice with kill -9, resume it, and count what the ledger holds.

    python -m benchmarks.tuning --home DIR
    python -m benchmarks.tuning --home DIR --trials 50 --kills 12,30 -- --model lightgbm --rounds 100 --start 2010-01-01

The home needs a snapshot (`trademl build`). What stands behind ``--`` goes to `trademl tune equities`. The study is
killed in the middle of the fits of the trials that ``--kills`` names, then resumed to its end. Printed: the rows of the
ledger for the study's trials, configurations that are there twice, attempts without an end (the killed ones), trials of
several attempts. Exit code 1 when one of them is not what it must be. The configurations must be new to the home: what
an earlier study or run has tried has attempts of its own.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb

from trademl.config.home import Home
from trademl.lake.batches import latest_sql
from trademl.lake.layout import layout_of
from trademl.schema import BATCHES

STUDY = "killed-twice"
_BEGINS = re.compile(r"trial (\d+)/")


def main() -> int:
    """Kill, resume, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--kills", default="12,30", help="trials, from 1, in whose fits the process is killed")
    parser.add_argument("--study", default=STUDY)
    parser.add_argument("options", nargs="*", help="options of trademl tune equities, behind --")
    given = parser.parse_args()
    home = Home(given.home.resolve())
    command = [sys.executable, "-m", "trademl", "--home", str(home.root), "tune", "equities"]
    command += ["--trials", str(given.trials), "--study", given.study, *given.options]
    began = time.monotonic()
    kills = [int(number) for number in given.kills.split(",") if number]
    for number in kills:
        run(command, home, kill_in=number)
    code = run(command, home)
    print(f"{time.monotonic() - began:,.0f} s in all, {len(kills)} kills, exit code of the last command {code}")
    return judge(home, given.study, given.trials, len(kills)) if code == 0 else code


def run(command: list[str], home: Home, kill_in: int | None = None) -> int:
    """Run the command; kill it with SIGKILL when trial ``kill_in`` has finished its first split."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        sys.stderr.write(line)
        begins = _BEGINS.search(line)
        if begins and kill_in is not None and int(begins.group(1)) >= kill_in:
            trials = home.models_artifacts / "equities" / "studies" / "_trials"
            while process.poll() is None and not any(trials.glob("*/split_*.json")):
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
            print(f"killed in trial {begins.group(1)}: exit code {process.wait()}")
            break
    return process.wait()


def judge(home: Home, study: str, trials: int, kills: int) -> int:
    """Print the counts; return 1 when one is wrong."""
    report = json.loads((home.models_artifacts / "equities" / "studies" / study / "report.json").read_text())
    names = [trial["run_id"] for trial in report["trials"]]
    rows = counted(home, names)
    wanted: dict[str, Any] = {
        "trials of the study": (len(names), trials),
        "distinct configurations of the study": (len(set(names)), trials),
        "rows of ops.trials": (rows["trials"], trials),
        "configurations twice in ops.trials": (rows["trials"] - rows["hashes"], 0),
        "trials whose status is started": (rows["started"], 0),
        "attempts without an end": (rows["dead"], kills),
        "trials of several attempts": (rows["resumed"], kills),
        "trials that ended twice": (rows["ended_twice"], 0),
        "finished trials without returns": (rows["finished"] - rows["with_returns"], 0),
    }
    for what, (found, right) in wanted.items():
        print(f"{what:<40}{found:>6}  {'' if found == right else f'WRONG: must be {right}'}")
    counts = ", ".join(f"{count} {state}" for state, count in report["counts"].items())
    print(f"outcome: {counts}; choice: {json.dumps(report['choice'])}")
    return int(any(found != right for found, right in wanted.values()))


def counted(home: Home, names: list[str]) -> dict[str, int]:
    """Return the ledger's counts for the runs ``names``."""
    layout = layout_of(home)
    with duckdb.connect() as con:
        for table in ("ops.trials", "ops.trial_events", "ops.trial_returns"):
            view = table.partition(".")[2]
            con.execute(f"create view {view} as {latest_sql(BATCHES[table], layout.batch_files(table))}")
        con.execute("create table names as select unnest(?::varchar[]) as run_id", [names])
        sql = """
            with
            mine as (select * from trials semi join names using (run_id)),
            attempts as (
                select run_id, attempt, count(*) filter (where event in ('finished', 'pruned', 'failed')) as ends
                from trial_events semi join names using (run_id) group by all
            ),
            by_run as (select run_id, count(*) as attempts, sum(ends) as ends from attempts group by all)
            select
                (select count(*) from mine) as trials,
                (select count(distinct config_hash) from mine) as hashes,
                (select count(*) from mine where status = 'started') as started,
                (select count(*) from mine where status = 'finished' and returns_ref is not null) as finished,
                (select count(distinct run_id) from trial_returns semi join names using (run_id)) as with_returns,
                (select count(*) from attempts where ends = 0) as dead,
                (select count(*) from by_run where attempts > 1) as resumed,
                (select count(*) from by_run where ends > 1) as ended_twice
        """
        cursor = con.execute(sql)
        columns = [column[0] for column in cursor.description or ()]
        return {name: int(value) for name, value in zip(columns, cursor.fetchall()[0], strict=True)}


if __name__ == "__main__":
    sys.exit(main())
