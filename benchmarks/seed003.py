"""The end-to-end script of a model family, on the market of a home: files, windows, registry, fit, predictions, files.

    python -m benchmarks.seed003 --home HOME
    python -m benchmarks.seed003 --home HOME --rows 20000 --families lightgbm     # the last sessions only, quickly

Rows are the triple-barrier labels tb_2_1_10 of HOME's snapshot: class 1 where the profit of 2 ATR was met first, -1 the
stop of 1 ATR, 0 neither in 10 sessions. Train sessions are 2010 to 2013; 10 sessions of 2014 are left out as embargo,
and train rows whose label ends later than 2013 are purged; validation is the rest of 2014. Both sets go to parquet, are
read as TimeSeriesDataset, and each family is made by name, fitted, asked for a PredictionOutput, saved and loaded.

The script that this re-enacts had 87,094 train rows of 107 features. This snapshot has fewer columns of features, so a
row here is a window of two sessions, flattened: today's features and those of the session before.

Exit code 1 when there are fewer rows or features than that (without --rows), or a loaded model's scores or
probabilities differ from the fitted one's in a single bit. An accuracy below the largest class is printed, no failure:
stops come first in six rows of ten, and nothing promises that the rest can be known.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np

from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.lake.names import identifier
from trademl.lake.snapshot import open_snapshot
from trademl.models.base import CLASSES
from trademl.models.prediction import prediction_output, validate_inputs
from trademl.models.registry import ModelRegistry
from trademl.training.sequence_config import DatasetConfig
from trademl.training.sequences import Batch, TimeSeriesDataset
from trademl.validation.classification import classification

LABEL, HORIZON, LENGTH, EMBARGO = "tb_2_1_10", 10, 2, 10
TRAIN, VALIDATION = ("2010-01-01", "2013-12-31"), ("2014-01-01", "2014-12-31")
ROWS_AT_LEAST, FEATURES_AT_LEAST = 87_094, 107
FAMILIES = ("lightgbm", "xgboost", "catboost")


def feature_columns(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the FLOAT columns of gold.equities_features, in the table's order."""
    return [name for name, kind, *_ in con.execute("describe gold.equities_features").fetchall() if kind == "FLOAT"]


def write_files(home: Home, folder: Path) -> dict[str, Path]:
    """Write train and validation rows of the home's snapshot as parquet; return path by split."""
    paths = {split: folder / f"{split}.parquet" for split in ("train", "val")}
    with open_snapshot(layout_of(home)) as snapshot:
        con = snapshot.con
        features = ", ".join(f"samples.{identifier(name)}" for name in feature_columns(con))
        for split, (first, last) in (("train", TRAIN), ("val", VALIDATION)):
            # A label that is known by the last train session overlaps no decision of the validation year.
            kept = (
                f"samples.label_end_date <= date '{last}'"
                if split == "train"
                else f"decided.session_index >= {EMBARGO} + "
                f"(select min(session_index) from silver.calendar where date >= date '{first}')"
            )
            sql = f"""
                select samples.date as datetime, samples.symbol, '{split}' as split,
                    decided.session_index::bigint as session,
                    (case samples.outcome
                        when 'take_profit' then 1 when 'stop' then -1 when 'timeout' then 0
                    end)::double as label_h{HORIZON},
                    {features}
                from gold.equities_training as samples
                inner join silver.calendar as decided on samples.date = decided.date
                where samples.label = '{LABEL}' and samples.date between date '{first}' and date '{last}' and {kept}
                order by samples.date, samples.symbol
            """
            con.sql(sql).write_parquet(str(paths[split]))
    return paths


def last_rows(batch: Batch, rows: int) -> Batch:
    """Return the windows of the last sessions that hold at least ``rows`` of them; all when there are not so many."""
    if not rows or rows >= len(batch.y):
        return batch
    at = int(np.searchsorted(batch.timestamps, batch.timestamps[-rows]))
    return Batch(batch.X[at:], batch.y[at:], batch.timestamps[at:], batch.symbols[at:])


def run_family(name: str, train: Batch, val: Batch, columns: tuple[str, ...], options: argparse.Namespace) -> bool:
    """Fit, judge, save and load one family; return whether the loaded model predicts the same bits."""
    parameters = {"task": "three_class", "n_rounds": options.rounds, "threads": options.threads}
    model = ModelRegistry.create(f"boosting:{name}", parameters, columns)
    validate_inputs(train.X, train.y, columns, "three_class")
    started = time.perf_counter()
    model.fit(train.X, train.y)
    fitted = time.perf_counter() - started
    output = prediction_output(model, val.X, timestamps=val.timestamps, symbols=val.symbols, horizon=HORIZON)
    found = classification(output.predictions, val.y.astype(np.int64), CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{model.suffix}"
        model.save(path)
        loaded = type(model).load(path)
        same = np.array_equal(loaded.predict(val.X), model.predict(val.X))
        same &= np.array_equal(loaded.probabilities(val.X), output.probabilities)
        size = path.stat().st_size
    print(f"\n{name}: {options.rounds} rounds in {fitted:.1f} s, file of {size / 2**20:.1f} MiB")
    always = float((val.y == majority_of(train)).mean())
    print(
        f"  accuracy {found.accuracy:.4f} beside {always:.4f} of always saying {majority_of(train)}, the largest "
        f"class of the train rows ({found.majority:.4f} is the largest of these rows); macro F1 {found.macro_f1:.4f}"
    )
    print(f"  {'class':>7}{'rows':>9}{'predicted':>11}{'precision':>11}{'recall':>9}{'F1':>9}")
    for one in found.classes:
        print(
            f"  {one.label:>7d}{one.support:>9,}{one.predicted:>11,}{one.precision:>11.4f}{one.recall:>9.4f}"
            f"{one.f1:>9.4f}"
        )
    print(f"  saved and loaded: {'equal to the bit' if same else 'DIFFERENT'} on {len(val.y):,} rows")
    print(output.to_dataframe().tail(2).to_string(index=False), flush=True)
    return same


def majority_of(batch: Batch) -> int:
    """Return the most frequent class of the labels."""
    values, counts = np.unique(batch.y, return_counts=True)
    return int(values[np.argmax(counts)])


def main() -> int:
    """Run every family; return 1 if a bound fails."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seed003", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True, help="a home with a snapshot of US equities to 2014")
    parser.add_argument("--rows", type=int, default=0, help="train on the last sessions of so many rows; 0 is all")
    parser.add_argument("--rounds", type=int, default=100, help="boosting rounds")
    parser.add_argument("--threads", type=int, default=0, help="0 is all cores; changes no result")
    parser.add_argument("--families", default=",".join(FAMILIES), help="names, with commas")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Home(options.home.resolve()), Path(folder))
        config = DatasetConfig(
            train_path=paths["train"],
            val_path=paths["val"],
            horizon=HORIZON,
            sequence_length=LENGTH,
            session="session",
        )
        datasets = {split: TimeSeriesDataset(config, split) for split in ("train", "val")}  # type: ignore[arg-type]
        train, val = last_rows(datasets["train"].flat(), options.rows), datasets["val"].flat()
    columns, raw = datasets["train"].flat_names, len(datasets["train"].feature_names)
    for split, batch in (("train", train), ("validation", val)):
        shares = ", ".join(f"{label} {(batch.y == label).mean():.4f}" for label in CLASSES)
        first, last = (np.datetime_as_string(batch.timestamps[at], unit="D") for at in (0, -1))
        print(f"{split:<11}{len(batch.y):>9,} rows, {first} to {last}, classes {shares}")
    print(f"{len(columns)} features: {raw} columns of gold.equities_features x windows of {LENGTH} sessions, flattened")
    enough = len(columns) >= FEATURES_AT_LEAST and (bool(options.rows) or len(train.y) >= ROWS_AT_LEAST)
    told = "without a bound on rows" if options.rows else f"at least {ROWS_AT_LEAST:,} rows"
    print(f"asked: {told} and {FEATURES_AT_LEAST} features: {'yes' if enough else 'NO'}")
    same = [run_family(name, train, val, columns, options) for name in options.families.split(",")]
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(f"\npeak memory {peak:,.0f} MiB")
    return int(not (enough and all(same)))


if __name__ == "__main__":
    sys.exit(main())
