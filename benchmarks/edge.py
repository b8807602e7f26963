"""From server to device, measured: the same numbers, in how many seconds, bytes and megabytes.

    python -m benchmarks.edge --work DIR            # the real panel from 2014, then 5,000 simulated symbols
    python -m benchmarks.edge --work DIR --only real
    python -m benchmarks.edge --work DIR --only simulated

For each market: build, train 300 trees of 63 leaves, publish, pull into a device that has the base install in a virtual
environment of its own, and score one session on server and device. The device is held to one core (taskset). For the
real panel the last session is landed, published and pulled by itself: the daily delta. Homes are kept in --work and
used again. Exit code 1 when a number differs or a bound is missed.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import yaml

from benchmarks.proofs import REPOSITORY, ingest_reference, new_home, panel, trademl
from trademl.lake.keys import keygen

REPEATS = 5
COLD_SECONDS, HOT_MS = 3.0, 6.0
FORBIDDEN = ("pandas", "sklearn", "lightgbm", "xgboost", "catboost", "mlflow", "dbt", "scipy", "matplotlib", "pyarrow")


@dataclass(frozen=True)
class Market:
    """A panel to publish. ``memory`` is the bound on the device's peak resident megabytes."""

    name: str
    memory: int
    make: Callable[[Path], None]
    train: str


def make_real(home: Path) -> None:
    """Land the real panel from 2014 to the session before its last."""
    new_home(home)
    panel(home, "select * from bars where date >= '2014-01-01' and date < (select max(date) from bars)")
    ingest_reference(home)


def make_simulated(home: Path) -> None:
    """Land 5,000 simulated symbols over 340 sessions."""
    new_home(home)
    market = home / "market"
    output = trademl(home, "simulate", "--out", str(market), "--symbols", "5000", "--sessions", "340", "--seed", "11")
    for line in output.splitlines():
        words = line.strip().removeprefix("$ ").split()
        if words[:2] == ["trademl", "ingest"]:
            trademl(home, *words[1:])


MARKETS = {
    "real": Market("real", 250, make_real, "2016-01-01"),
    "simulated": Market("simulated", 600, make_simulated, "2015-01-01"),
}


def prepare(market: Market, work: Path) -> tuple[Path, str, str, dict[str, str]]:
    """Build and train once; return the home, the run, the clock and the environment of a publisher."""
    home = work / market.name
    noted = home / "prepared.json"
    if not noted.is_file():
        shutil.rmtree(home, ignore_errors=True)
        market.make(home)
        trademl(home, "build")
        settings = yaml.safe_load((home / "configs/training/equities.yml").read_text())
        settings["model"] |= {"n_rounds": 300, "num_leaves": 63}
        settings["validation"] |= {"folds": 3, "test_folds": 1}
        settings["start"] = date.fromisoformat(market.train)
        (home / "configs/training/edge.yml").write_text(yaml.safe_dump(settings))
        trademl(home, "train", "equities", "--config", str(home / "configs/training/edge.yml"), "--no-mlflow")
        run = ask(home, "select run_id from ops.runs where status = 'registered'")[0]["run_id"]
        noted.write_text(json.dumps({"run": run}))
    key = work / f"{market.name}.key"
    key.unlink(missing_ok=True)
    public = keygen(key, home / "lake")
    return home, json.loads(noted.read_text())["run"], public, {"TRADEML_RELEASE_KEY": str(key)}


def ask(home: Path, sql: str, program: tuple[str, ...] = (sys.executable, "-m", "trademl")) -> list[dict[str, Any]]:
    """Return the rows of a query through `trademl sql`."""
    done = subprocess.run(
        [*program, "--home", str(home), "sql", sql, "--format", "json", "--limit", "0"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def install(work: Path) -> tuple[Path, float]:
    """Install the base package into an environment of its own; return its trademl and the size in MB."""
    folder = work / "device-venv"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    with tempfile.TemporaryDirectory() as wheels:
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", wheels, str(REPOSITORY)],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        (wheel,) = Path(wheels).glob("trademl-*.whl")
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet", str(wheel)],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return folder / "bin/trademl", size / 1e6


def device(folder: Path, program: Path, home: Path, public: str) -> Path:
    """Make a device's home that pulls from ``home``."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([program, "init", folder], check=True, capture_output=True)
    settings = {"source": str(home / "lake"), "trusted_keys": [public]}
    (folder / "configs/lake.yml").write_text(yaml.safe_dump(settings))
    return folder


def timed(program: Path, home: Path, *arguments: str, now: str) -> tuple[str, float, float]:
    """Run a command of the device on one core; return its output, wall seconds and peak resident MB."""
    environment = {**os.environ, "TRADEML_HOME": str(home), "TRADEML_NOW": now, "PYTHONDONTWRITEBYTECODE": "1"}
    began = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", str(max(os.sched_getaffinity(0))), str(program), *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"trademl {' '.join(arguments)} ended with {process.returncode}:\n{output}")
    return output, time.monotonic() - began, usage.ru_maxrss / 1024


def scores(home: Path, day: str, program: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """Return the scores of a session, by ticker; numbers as their exact decimal text."""
    rows = ask(
        home,
        "select ticker, yhat::varchar as yhat, yhat_std::varchar as std, prob_up::varchar as p, "
        f"rank_pct::varchar as rank from preds.equities where dt = date '{day}' order by 1",
        program,
    )
    return {row["ticker"]: (row["yhat"], row["std"], row["p"], row["rank"]) for row in rows}


def loaded_modules(program: Path, home: Path, now: str, day: str) -> list[str]:
    """Return the top-level packages that scoring loads, of the standard library none."""
    code = (
        "import sys, json\n"
        "from trademl.cli.main import main\n"
        f"main(['edge', 'score', '--as-of', '{day}', '--format', 'json'], standalone_mode=False)\n"
        "names = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print('\\nMODULES ' + json.dumps(sorted(names)))\n"
    )
    environment = {**os.environ, "TRADEML_HOME": str(home), "TRADEML_NOW": now}
    done = subprocess.run(
        [program.with_name("python"), "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout.rpartition("MODULES ")[2])
    return [name for name in found if not name.startswith("_")]


def hot_milliseconds(program: Path, home: Path) -> float:
    """Return the median milliseconds of scoring 500 rows with the pulled model, opened once, on one core."""
    code = (
        "import time, statistics, numpy as np\n"
        "from pathlib import Path\n"
        "from trademl.edge.bundle import open_release_bundle\n"
        "from trademl.lake.layout import Layout\n"
        "from trademl.lake.manifest import current_seq\n"
        "from trademl.lake.release import parse_release\n"
        f"layout = Layout(Path({str(home / 'lake')!r}))\n"
        "release = parse_release(layout.release(current_seq(layout)).read_bytes())\n"
        "session = open_release_bundle(layout, release).session\n"
        "X = np.random.default_rng(1).random((500, len(session.feature_names)), dtype=np.float32)\n"
        "times = []\n"
        "for _ in range(60):\n"
        "    began = time.perf_counter(); session.predict(X); times.append(time.perf_counter() - began)\n"
        "print(1e3 * statistics.median(times[10:]))\n"
    )
    done = subprocess.run(
        ["taskset", "-c", str(max(os.sched_getaffinity(0))), program.with_name("python"), "-c", code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def measure(market: Market, work: Path, program: Path) -> bool:
    """Publish, pull and score one market; print every figure and tell whether all bounds hold."""
    home, run, public, signing = prepare(market, work)
    os.environ.update(signing)
    edge = device(work / f"{market.name}-device", program, home, public)
    verdicts = []

    def told(text: str, holds: bool | None = None) -> None:
        if holds is not None:
            verdicts.append(holds)
        print(f"  {'' if holds is None else 'holds  ' if holds else 'FAILS  '}{text}", flush=True)

    print(f"{market.name}:", flush=True)
    day = last_session(home)
    now = f"{day}T23:30:00"
    print("  " + trademl(home, "lake", "publish", "--run", run, now=now).strip().replace("\n", "\n  "))
    output, seconds, peak = timed(program, edge, "lake", "pull", now=now)
    told(f"first pull: {output.strip().splitlines()[-2].strip()}; {seconds:.1f} s in all, peak {peak:.0f} MB")
    if market.name == "real" and (pending := next_session(home)):
        panel(home, f"select * from bars where date = '{pending}'")
        trademl(home, "build")
        day, now = pending, f"{pending}T23:30:00"
        trademl(home, "lake", "publish", "--run", run, now=now)
        before = {path.name for path in (edge / "lake/objects").iterdir()}
        output, seconds, _ = timed(program, edge, "lake", "pull", now=now)
        objects = list((edge / "lake/objects").iterdir())
        seq = (edge / "lake/CURRENT").read_text().strip().zfill(8)
        documents = sum((edge / f"lake/releases/{seq}.json{end}").stat().st_size for end in ("", ".sig"))
        released = json.loads((edge / f"lake/releases/{seq}.json").read_bytes())
        sizes = {part[1]: part[2] for table in released["tables"].values() for part in table["files"]}
        sizes |= {asset[0]: asset[1] for asset in released["assets"].values()}
        new = sum(path.stat().st_size for path in objects if path.is_file() and path.name not in before) + documents
        total = sum(sizes.values()) + documents
        told(f"one more session: {new:,} bytes pulled, {total:,} in the lake: {new / total:.2%}", new <= total / 100)
    runs = [timed(program, edge, "edge", "score", "--as-of", day, now=now) for _ in range(REPEATS)]
    seconds, peak = statistics.median(run[1] for run in runs), max(run[2] for run in runs)
    told(f"cold start to JSON, one core, median of {REPEATS}: {seconds:.2f} s", seconds <= COLD_SECONDS)
    told(f"peak resident memory of scoring: {peak:.0f} MB, limit {market.memory}", peak <= market.memory)
    milliseconds = hot_milliseconds(program, edge)
    told(f"hot ONNX, 500 rows, 300 trees of 63 leaves, one core: {milliseconds:.2f} ms", milliseconds <= HOT_MS)
    trademl(home, "score", "equities", "--run", run, "--as-of", day, now=now)
    here, there = scores(home, day, (sys.executable, "-m", "trademl")), scores(edge, day, (str(program),))
    differing = sum(here.get(ticker) != there.get(ticker) for ticker in {*here, *there})
    told(f"{len(here)} scores (yhat, spread, probability, rank): {differing} differ", differing == 0 and bool(here))
    verdict = trademl(home, "edge", "verify", "--journal", str(edge / "lake/journal/equities"), now=now).strip()
    told(f"journal against gold: {verdict.splitlines()[-1].strip()}", "all equal" in verdict)
    modules = loaded_modules(program, edge, now, day)
    bad = sorted(set(modules) & set(FORBIDDEN))
    told(f"modules loaded: {', '.join(modules)}", not bad)
    return all(verdicts)


def last_session(home: Path) -> str:
    """Return the newest session of a home's snapshot."""
    return str(ask(home, "select max(date)::varchar as day from silver.equity_bars")[0]["day"])


def next_session(home: Path) -> str | None:
    """Return the panel's last session if the home does not have it yet."""
    from benchmarks.proofs import DATA

    with duckdb.connect() as con:
        ((last,),) = con.execute(
            f"select max(date)::date::varchar from '{DATA / 'us_sp500_daily_1999_2018.parquet'}'"
        ).fetchall()
    return None if last == last_session(home) else str(last)


def main() -> int:
    """Measure the markets asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where homes are kept; default: a temporary folder")
    parser.add_argument("--only", choices=sorted(MARKETS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        program, size = install(work)
        print(f"base install in an environment of its own: {size:.0f} MB", flush=True)
        chosen = [MARKETS[options.only]] if options.only else list(MARKETS.values())
        held = [measure(market, work, program) for market in chosen]
        return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
