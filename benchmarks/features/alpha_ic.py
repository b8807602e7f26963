"""What LightGBM finds in Alpha158: pyqlib's own pipeline beside trademl's model on the gold table.

Same bars, split, label (close t+1 to close t+2), label processing (z-score of each date), parameters and coefficients.
Between the two ends stands plain LightGBM, told exactly what pyqlib tells it, on the gold table: what it changes comes
from the features alone, and what trademl's model changes from how that fits: its own seed, bins of the training and
validation rows, column-wise deterministic sums, leaves on a power-of-two grid. Fits with other seeds say how much of a
difference is luck.
"""

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from benchmarks.features.arrays import Array, keyed
from benchmarks.features.measure import run
from benchmarks.features.names import ALPHA158, PUBLISHED, SEGMENTS

SEEDS = (1, 2, 3, 4, 5)
ROUNDS, PATIENCE = 1000, 50
YEARS = (2015, 2016, 2017, 2018)
ROWS = """
with closes as (
    select
        symbol,
        date,
        session_index,
        close,
        lead(close, 1) over by_symbol as close_1,
        lead(session_index, 1) over by_symbol as session_1,
        lead(close, 2) over by_symbol as close_2,
        lead(session_index, 2) over by_symbol as session_2
    from w.silver.equity_bars
    window by_symbol as (partition by symbol order by session_index)
)
select
    symbols.code,
    gold.date,
    case
        when closes.session_1 = closes.session_index + 1 and closes.session_2 = closes.session_index + 2
            then cast(closes.close_2 / closes.close_1 - 1 as float)
    end as label,
    {columns}
from w.gold.equities_alpha158 as gold
inner join closes on gold.symbol = closes.symbol and gold.date = closes.date
inner join symbols on gold.symbol = symbols.symbol
order by gold.date, symbols.code
"""


@dataclass(frozen=True)
class Panel:
    """The gold table with pyqlib's label, sorted by date and symbol."""

    X: Array
    code: Array
    day: Array
    label: Array

    @classmethod
    def read(cls, folder: Path) -> "Panel":
        """Read it from the home of a folder of benchmarks.features.bars."""
        columns = list(ALPHA158.values())
        with duckdb.connect() as con:
            con.execute("set enable_progress_bar = false")
            con.execute(f"attach '{folder / 'home' / 'lake' / 'warehouse.duckdb'}' as w (read_only)")
            con.execute(
                f"create table symbols as select distinct symbol, code from read_parquet('{folder / 'bars.parquet'}')"
            )
            query = ROWS.format(columns=", ".join(f"gold.{column}" for column in columns))
            found: dict[str, Any] = dict(con.execute(query).fetchnumpy())
        X = np.empty((len(found["date"]), len(columns)), np.float32)
        for at, column in enumerate(columns):
            X[:, at] = np.ma.filled(found.pop(column), np.nan)
        label = np.ma.filled(found["label"], np.nan)
        return cls(X, np.asarray(found["code"]), found["date"].astype("datetime64[D]"), label)

    def rows(self, segment: str) -> Array:
        """Which rows are of a segment."""
        first, last = (np.datetime64(day) for day in SEGMENTS[segment])
        return np.flatnonzero((self.day >= first) & (self.day <= last))

    def learnt(self, segment: str) -> Array:
        """Those of them that have a label."""
        rows = self.rows(segment)
        return rows[~np.isnan(self.label[rows])]

    def target(self) -> Array:
        """The label as a z-score among the rows of its date, as pyqlib's CSZScoreNorm makes it."""
        found = np.full(len(self.label), np.nan)
        edges = np.flatnonzero(np.diff(self.day.astype(np.int64), prepend=-1))
        for start, end in zip(edges, [*edges[1:], len(self.day)], strict=True):
            values = self.label[start:end].astype(np.float64)
            if np.sum(~np.isnan(values)) > 1:
                found[start:end] = (values - np.nanmean(values)) / np.nanstd(values, ddof=1)
        return found


@dataclass(frozen=True)
class Result:
    """Daily coefficients of one fit, by year and in all."""

    title: str
    trees: int
    ic: dict[str, float]
    rank_ic: dict[str, float]

    @classmethod
    def of(cls, title: str, trees: int, score: Array, label: Array, day: Array) -> "Result":
        """Compute them with trademl's own coefficient; means over dates, as pyqlib's SigAnaRecord does."""
        from trademl.validation.metrics import information_coefficient

        daily = information_coefficient(score, label, day)
        year = daily.dates.astype("datetime64[Y]").astype(int) + 1970
        kept = {"all": np.full(len(year), True), **{str(one): year == one for one in YEARS}}
        return cls(
            title,
            trees,
            {name: float(np.nanmean(daily.pearson[rows])) for name, rows in kept.items()},
            {name: float(np.nanmean(daily.spearman[rows])) for name, rows in kept.items()},
        )


def plain(panel: Panel, seed: int | None, threads: int) -> tuple[Array, int]:
    """Fit LightGBM as pyqlib's LGBModel does; return scores of the test rows and the number of trees."""
    import lightgbm

    target = panel.target()
    sets = [
        lightgbm.Dataset(panel.X[rows], label=target[rows]) for rows in (panel.learnt("train"), panel.learnt("valid"))
    ]
    parameters = {"objective": "mse", "verbosity": -1, "num_threads": threads, **PUBLISHED}
    if seed is not None:
        parameters["seed"] = seed
    model = lightgbm.train(
        parameters,
        sets[0],
        num_boost_round=ROUNDS,
        valid_sets=sets,
        valid_names=["train", "valid"],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return np.asarray(model.predict(panel.X[panel.rows("test")])), int(model.best_iteration)


def ours(panel: Panel, seed: int, threads: int) -> tuple[Array, int]:
    """Fit trademl's LightGBM with the same parameters."""
    from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel

    config = LightGBMConfig(
        n_rounds=ROUNDS,
        early_stopping_rounds=PATIENCE,
        min_data_in_leaf=20,
        subsample_freq=0,
        seed=seed,
        threads=threads,
        **PUBLISHED,  # type: ignore[arg-type]
    )
    train, valid = panel.learnt("train"), panel.learnt("valid")
    rows = np.concatenate([train, valid])
    names = list(ALPHA158.values())
    data = LightGBMModel.prepare(panel.X[rows], names, config)
    at = np.arange(len(rows))
    model = LightGBMModel(config, names).fit_rows(
        data, panel.target()[rows], at[: len(train)], valid_rows=at[len(train) :]
    )
    return model.predict(panel.X[panel.rows("test")]), model.rounds


def main(folder: Path, python: Path, threads: int = 2) -> None:
    """Fit all sides and print them beside each other."""
    out = folder / "ic"
    print("alpha158: pyqlib's pipeline, its values, LightGBM", flush=True)
    seeds = ["published", *map(str, SEEDS)]
    command = [
        str(python),
        "-m",
        "benchmarks.features.qlib_ic",
        str(folder),
        str(out),
        "--kernels",
        str(threads),
        "--seeds",
    ]
    taken = run([*command, *seeds], environment={}, limit_mib=20 * 1024, limit_seconds=4 * 3600)
    if taken.stopped:
        raise SystemExit(f"pyqlib's pipeline: {taken.stopped}")
    code, day, label = (np.load(out / f"{name}.npy") for name in ("code", "day", "label"))
    results: dict[str, list[Result]] = {"pyqlib": [], "plain": [], "trademl": []}
    for seed in seeds:
        said = taken.said["fits"][seed]
        found = Result.of(f"pyqlib, seed {seed}", said["trees"], np.load(out / f"{seed}.npy"), label, day)
        if abs(found.ic["all"] - said["ic"]) > 1e-6 or abs(found.rank_ic["all"] - said["rank_ic"]) > 1e-6:
            raise SystemExit(f"{found} is not what pyqlib says itself: {said}")
        results["pyqlib"].append(found)
    panel = Panel.read(folder)
    rows = panel.rows("test")
    _same_labels(panel, keyed(code, day), label)
    for side, fit in (("plain", plain), ("trademl", ours)):
        for own in [None, *SEEDS] if side == "plain" else SEEDS:
            began = time.perf_counter()
            score, trees = fit(panel, own, threads)  # type: ignore[arg-type]
            title = f"{'plain LightGBM' if side == 'plain' else 'trademl'} on gold, seed {own or 'published'}"
            results[side].append(Result.of(title, trees, score, panel.label[rows], panel.day[rows]))
            print(f"  {title}: {time.perf_counter() - began:.0f} s", flush=True)
    show(results)
    (folder / "ic.json").write_text(
        json.dumps({side: [one.__dict__ for one in found] for side, found in results.items()}), encoding="ascii"
    )


def _same_labels(panel: Panel, keys: Array, label: Array) -> None:
    rows = panel.rows("test")
    own = dict(zip(keyed(panel.code[rows], panel.day[rows]).tolist(), panel.label[rows].tolist(), strict=True))
    theirs = {key: value for key, value in zip(keys.tolist(), label.tolist(), strict=True) if key in own}
    apart = [abs(own[key] - value) for key, value in theirs.items() if not (np.isnan(own[key]) or np.isnan(value))]
    only = sum(np.isnan(own[key]) != np.isnan(value) for key, value in theirs.items())
    print(
        f"labels of the test period: {len(own):,} rows here, {len(theirs):,} of them at pyqlib, "
        f"{len(keys) - len(theirs):,} more there; "
        f"largest difference {max(apart):.1e}, {only} on one side only",
        flush=True,
    )


def show(results: dict[str, list[Result]]) -> None:
    """Print IC and rank IC of every fit, and their mean and spread over seeds."""
    names = ["all", *map(str, YEARS)]
    heading = "".join(f"{name:>9}" for name in names)
    print(f"{'':<36}{'trees':>6}  IC {heading[5:]}   rank IC {heading[10:]}")
    for found in results.values():
        for one in found:
            cells = [f"{values[name]:>+9.4f}" for values in (one.ic, one.rank_ic) for name in names]
            print(f"{one.title:<36}{one.trees:>6}{''.join(cells)}")
    for side, found in results.items():
        seeded = [one for one in found if "published" not in one.title]
        for what in ("ic", "rank_ic"):
            values = [getattr(one, what)["all"] for one in seeded]
            print(
                f"{side:<8} {what:<8} mean {statistics.mean(values):+.4f}, "
                f"sd over {len(values)} seeds {statistics.stdev(values):.4f}"
            )
