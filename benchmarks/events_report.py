"""What the heads of a home are worth on its last dates, beside the base rate and a logistic regression on distance.

    python -m benchmarks.events_report HOME [--last 15] [--stage stage_b] [--ablation full]

Needs a home with events and a bundle (`trademl train events`). Everything is out of sample: the trees' scores are
those of preds.oof, from models of earlier dates; the regression is fitted for each block of dates on the same earlier
rows, on the distance to the level and its signed form alone; calibrators and base rates come from the predictions
before the last dates. Differences of AUC have a 95 % interval from 1,000 bootstrap samples of whole dates, because
events of one day are not independent. Figures go to standard output and, with --out, to a JSON file.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from trademl.config.home import Home
from trademl.rng import stream
from trademl.sleeves.events.calibration import judge
from trademl.sleeves.events.heads import Head, listed_heads, model_dir, read_head
from trademl.sleeves.events.names import head_names
from trademl.validation.calibration import brier, ece
from trademl.validation.discrimination import auc
from trademl.warehouse.read import read_snapshot

SAMPLES = 1_000
DISTANCE = ("distance", "distance_signed")


def main() -> None:
    """Print the tables of a home."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--last", type=int, default=15, help="how many of the last sessions")
    parser.add_argument("--stage", default="stage_b")
    parser.add_argument("--ablation", default="full")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    chosen = parser.parse_args()
    home = Home(chosen.home.resolve())
    with read_snapshot(home) as snapshot:
        con = snapshot.con
        found: dict[str, Any] = {"home": str(home.root), "last": chosen.last}
        found["kinds"] = show_kinds(con)
        folder = model_dir(home)
        heads = [
            read_head(folder, name, chosen.stage, chosen.ablation)
            for name in listed_heads(folder, chosen.stage, chosen.ablation)
        ]
        found["heads"] = show_heads(con, in_order(heads), chosen.last)
    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=1, default=float))


def in_order(heads: list[Head]) -> list[Head]:
    """Return heads in the order of a bundle: outcome first, then by horizon."""
    horizons = sorted({int(head.head.rpartition("_")[2][:-1]) for head in heads if head.head.endswith("s")} - {0})
    order = head_names(horizons)
    return sorted(heads, key=lambda head: (order.index(head.head) if head.head in order else len(order), head.head))


def show_kinds(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Print events and base rates per kind of level."""
    columns = {row[0] for row in con.execute("describe gold.events_labels").fetchall()}
    reach = [name for h in (60, 120, 300, 600) for name in (f"t1_{h}", f"t2_{h}") if name in columns]
    rates = ", ".join(f"avg(labels.{name})::double as {name}" for name in ("tradeable_1", "tradeable_2", *reach))
    rows = con.sql(
        f"""
        select coalesce(features.level_kind_name, 'all') as kind, count(*) as events,
            count(distinct features.symbol) as symbols, count(distinct features.date) as sessions,
            avg((outcome = 'BREAK')::int) as broke, avg((outcome = 'BOUNCE')::int) as bounced,
            avg((outcome = 'OTHER')::int) as other, count_if(outcome is null) as unresolved,
            median(abs(strength_signed)) as strength, {rates}
        from gold.events_features as features
        inner join gold.events_labels as labels on features.date = labels.date and features.event_id = labels.event_id
        group by grouping sets ((features.level_kind_name), ()) order by events
        """
    ).to_arrow_table()
    found: list[dict[str, Any]] = rows.to_pylist()
    names = [name for name in rows.column_names if any(row[name] is not None for row in found)]
    print("events per kind of level; rates are shares of events, strength the median size in ATR")
    print("".join(f"{name:>12}" for name in names))
    for row in found:
        print("".join(f"{cell(row[name]):>12}" for name in names))
    return found


def cell(value: Any) -> str:
    """Return a value as text of a table."""
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def show_heads(con: duckdb.DuckDBPyConnection, heads: list[Head], last: int) -> list[dict[str, Any]]:
    """Print each head on the last dates and on all dates that were predicted."""
    found = []
    for head in heads:
        rows = read_rows(con, head)
        found.append(strength_of(head, rows, last) if head.calibrator is None else chance_of(head, rows, last))
    dates = found[0]["dates"]
    print(
        f"\nout of fold on the last {last} sessions, {dates[0]} to {dates[1]}; AUC also on all {dates[2]} that were "
        "predicted"
    )
    print(
        f"{'head':<18}{'events':>8}{'rate':>8}{'AUC':>8}{'distance':>9}{'difference (95 %)':>27}{'Brier':>9}"
        f"{'calibr.':>9}{'distance':>9}{'base':>9}{'ECE':>8}{'calibr.':>8}{'distance':>9}"
        f" | {'AUC all':>8}{'distance':>9}"
    )
    for row in found:
        if "auc" not in row:
            continue
        low, high = row["difference_interval"]
        gap = f"{row['auc'] - row['auc_distance']:+.4f} ({low:+.4f}, {high:+.4f})"
        print(
            f"{row['head']:<18}{row['rows']:>8,}{row['base_rate']:>8.4f}{row['auc']:>8.4f}{row['auc_distance']:>9.4f}"
            f"{gap:>27}{row['before']['brier']:>9.5f}{row['after']['brier']:>9.5f}{row['brier_distance']:>9.5f}"
            f"{row['brier_base']:>9.5f}{row['before']['ece']:>8.4f}{row['after']['ece']:>8.4f}{row['ece_distance']:>9.4f}"
            f" | {row['auc_all']:>8.4f}{row['auc_distance_all']:>9.4f}"
        )
    for row in found:
        if "auc" not in row:
            print(
                f"{row['head']:<18}{row['rows']:>8,}  Spearman {row['spearman']:+.4f} (distance "
                f"{row['spearman_distance']:+.4f}), R2 {row['r2']:+.4f} (distance {row['r2_distance']:+.4f}); all "
                f"dates {row['spearman_all']:+.4f} ({row['spearman_distance_all']:+.4f})"
            )
    return found


def read_rows(con: duckdb.DuckDBPyConnection, head: Head) -> dict[str, np.ndarray]:
    """Return every labelled event with its distances, and its out-of-fold score where it has one."""
    rows = con.execute(
        f"""
        select training.date, training.value as y, scored.yhat, coalesce(scored.split_id, -1) as split,
            {", ".join(f"features.{name}" for name in DISTANCE)}
        from gold.events_training as training
        inner join gold.events_features as features
            on training.date = features.date and training.event_id = features.event_id
        left join (from preds.oof where run_id = $run and path_id = 0) as scored
            on training.date = scored.dt and training.event_id = scored.entity
        where training.label = $label and training.value is not null
            and list_contains($dates, training.date::varchar)
        order by training.date, training.event_id
        """,
        {"run": head.run_id, "label": head.head, "dates": list(head.train_dates)},
    ).fetchnumpy()
    plain = {
        name: np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
        for name, values in rows.items()
        if name not in ("date", "split")
    }
    return {**plain, "date": np.asarray(rows["date"], dtype="datetime64[D]"), "split": np.asarray(rows["split"])}


def by_distance(rows: dict[str, np.ndarray], *, chance: bool) -> np.ndarray:
    """Return what a regression on distance alone says of every tested row, fitted on the rows before its block."""
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = np.nan_to_num(np.column_stack([rows[name] for name in DISTANCE]))
    said = np.full(len(X), np.nan)
    sessions = np.unique(rows["date"])
    for number in np.unique(rows["split"][rows["split"] >= 0]):
        held = rows["split"] == number
        # One session is kept free, as in training.
        first = sessions[max(np.searchsorted(sessions, rows["date"][held].min()) - 1, 0)]
        before = rows["date"] < first
        model = make_pipeline(StandardScaler(), LogisticRegression() if chance else LinearRegression())
        model.fit(X[before], rows["y"][before])
        said[held] = model.predict_proba(X[held])[:, 1] if chance else model.predict(X[held])
    return said


def chance_of(head: Head, rows: dict[str, np.ndarray], last: int) -> dict[str, Any]:
    """Return the measures of a head that states a probability."""
    said = by_distance(rows, chance=True)
    tested = np.isfinite(rows["yhat"])
    days = np.unique(rows["date"][tested])
    final, earlier = tested & (rows["date"] >= days[-last]), tested & (rows["date"] < days[-last])
    y, score = rows["y"], rows["yhat"]
    found = judge(score[final], y[final], score[earlier], y[earlier])
    return {
        "head": head.head,
        "dates": [str(days[-last]), str(days[-1]), len(days)],
        **{name: found[name] for name in ("rows", "base_rate", "known_rate", "auc", "auc_error")},
        "before": asdict(found["before"]),
        "after": asdict(found["after"]),
        "brier_base": found["base"][0],
        "auc_distance": auc(said[final], y[final]),
        "brier_distance": brier(said[final], y[final]),
        "ece_distance": ece(said[final], y[final], strategy="quantile"),
        "difference_interval": interval(score[final], said[final], y[final], rows["date"][final]),
        "auc_all": auc(score[tested], y[tested]),
        "auc_distance_all": auc(said[tested], y[tested]),
    }


def interval(ours: np.ndarray, theirs: np.ndarray, y: np.ndarray, dates: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the difference of two AUCs, whole dates drawn."""
    draws = stream(7, "events_report.bootstrap")
    day = np.unique(dates, return_inverse=True)[1]
    days = int(day.max()) + 1
    drawn = np.stack([np.bincount(draws.integers(0, days, days), minlength=days) for _ in range(SAMPLES)]).astype(float)
    positives, negatives = np.bincount(day, y == 1, days), np.bincount(day, y == 0, days)
    pairs = (drawn @ positives) * (drawn @ negatives)
    won = [((drawn @ wins_by_date(score, y, day)) * drawn).sum(axis=1) for score in (ours, theirs)]
    with np.errstate(invalid="ignore"):
        low, high = np.nanquantile((won[0] - won[1]) / pairs, [0.025, 0.975])
    return float(low), float(high)


def wins_by_date(score: np.ndarray, y: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Return in how many pairs a positive of one date scores above a negative of another; ties count one half.

    Args:
        score, y: of each row, shape (n,). day: number of its date from 0, shape (n,).

    Returns:
        Shape (dates of positives, dates of negatives): with it the AUC of any sample of dates is a sum.
    """
    days = int(day.max()) + 1
    rows, of = score[y == 1], day[y == 1]
    wins = np.zeros((days, days))
    for other in range(days):
        below = np.sort(score[(y == 0) & (day == other)])
        above = (np.searchsorted(below, rows, "left") + np.searchsorted(below, rows, "right")) / 2
        wins[:, other] = np.bincount(of, above, days)
    return wins


def strength_of(head: Head, rows: dict[str, np.ndarray], last: int) -> dict[str, Any]:
    """Return the measures of the head that predicts a size."""
    from scipy.stats import spearmanr

    said = by_distance(rows, chance=False)
    tested = np.isfinite(rows["yhat"])
    days = np.unique(rows["date"][tested])
    final = tested & (rows["date"] >= days[-last])
    y = rows["y"]

    def r2(guess: np.ndarray, mean: float) -> float:
        return float(1 - np.sum((y[final] - guess[final]) ** 2) / np.sum((y[final] - mean) ** 2))

    known = float(y[tested & ~final].mean())
    return {
        "head": head.head,
        "dates": [str(days[-last]), str(days[-1]), len(days)],
        "rows": int(final.sum()),
        "spearman": float(spearmanr(rows["yhat"][final], y[final]).statistic),
        "spearman_distance": float(spearmanr(said[final], y[final]).statistic),
        "spearman_all": float(spearmanr(rows["yhat"][tested], y[tested]).statistic),
        "spearman_distance_all": float(spearmanr(said[tested], y[tested]).statistic),
        "r2": r2(rows["yhat"], known),
        "r2_distance": r2(said, known),
    }


if __name__ == "__main__":
    main()
