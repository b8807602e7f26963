"""What each family of features is worth: ta, mechanics and full, at stage A and at stage B.

    python -m benchmarks.events_ablation HOME [--heads tradeable_2,direction,...] [--last 15] [--exclude-not-green]

Trains the heads of a home for the six combinations through the product's one training path (what is trained already is
found, not trained again) and compares out-of-fold predictions on all predicted sessions and on the last ones, on the
same events. Intervals of differences from stage B full are 95 % of 1,000 bootstrap samples of whole dates. ta has the
same columns at both stages, so it is one run and one trial. Figures go to standard output and, with --out, to JSON.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.events_report import interval
from trademl.config.home import Home
from trademl.config.reading import load_section, validate_section
from trademl.sleeves.events.names import ABLATIONS, STAGES, is_regression
from trademl.sleeves.events.train import EventsConfig, EventsResult, train
from trademl.validation.calibration import brier
from trademl.validation.discrimination import auc
from trademl.validation.sigmoid import sigmoid
from trademl.warehouse.read import read_snapshot

HEADS = "tradeable_2,direction,strength,t1_60s,t2_60s,t1_break_60s,t1_bounce_60s"
BEST = ("stage_b", "full")


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--heads", default=HEADS)
    parser.add_argument("--horizons", default="60,120")
    parser.add_argument("--last", type=int, default=15, help="how many of the last sessions")
    parser.add_argument("--exclude-not-green", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    chosen = parser.parse_args()
    home = Home(chosen.home.resolve())
    heads = chosen.heads.split(",")
    found: dict[tuple[str, str], EventsResult] = {}
    for stage in STAGES:
        for ablation in ABLATIONS:
            print(f"training {stage} {ablation}", flush=True)
            config = configured(home, stage, ablation, heads, chosen)
            found[stage, ablation] = train(home, config, mlflow=False, command="benchmarks.events_ablation")
    rows = [compare(home, head, found, chosen.last) for head in heads]
    show(rows, found, chosen.last)
    if chosen.out:
        chosen.out.write_text(json.dumps(rows, indent=1))


def configured(home: Home, stage: str, ablation: str, heads: list[str], chosen: argparse.Namespace) -> EventsConfig:
    """Return the home's configuration for one combination."""
    fields = load_section(home.configs / "training" / "events.yml", EventsConfig).model_dump()
    fields |= {"stage": stage, "ablation": ablation, "heads": heads}
    fields["horizons"] = [int(part) for part in chosen.horizons.split(",")]
    fields["model"]["threads"] = chosen.threads
    fields["data_gate"]["exclude_not_green"] = chosen.exclude_not_green
    return validate_section(fields, EventsConfig, origin="benchmark")


def compare(home: Home, head: str, found: dict[tuple[str, str], EventsResult], last: int) -> dict[str, Any]:
    """Return the measures of one head in every combination, on the events that all of them predicted."""
    scored: dict[tuple[str, str], np.ndarray] = {}
    with read_snapshot(home) as snapshot:
        for combination, result in found.items():
            rows = snapshot.con.execute(
                "select dt, entity, y, yhat from preds.oof where run_id = ? and path_id = 0 order by dt, entity",
                [result.runs[head].run_id],
            ).fetchnumpy()
            scored[combination] = np.asarray(rows["yhat"], dtype=np.float64)
    dates, y = np.asarray(rows["dt"], dtype="datetime64[D]"), np.asarray(rows["y"], dtype=np.float64)
    final = dates >= np.unique(dates)[-last]
    best = scored[BEST]
    table = {}
    for (stage, ablation), score in scored.items():
        measured: dict[str, Any] = {"features": found[stage, ablation].features}
        if is_regression(head):
            measured["all"], measured["last"] = spearman(score, y), spearman(score[final], y[final])
        else:
            measured["all"], measured["last"] = auc(score, y), auc(score[final], y[final])
            measured["brier"] = brier(sigmoid(score), y)
            measured["brier_base"] = float(y.mean() * (1 - y.mean()))
            measured["less_than_best"] = interval(score, best, y, dates) if (stage, ablation) != BEST else (0.0, 0.0)
        table[f"{stage} {ablation}"] = measured
    return {"head": head, "events": len(y), "events_last": int(final.sum()), "combinations": table}


def spearman(score: np.ndarray, y: np.ndarray) -> float:
    """Return the rank correlation over all events."""
    from scipy.stats import spearmanr

    return float(spearmanr(score, y).statistic)


def show(rows: list[dict[str, Any]], found: dict[tuple[str, str], EventsResult], last: int) -> None:
    """Print one line per head and combination."""
    print(
        f"\n{'head':<16}{'combination':<20}{'columns':>8}{'AUC all':>9}{f'last {last}':>9}{'Brier':>9}{'of base':>9}"
        "  AUC less stage_b full, 95 %"
    )
    for row in rows:
        for name, measured in row["combinations"].items():
            line = (
                f"{row['head']:<16}{name:<20}{measured['features']:>8}{measured['all']:>9.4f}{measured['last']:>9.4f}"
            )
            if "brier" in measured:
                low, high = measured["less_than_best"]
                line += f"{measured['brier']:>9.5f}{measured['brier_base']:>9.5f}  ({low:+.4f}, {high:+.4f})"
            else:
                line += "  Spearman"
            print(line)
    trials = len({result.runs[head].run_id for result in found.values() for head in result.runs})
    print(f"{trials} runs, each a trial of the ledger; {rows[0]['events']:,} events of {rows[0]['head']}")


if __name__ == "__main__":
    main()
