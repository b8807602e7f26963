"""Planted bad candidates: is each refused, and by the bar that is for it? And do good ones pass?

Sixty bad candidates, ten of each kind, and sixty good ones, each the best of a simulated research campaign
(benchmarks.campaigns) in a market with a strong planted signal (rank IC 0.08), judged by the shipped policy:

    leaky          splits without purge and embargo                  -> leakage
    overfit        the best of fifty configurations on pure noise    -> dsr (and pbo)
    stale          the research ended thirty sessions ago            -> data_fresh
    failed quality a third of the members absent for a week          -> data_green
    miscalibrated  probabilities pushed to the extremes              -> calibration
    drifting       a source changed its unit once it was in shadow   -> shadow_drift

    python -m benchmarks.candidates

Exit code 1 when a bad candidate passes, or is refused without its named bar, or fewer than 95 % of the good ones pass.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.campaigns import POLICY, Floats, limits, research
from trademl.config.reading import load_section
from trademl.governance.gate import PromotionPolicy, judge

COST, STRONG_IC, EACH, GOOD = 5e-4, 0.08, 10, 60
GOOD_AT_LEAST = 0.95


def extreme(likely: Floats) -> Floats:
    """Return probabilities further from one half than they were: odds to the fourth power, and a bias upwards."""
    odds = (likely / (1.0 - likely)) ** 4 * 1.5
    return np.asarray(np.clip(odds / (1.0 + odds), 0.01, 0.99))


def other_unit(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features as a source in another unit would give them: three times the spread, shifted."""
    return np.asarray(X * 3.0 + 0.4, dtype=np.float32)


KINDS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "leaky": ("leakage", STRONG_IC, {"purge": False}),
    "overfit": ("dsr", 0.0, {}),
    "stale": ("data_fresh", STRONG_IC, {"stop": 30}),
    "failed quality": ("data_green", STRONG_IC, {"absent": 5}),
    "miscalibrated": ("calibration", STRONG_IC, {"distort": extreme}),
    "drifting": ("shadow_drift", STRONG_IC, {"scale": other_unit}),
    "good": ("", STRONG_IC, {}),
}
"""The bar each kind must fail, the planted rank IC, and what is planted."""


def report(rows: list[dict[str, Any]]) -> bool:
    """Print one line a kind, and the verdicts."""
    holds = True
    print(f"{'kind':<16}{'judged':>7}{'passed':>8}  named bar     refused by it  others that failed too")
    for kind, (bar, _, _) in KINDS.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        if not of_kind:
            continue
        passed = sum(not row["failed"] for row in of_kind)
        named = sum(bar in row["failed"] for row in of_kind)
        others = Counter(name for row in of_kind for name in row["failed"] if name != bar)
        also = ", ".join(f"{name} {n}" for name, n in others.most_common())
        print(f"{kind:<16}{len(of_kind):>7}{passed:>8}  {bar or '-':<14}{named if bar else '-':>13}  {also}")
        if bar:
            holds &= named == len(of_kind)
        else:
            lower, upper = limits(passed, len(of_kind))
            share = passed / len(of_kind)
            print(f"{'':<16}good ones that pass: {share:.1%}, one-sided 95 % limits {lower:.1%} and {upper:.1%}")
            holds &= share >= GOOD_AT_LEAST
    print(
        "holds" if holds else "FAILS", f" every bad candidate refused by its bar, {GOOD_AT_LEAST:.0%} of the good pass"
    )
    return holds


def main() -> int:
    """Judge what is not judged yet, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("candidates.jsonl"), help="judged candidates (JSON lines)")
    parser.add_argument("--worker", default="0/1", help="this process takes candidates i, i + n, ... of i/n")
    options = parser.parse_args()
    policy = load_section(POLICY, PromotionPolicy)
    mine, workers = (int(part) for part in options.worker.split("/"))
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.is_file() else []
    finished = {(row["kind"], row["seed"]) for row in rows}
    wanted = [
        (kind, 30_000 + 1000 * number + k)
        for number, kind in enumerate(KINDS)
        for k in range(GOOD if kind == "good" else EACH)
    ]
    for kind, seed in wanted[mine::workers]:
        if (kind, seed) in finished:
            continue
        bar, planted, faults = KINDS[kind]
        evidence, facts = research(seed, planted, "ridge", COST, policy, **faults)
        failed = [found.name for found in judge(evidence, policy).failed]
        rows.append({"kind": kind, "seed": seed, "bar": bar, "failed": failed, **facts})
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(f"{kind} {seed}: {', '.join(failed) or 'passed'}", file=sys.stderr)
    return 0 if report(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
