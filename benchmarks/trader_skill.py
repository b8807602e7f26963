"""Whom do you pick when you pick the twenty best? Simulated wallets, planted truth, several ways to rank.

Each case is a simulated crowd that goes through the product's own commands in a home of its own: simulate traders,
ingest trader-days and trader-fills, build, traders rank. The twenty best of the wallets still active are picked by raw
ROI, by Sharpe ratio, by the published deflated Sharpe ratio, by deflated skill without and with its flags, and by the
score of the trained stack where there is one; precision is the share of the twenty that have planted skill.

    python -m benchmarks.trader_skill                 # five crowds of 2,000 wallets over 180 days
    python -m benchmarks.trader_skill --with-model    # train the stack too
    python -m benchmarks.trader_skill --quick         # no build: the files stand for the silver tables
    python -m benchmarks.trader_skill --quick --plain # weaker skill and luck alone: no cheats, no lotteries

A finished case is one line of the --out file (JSON lines), and is not run again: stop and restart as you like. Exit
code 1 when a bound fails: deflated skill finds at least 80 % on average (50 % among weak skill and luck alone), and raw
ROI finds fewer in every crowd.
"""

import argparse
import csv
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import yaml

from trademl.cli.simulate_traders import ingest_lines
from trademl.clock import sql_utc, utc_now
from trademl.config.home import Home
from trademl.sleeves.traders.skill import SkillSettings, rank_from, skill_rows
from trademl.warehouse.read import read_snapshot

TOP = 20
PRECISION_AT_LEAST, PLAIN_AT_LEAST = 0.8, 0.5
RAW, DEFLATED, SCORE = "raw ROI", "deflated skill", "ML score"

Row = dict[str, Any]

_ROI = """
select address, roi_90d from gold.ml_feature_snapshots
where snapshot_date <= ?
qualify row_number() over (partition by address order by snapshot_date desc) = 1
"""

_SCORES = """
select address, yhat from preds.traders
where dt <= ?
qualify dt = max(dt) over () and row_number() over (partition by address order by scored_at desc) = 1
"""

_SILVER_DAYS = """
create table silver.trader_days as
select
    "Account" as address, date, daily_pnl - n_trades * avg_fee as daily_pnl, n_trades, total_size_usd as volume_usd,
    n_trades * avg_fee as fees, date + interval 1 day as known_at
from read_csv('{folder}/account_days.csv')
"""

_SILVER_TRADES = """
create table silver.trader_trades as
with fills as (
    select *, epoch_ms("Timestamp") as filled_at, "Trade ID" // 2 as trade_number
    from read_csv('{folder}/fills.csv')
)

select
    "Account" as address, any_value("Coin") as coin, trade_number, min(filled_at) as opened_at,
    max(filled_at) as closed_at, epoch(max(filled_at) - min(filled_at)) / 3600 as hold_hours,
    sum("Size USD") filter ("Direction" like 'Open%') as entry_notional,
    sum("Size USD") filter ("Direction" like 'Close%') as exit_notional,
    sum("Closed PnL") as pnl, sum("Closed PnL" - "Fee") as net_pnl, max(filled_at) as known_at
from fills
group by "Account", trade_number
"""


def run_case(seed: int, wallets: int, days: int, folder: Path, *, quick: bool, plain: bool, with_model: bool) -> Row:
    """Rank one crowd in every way and return the precisions."""
    started = time.monotonic()
    home, files = folder / "home", folder / "traders"
    # Half the skill: where nobody cheats, the default is found by any ratio.
    without = ["--martingales", "0", "--lotteries", "0", "--washers", "0"] if plain else []
    without += ["--weakest-skill", "0.05", "--strongest-skill", "0.25"] if plain else []
    trademl("simulate", "traders", "--out", str(files), *_numbers(seed=seed, wallets=wallets, days=days), *without)
    last = date.fromisoformat(json.loads((files / "truth.json").read_text())["last"])
    timing: dict[str, float] = {}
    if quick:
        rows, roi, scores = _quick(files, last, timing)
    else:
        rows, roi, scores = _through_product(home, files, last, with_model, timing)
    kinds = {row["address"]: row["kind"] for row in csv.DictReader((files / "truth.csv").open(newline=""))}
    active = [row for row in rows if row["status"] != "gone"]
    found = {name: _picked(active, key, kinds) for name, key in _ways(roi, scores).items()}
    beyond = [row for row in active if (row["deflated_skill"] or 0) >= 0.95 and row["skill_rank"] and not _flag(row)]
    return {
        "seed": seed,
        "wallets": wallets,
        "days": days,
        "quick": quick,
        "plain": plain,
        "with_model": with_model,
        "active": len(active),
        "ranked": sum(row["skill_rank"] is not None for row in rows),
        "skilled_active": sum(kinds[row["address"]] == "skill" for row in active),
        "precision": {name: counted["skill"] / TOP for name, counted in found.items()},
        "picked": {name: dict(counted) for name, counted in found.items()},
        "beyond_luck": dict(Counter(kinds[row["address"]] for row in beyond)),
        "flags": _flags(rows, kinds),
        "seconds": {**timing, "all": round(time.monotonic() - started, 1)},
    }


def _ways(roi: dict[str, float], scores: dict[str, float]) -> dict[str, Callable[[Row], float | None]]:
    """Return each way to rank: its name, and a number that is higher for the better; None for who cannot be ranked."""
    last = 1e9

    def placed(row: Row) -> float | None:
        return None if row["skill_rank"] is None else last - row["skill_rank"]

    def of(name: str) -> Callable[[Row], float | None]:
        return lambda row: row[name] if row["skill_rank"] is not None else None

    ways: dict[str, Callable[[Row], float | None]] = {
        RAW: lambda row: roi.get(row["address"]),
        "Sharpe ratio": of("sharpe"),
        "published DSR": of("dsr"),
        "deflated skill, no flags": of("deflated_skill"),
        DEFLATED: placed,
    }
    if scores:
        ways[SCORE] = lambda row: scores.get(row["address"])
    return ways


def _picked(rows: list[Row], key: Callable[[Row], float | None], kinds: dict[str, str]) -> Counter[str]:
    known = [(value, row["address"]) for row in rows if (value := key(row)) is not None and math.isfinite(value)]
    return Counter(kinds[address] for _, address in sorted(known, key=lambda pair: (-pair[0], pair[1]))[:TOP])


def _flags(rows: list[Row], kinds: dict[str, str]) -> dict[str, Any]:
    """Count, among ranked traders, who raises which flag: kind -> [raised, of], by evidence."""
    counts: dict[str, Any] = {}
    for flag in ("is_martingale", "is_single_trade", "is_wash"):
        for evidence in ("trades", "days"):
            table: dict[str, list[int]] = {}
            for row in rows:
                if row["skill_rank"] is not None and row["evidence"] == evidence:
                    seen = table.setdefault(kinds[row["address"]], [0, 0])
                    seen[0] += bool(row[flag])
                    seen[1] += 1
            counts[f"{flag} by {evidence}"] = table
    return counts


def _quick(files: Path, last: date, timing: dict[str, float]) -> tuple[list[Row], dict[str, float], dict[str, float]]:
    with duckdb.connect() as con:
        con.execute("create schema silver")
        con.execute(_SILVER_DAYS.format(folder=files))
        con.execute(_SILVER_TRADES.format(folder=files))
        begun = time.monotonic()
        rows = skill_rows(rank_from(con, last, SkillSettings()), sql_utc(utc_now()))
        timing["rank"] = round(time.monotonic() - begun, 1)
        # Profit over the last 90 days, as a share of what is traded on a day.
        roi = con.execute(
            "select address, sum(daily_pnl) / avg(volume_usd) from silver.trader_days where date > ? - interval 90 day "
            "group by address",
            [last],
        ).fetchall()
    return rows, dict(roi), {}


def _through_product(
    home: Path, files: Path, last: date, with_model: bool, timing: dict[str, float]
) -> tuple[list[Row], dict[str, float], dict[str, float]]:
    def timed(name: str, *arguments: str) -> str:
        begun = time.monotonic()
        said = trademl("--home", str(home), *arguments)
        timing[name] = round(timing.get(name, 0.0) + time.monotonic() - begun, 1)
        return said

    trademl("init", str(home))
    for line in ingest_lines(files):
        timed("ingest", *line.split())
    timed("build", "build")
    if with_model:
        timed("train", "train", "traders", "--config", str(_smaller(home)), "--no-mlflow")
        timed("score", "traders", "score", "--as-of", str(last))
    rows = json.loads(timed("rank", "traders", "rank", "--as-of", str(last), "--format", "json"))
    with read_snapshot(Home(home.resolve())) as snapshot:
        roi = dict(snapshot.con.execute(_ROI, [last]).fetchall())
        scores = dict(snapshot.con.execute(_SCORES, [last]).fetchall()) if with_model else {}
    return rows, roi, scores


def _smaller(home: Path) -> Path:
    """Write a training configuration with fewer folds: the figures below need the final fit and its score alone."""
    document = yaml.safe_load((home / "configs" / "training" / "traders.yml").read_text())
    document["validation"] |= {"folds": 3, "test_folds": 1}
    document["model"]["inner"] |= {"folds": 3, "test_folds": 1}
    document["data_gate"]["exclude_not_green"] = True
    path = home / "configs" / "training" / "traders_small.yml"
    path.write_text(yaml.safe_dump(document))
    return path


def trademl(*arguments: str) -> str:
    """Run one command and return its output.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "trademl", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(f"trademl {' '.join(arguments)} exited with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def report(cases: list[Row]) -> list[str]:
    """Return the table: for each way the mean precision, its standard error, the range, and whom it picked."""
    lines = [f"{'top 20 by':26} {'precision':>9} {'+-':>6} {'least':>6} {'most':>6}  picked in all crowds"]
    for name in dict.fromkeys(way for case in cases for way in case["precision"]):
        values = [case["precision"][name] for case in cases if name in case["precision"]]
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        picked = sum((Counter(case["picked"][name]) for case in cases if name in case["picked"]), Counter[str]())
        whom = ", ".join(f"{count} {kind}" for kind, count in picked.most_common())
        mean = statistics.mean(values)
        lines.append(f"{name:26} {mean:9.3f} {error:6.3f} {min(values):6.2f} {max(values):6.2f}  {whom}")
    beyond = sum((Counter(case["beyond_luck"]) for case in cases), Counter[str]())
    share = beyond["skill"] / max(sum(beyond.values()), 1)
    lines.append(f"unflagged with deflated skill of 95 % or more: {dict(beyond)}, {share:.1%} of them skilled")
    for flag in cases[0]["flags"]:
        table: dict[str, list[int]] = {}
        for case in cases:
            for kind, (raised, seen) in case["flags"][flag].items():
                total = table.setdefault(kind, [0, 0])
                total[0] += raised
                total[1] += seen
        lines.append(f"{flag}: " + ", ".join(f"{kind} {raised}/{seen}" for kind, (raised, seen) in table.items()))
    return lines


def failures(cases: list[Row]) -> list[str]:
    """Return which bounds fail."""
    failed = []
    mean = statistics.mean(case["precision"][DEFLATED] for case in cases)
    least = PLAIN_AT_LEAST if cases[0]["plain"] else PRECISION_AT_LEAST
    if mean < least:
        failed.append(f"deflated skill finds {mean:.3f} on average, less than {least}")
    failed += [
        f"seed {case['seed']}: raw ROI finds {case['precision'][RAW]}, deflated skill {case['precision'][DEFLATED]}"
        for case in cases
        if case["precision"][RAW] >= case["precision"][DEFLATED]
    ]
    return failed


def _numbers(**values: int) -> list[str]:
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


def main() -> int:
    """Run the cases that are missing, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--wallets", type=int, default=2000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--with-model", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("trader_skill.jsonl"))
    given = parser.parse_args()
    shared = {name: getattr(given, name) for name in ("wallets", "days", "quick", "plain", "with_model")}
    done = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.is_file() else []
    cases = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        key = {"seed": seed, **shared}
        known = [case for case in done if all(case.get(name) == value for name, value in key.items())]
        if known:
            cases.append(known[-1])
            continue
        with tempfile.TemporaryDirectory() as folder:
            case = run_case(folder=Path(folder), **key)
        with given.out.open("a") as file:
            file.write(json.dumps(case) + "\n")
        sys.stderr.write(f"seed {seed}: {case['precision']} in {case['seconds']['all']} s\n")
        cases.append(case)
    failed = failures(cases)
    sys.stdout.write("\n".join([*report(cases), *failed]) + "\n")
    return int(bool(failed))


def _flag(row: Row) -> bool:
    return bool(row["is_martingale"] or row["is_single_trade"] or row["is_wash"])


if __name__ == "__main__":
    sys.exit(main())
