"""How much of a planted signal does the whole product find, and does it find one where there is none?

Each case is a simulated market that goes through the product's own commands in a home of its own: simulate, ingest,
build, train (CPCV 8 choose 2). Compared are the planted signal's rank IC on gold.equities_labels (the oracle) and the
model's out-of-fold rank IC on preds.oof.

    python -m benchmarks.planted_signal            # one market with rank IC 0.05, and 100 with none
    python -m benchmarks.planted_signal --only planted
    python -m benchmarks.planted_signal --only zero --first-seed 21 --seeds 20

A finished case is one line of the --out file (JSON lines), and is not run again: stop and restart as you like.
Exit code 1 when a bound fails: the oracle within two standard errors of what was planted, the model at least 80 % of
the oracle's, and for no signal a mean that a two-sided t test over the seeds does not tell from 0 (p > 0.05).
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trademl.cli.demo import write_config
from trademl.cli.simulate import ingest_lines
from trademl.config.home import Home
from trademl.warehouse.read import read_snapshot
from trademl.warehouse.simulate.recovery import measure_recovery

SHARE_AT_LEAST = 0.8
STANDARD_ERRORS = 2.0
P_ABOVE = 0.05


@dataclass(frozen=True)
class Case:
    """One market to simulate."""

    planted_ic: float
    seed: int
    symbols: int
    sessions: int

    @property
    def name(self) -> str:
        return f"ic={self.planted_ic:g} seed={self.seed} {self.symbols}x{self.sessions}"


def cases(only: str, first_seed: int, seeds: int) -> list[Case]:
    """Return the planted market (250 symbols, five years) and the empty ones (100 symbols, two years)."""
    planted = [Case(0.05, 7, 250, 1260)] if only != "zero" else []
    empty = [Case(0.0, seed, 100, 500) for seed in range(first_seed, first_seed + seeds)] if only != "planted" else []
    return planted + empty


def run_case(case: Case, folder: Path) -> dict[str, Any]:
    """Take one market through the product and return its measurements."""
    home, market = folder / "home", folder / "market"
    started = time.monotonic()
    parameters = {name.replace("_", "-"): value for name, value in asdict(case).items()}
    trademl("init", str(home))
    trademl(
        "simulate",
        "--out",
        str(market),
        *[text for name, value in parameters.items() for text in (f"--{name}", str(value))],
    )
    for line in ingest_lines(market):
        trademl("--home", str(home), *line.split())
    trademl("--home", str(home), "build")
    config = write_config(home)
    train = ["train", "equities", "--label", "horizon", "--k", "5", "--config", str(config), "--no-mlflow"]
    trademl("--home", str(home), *train)
    with read_snapshot(Home(home.resolve())) as snapshot:
        found = measure_recovery(snapshot.con, market / "truth.parquet", "fwd_5d", 5)
    return {**asdict(case), **asdict(found), "seconds": round(time.monotonic() - started, 1)}


def trademl(*arguments: str) -> None:
    """Run one command in a process of its own; on failure show what it said and stop."""
    done = subprocess.run([sys.executable, "-m", "trademl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"trademl {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")


def t_test(values: list[float]) -> tuple[float, float, float, float]:
    """Return mean, standard error, t and the two-sided p of Student's distribution with n - 1 degrees of freedom."""
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    t = mean / error
    degrees = len(values) - 1
    # p = 2 P(T > |t|) by Simpson's rule over the density on [0, |t|]
    scale = math.gamma((degrees + 1) / 2) / (math.sqrt(degrees * math.pi) * math.gamma(degrees / 2))
    steps = 2000
    width = abs(t) / steps
    heights = [scale * (1 + (i * width) ** 2 / degrees) ** (-(degrees + 1) / 2) for i in range(steps + 1)]
    inside = width / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))
    return mean, error, t, 1 - 2 * inside


def report(rows: list[dict[str, Any]]) -> bool:
    """Print the table and the verdicts; return whether every bound holds."""
    print(
        f"{'planted':>8}{'seed':>6}{'size':>11}{'oracle':>9}{'error':>8}{'tested':>9}{'model':>9}{'error':>8}{'share':>7}{'s':>6}"
    )
    for row in rows:
        share = f"{row['model_ic'] / row['oracle_ic_on_tested']:.2f}" if row["planted_ic"] else ""
        print(
            f"{row['planted_ic']:>8.3f}{row['seed']:>6}{row['symbols']:>6}x{row['sessions']:<4}"
            f"{row['oracle_ic']:>9.4f}{row['oracle_error']:>8.4f}{row['oracle_ic_on_tested']:>9.4f}"
            f"{row['model_ic']:>9.4f}{row['model_error']:>8.4f}{share:>7}{row['seconds']:>6.0f}"
        )
    verdicts = []
    for row in rows:
        if row["planted_ic"]:
            distance = abs(row["oracle_ic"] - row["planted_ic"]) / row["oracle_error"]
            verdicts.append(
                (f"oracle {distance:.2f} standard errors from {row['planted_ic']}", distance <= STANDARD_ERRORS)
            )
            share = row["model_ic"] / row["oracle_ic_on_tested"]
            verdicts.append((f"model at {share:.0%} of the oracle", share >= SHARE_AT_LEAST))
    for who in ("model_ic", "oracle_ic"):
        empty = [row[who] for row in rows if not row["planted_ic"]]
        if len(empty) > 2:
            mean, error, t, p = t_test(empty)
            text = f"{who} without a signal, {len(empty)} seeds: {mean:+.5f} +- {error:.5f}, t {t:+.2f}, p {p:.2f}"
            verdicts.append((text, p > P_ABOVE))
    for text, holds in verdicts:
        print(f"{'holds' if holds else 'FAILS'}  {text}")
    return all(holds for _, holds in verdicts)


def main() -> int:
    """Run what is not finished yet, then report on everything asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["both", "planted", "zero"], default="both")
    parser.add_argument("--seeds", type=int, default=100, help="markets without a signal")
    parser.add_argument("--first-seed", type=int, default=1, help="seed of the first of them")
    parser.add_argument("--out", type=Path, default=Path("planted_signal.jsonl"), help="finished cases")
    options = parser.parse_args()
    lines = options.out.read_text().splitlines() if options.out.is_file() else []
    finished = {Case(*(row[name] for name in Case.__dataclass_fields__)): row for row in map(json.loads, lines)}
    wanted = cases(options.only, options.first_seed, options.seeds)
    for case in wanted:
        if case in finished:
            continue
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            finished[case] = run_case(case, Path(folder))
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finished[case]) + "\n")
        print(
            f"{case.name}: model {finished[case]['model_ic']:+.4f}, {finished[case]['seconds']:.0f} s", file=sys.stderr
        )
    return 0 if report([finished[case] for case in wanted]) else 1


if __name__ == "__main__":
    sys.exit(main())
