"""Simulated bars through the whole events sleeve: planted behaviour is found by every head, and nothing in nothing.

    python -m benchmarks.events_planted FOLDER [--part planted|nothing|both] [--seeds 20]

planted: bars of strength 1 are simulated, ingested, built and trained on as a user would, stage A on prices alone. Of
every head the out-of-fold AUC with its standard error (Hanley & McNeil 1982, as if touches were independent); of
strength the mean rank correlation with what came.

nothing: bars of strength 0, ``--seeds`` independent markets in one home, each with symbols of its own. Every head is
cross-validated within each market by the one training path (the same columns, splits and model; no bundle), on
events that are alone in their bar: of two levels touched at once the price can start at one only, and is then nearer to
one side of the other, which can be learned. These fits choose nothing, so they are no trials of the ledger. Reported is
the mean AUC over markets, its standard error over markets, how many standard errors it lies from 0.5, the two-sided
probability of that by Student's t, and the same after Holm's correction (Scand. J. Statist. 6, 1979) for as many heads.
Pairs of touches are compared within the split that scored both. Pooled over splits the AUC of nothing lies below 0.5: a
block that happens to be rich in events lifts the scores of the blocks after it, not its own; it stands beside.

Figures go to standard output and, with --out, to a JSON file. Markets that are finished are kept in FOLDER.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from scipy.stats import spearmanr
from scipy.stats import t as student_t

from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.lake.reading import Snapshot
from trademl.sleeves.events.feature_columns import select_features
from trademl.sleeves.events.names import head_names, is_regression
from trademl.sleeves.events.train import EVENTS, EventsConfig, feature_columns, head_config, train
from trademl.training.cross_validate import Silent, cross_validate
from trademl.training.dataset import load_training
from trademl.training.splits import make_splitter
from trademl.validation.discrimination import auc, auc_error
from trademl.warehouse.dbt import build
from trademl.warehouse.ingest import ingest_files
from trademl.warehouse.read import read_snapshot
from trademl.warehouse.simulate.intraday import IntradaySimulation
from trademl.warehouse.simulate.intraday_files import BARS, TIME_ZONE, simulate_intraday

STAGE, ABLATION = "stage_a", "ta"
MARKET = "market_training"
POOLED = "pooled "


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="scratch folder for homes and simulations")
    parser.add_argument("--part", choices=["planted", "nothing", "both"], default="both")
    parser.add_argument("--seeds", type=int, default=20, help="markets without anything planted")
    parser.add_argument("--symbols", type=int, default=8, help="symbols of each market")
    parser.add_argument("--sessions", type=int, default=24)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"symbols": chosen.symbols, "sessions": chosen.sessions}
    if chosen.part in ("planted", "both"):
        found["planted"] = show_planted(chosen.folder / "planted", chosen.symbols, chosen.sessions)
    if chosen.part in ("nothing", "both"):
        found["nothing"] = show_nothing(chosen.folder / "nothing", chosen.seeds, chosen.symbols, chosen.sessions)
    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=1))


def show_planted(folder: Path, symbols: int, sessions: int) -> list[dict[str, Any]]:
    """Train every head on one market with strength 1, and print what each found."""
    home, oracle = built_home(folder, [7], 1.0, symbols, sessions)
    result = train(home, configured(home), mlflow=False)
    print(f"\nplanted with strength 1: {symbols} symbols, {sessions} sessions; oracle {oracle[0]}")
    print(f"{'head':<18}{'rows':>8}{'base':>8}{'found':>9}{'error':>8}{'errors from nothing':>21}")
    rows = []
    for head in result.heads:
        count = int(head.metrics["rows"])
        if is_regression(head.head):
            value, error, base = float(head.metrics["rank_ic"]), 1 / math.sqrt(count), float("nan")
            distance = value / error
        else:
            value, base = float(head.metrics["auc"]), float(head.metrics["base_rate"])
            positives = round(base * count)
            error = auc_error(value, positives, count - positives)
            distance = (value - 0.5) / error
        print(f"{head.head:<18}{count:>8}{base:>8.3f}{value:>9.4f}{error:>8.4f}{distance:>21.1f}")
        rows.append({"head": head.head, "rows": count, "base": base, "value": value, "error": error})
    return rows


def show_nothing(folder: Path, seeds: int, symbols: int, sessions: int) -> list[dict[str, Any]]:
    """Cross-validate every head in markets with nothing planted, and print the means."""
    home, _ = built_home(folder, list(range(1, seeds + 1)), 0.0, symbols, sessions)
    heads = head_names()
    per_market: list[dict[str, float]] = []
    with read_snapshot(home) as snapshot:
        config = configured(home)
        features = select_features(feature_columns(snapshot.con), STAGE, ABLATION).columns
        for seed in range(1, seeds + 1):
            place = folder / f"within{seed:02d}.json"
            if not place.is_file():
                place.write_text(json.dumps(cross_validated(snapshot, config, heads, features, prefix(seed))))
            per_market.append(json.loads(place.read_text()))
            shown = ", ".join(f"{head} {per_market[-1][head]:.3f}" for head in heads[:3])
            print(f"market {seed:>2}: {per_market[-1]['events']:.0f} events; {shown}", flush=True)
    print(f"\nnothing planted: {seeds} markets of {symbols} symbols, {sessions} sessions")
    print(
        f"{'head':<18}{'mean':>9}{'error':>9}{'errors off':>12}{'p':>8}{'Holm':>8}{'least':>10}{'most':>9}{'pooled':>9}"
    )
    rows: list[dict[str, Any]] = []
    for head in heads:
        values = np.array([market[head] for market in per_market])
        nothing = 0.0 if is_regression(head) else 0.5
        error = float(values.std(ddof=1) / math.sqrt(len(values)))
        distance = (float(values.mean()) - nothing) / error
        row = {"head": head, "mean": float(values.mean()), "error": error, "errors_from_nothing": distance}
        row |= {"p": float(2 * student_t.sf(abs(distance), len(values) - 1)), "smallest": float(values.min())}
        row |= {
            "largest": float(values.max()),
            "pooled": float(np.mean([market[POOLED + head] for market in per_market])),
        }
        rows.append(row)
    corrected = holm([row["p"] for row in rows])
    for row, adjusted in zip(rows, corrected, strict=True):
        row["holm"] = adjusted
        print(
            f"{row['head']:<18}{row['mean']:>9.4f}{row['error']:>9.4f}{row['errors_from_nothing']:>12.2f}{row['p']:>8.3f}"
            f"{adjusted:>8.3f}{row['smallest']:>10.4f}{row['largest']:>9.4f}{row['pooled']:>9.4f}"
        )
    return rows


def holm(probabilities: Sequence[float]) -> list[float]:
    """Return each probability corrected for how many there are: the chance of any so small if nothing is there."""
    order = np.argsort(probabilities)
    steps = np.asarray(probabilities)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in corrected]


def cross_validated(
    snapshot: Snapshot, config: EventsConfig, heads: Sequence[str], features: Sequence[str], market: str
) -> dict[str, float]:
    """Return the out-of-fold AUC of each head in one market; of strength, the rank correlation."""
    snapshot.con.execute(
        f"create or replace temp table {MARKET} as select * from {EVENTS.training} "
        f"where starts_with(symbol, '{market}') and uniqueness_weight = 1"
    )
    sleeve = replace(EVENTS, training=MARKET)
    found: dict[str, float] = {}
    for head in heads:
        own = head_config(config, head, features)
        data = load_training(snapshot.con, sleeve, own, head)
        with tempfile.TemporaryDirectory() as scratch:
            validated = cross_validate(
                data,
                make_splitter(own.validation),
                own.model_for_task(),
                Path(scratch),
                Silent(),
                binning=own.binning,
                stop_fraction=own.stop_fraction,
            )
        score = np.asarray(validated.mean_score, dtype=np.float64)
        known = np.isfinite(score)
        if is_regression(head):
            found["events"] = float(len(data))
        measure = rank_correlation if is_regression(head) else auc
        found[POOLED + head] = measure(score[known], data.value[known])
        found[head] = within(score[known], data.value[known], validated.split_of[0][known], measure)
    return found


def within(
    score: np.ndarray[Any, Any],
    y: np.ndarray[Any, Any],
    split: np.ndarray[Any, Any],
    measure: Callable[[Any, Any], float],
) -> float:
    """Return the mean of a measure over splits, each weighted by its pairs of unlike outcomes, or its rows."""
    values, weights = [], []
    for one in np.unique(split):
        here = split == one
        positives = float(y[here].sum())
        values.append(measure(score[here], y[here]))
        weights.append(float(here.sum()) if measure is rank_correlation else positives * (here.sum() - positives))
    usable = np.isfinite(values)
    return float(np.average(np.asarray(values)[usable], weights=np.asarray(weights)[usable]))


def rank_correlation(score: Any, y: Any) -> float:
    """Return Spearman's rank correlation; NaN where every score is the same."""
    return float(spearmanr(score, y).statistic) if np.ptp(score) > 0 else float("nan")


def built_home(
    folder: Path, seeds: Sequence[int], strength: float, symbols: int, sessions: int
) -> tuple[Home, list[dict[str, Any]]]:
    """Return a home with the simulated markets of ``seeds``, built; and what the planted quantities order in each."""
    root, truths = folder / "home", []
    if not (root / "configs" / "trademl.yml").is_file():
        make_home(root, bundle())
    home = Home(root)
    files = []
    for seed in seeds:
        place = folder / f"simulated{seed:02d}"
        if not (place / "truth.json").is_file():
            simulate_intraday(
                IntradaySimulation(symbols=symbols, sessions=sessions, strength=strength, seed=seed), place
            )
        truths.append(json.loads((place / "truth.json").read_text())["oracle"])
        named = folder / f"{prefix(seed)}.parquet"
        if not named.is_file():
            with duckdb.connect() as con:
                con.execute(
                    f"copy (select '{prefix(seed)}' || symbol as symbol, * exclude (symbol) "
                    f"from read_parquet('{place / BARS}') order by 1, ts) to '{named}' (format parquet)"
                )
        files.append(named)
    if not (home.lake / "CURRENT").is_file():
        report = ingest_files(home, "intraday_bars", files, timeframe="1min", time_zone=TIME_ZONE, source="simulated")
        print(report.as_text(), flush=True)
        build(home, threads=1)
    return home, truths


def prefix(seed: int) -> str:
    """Return what the symbols of a market begin with."""
    return f"N{seed:02d}"


def configured(home: Home) -> EventsConfig:
    """Return the training configuration of a new home, on prices alone."""
    overrides = {"stage": STAGE, "ablation": ABLATION}
    return load_section(home.configs / "training" / "events.yml", EventsConfig, overrides)


if __name__ == "__main__":
    main()
