"""What LightGBM finds in Alpha158: pyqlib's own pipeline beside trademl's model on the gold table.

Same bars, split, label (close t+1 to close t+2), label processing (z-score of each date), parameters and coefficients.
Between the two ends stands plain LightGBM, told exactly what pyqlib tells it, on the gold table: what it changes comes
from the features alone, and what trademl's model changes from how that fits: its own seed, bins of the training and
validation rows, column-wise deterministic sums, leaves on a power-of-two grid. Fits with other seeds say how much of a
difference is luck; one fit of pyqlib's is done twice, for LightGBM's own sums on several threads. How near two fits
are is the mean over dates of the rank correlation of their scores.
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
from benchmarks.features.names import ALPHA158, PUBLISHED, REGIMES, SEGMENTS

SEEDS = (1, 2, 3)
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
    """Mean daily coefficients of one fit, by year and in all, and how near its scores are to those of a first one."""

    regime: str
    side: str
    seed: str
    trees: int
    ic: dict[str, float]
    rank_ic: dict[str, float]
    near: float

    @property
    def title(self) -> str:
        """What its line of the table is called."""
        return f"{self.regime} {self.side} {self.seed}"


def daily_rank_correlation(one: Array, other: Array, day: Array) -> float:
    """Return the mean over dates of the rank correlation of two scores."""
    from trademl.validation.metrics import information_coefficient

    return float(np.nanmean(information_coefficient(one, other, day).spearman))


def judged(regime: str, side: str, seed: str, trees: int, score: Array, panel: Panel, first: Array) -> Result:
    """Compute the coefficients with trademl's own function; means over dates, as pyqlib's SigAnaRecord takes them."""
    from trademl.validation.metrics import information_coefficient

    rows = panel.rows("test")
    daily = information_coefficient(score, panel.label[rows], panel.day[rows])
    year = daily.dates.astype("datetime64[Y]").astype(int) + 1970
    kept = {"all": np.full(len(year), True), **{str(one): year == one for one in YEARS}}
    return Result(
        regime,
        side,
        seed,
        trees,
        {name: float(np.nanmean(daily.pearson[chosen])) for name, chosen in kept.items()},
        {name: float(np.nanmean(daily.spearman[chosen])) for name, chosen in kept.items()},
        daily_rank_correlation(score, first, panel.day[rows]),
    )


def plain(panel: Panel, seed: str, regime: str, threads: int) -> tuple[Array, int]:
    """Fit LightGBM as pyqlib's LGBModel does; return scores of the test rows and the number of trees."""
    import lightgbm

    rounds, patience = REGIMES[regime]
    target = panel.target()
    sets = [lightgbm.Dataset(panel.X[rows], label=target[rows]) for rows in map(panel.learnt, ("train", "valid"))]
    parameters = {"objective": "mse", "verbosity": -1, "num_threads": threads, **PUBLISHED}
    model = lightgbm.train(
        parameters if seed == "published" else {**parameters, "seed": int(seed)},
        sets[0],
        num_boost_round=rounds,
        valid_sets=sets if patience else None,
        valid_names=["train", "valid"] if patience else None,
        callbacks=[lightgbm.early_stopping(patience, verbose=False)] if patience else None,
    )
    trees = model.best_iteration if patience else model.num_trees()
    return np.asarray(model.predict(panel.X[panel.rows("test")])), int(trees)


def ours(panel: Panel, seed: str, regime: str, threads: int) -> tuple[Array, int]:
    """Fit trademl's LightGBM with the same parameters."""
    from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel

    rounds, patience = REGIMES[regime]
    config = LightGBMConfig(
        n_rounds=rounds,
        early_stopping_rounds=patience or None,
        min_data_in_leaf=20,
        subsample_freq=0,
        seed=int(seed),
        threads=threads,
        **PUBLISHED,  # type: ignore[arg-type]
    )
    train, valid = panel.learnt("train"), panel.learnt("valid")
    rows = np.concatenate([train, valid]) if patience else train
    names = list(ALPHA158.values())
    data = LightGBMModel.prepare(panel.X[rows], names, config)
    at = np.arange(len(rows))
    validated = at[len(train) :] if patience else None
    model = LightGBMModel(config, names).fit_rows(data, panel.target()[rows], at[: len(train)], valid_rows=validated)
    return model.predict(panel.X[panel.rows("test")]), model.rounds


def main(folder: Path, python: Path, threads: int = 2) -> None:
    """Fit all sides and print them beside each other."""
    out = folder / "ic"
    print("alpha158: fitting through pyqlib's pipeline", flush=True)
    seeds = ["published", "published-again", *map(str, SEEDS)]
    command = [str(python), "-m", "benchmarks.features.qlib_ic", str(folder), str(out), "--kernels", str(threads)]
    taken = run([*command, "--seeds", *seeds], environment={}, limit_mib=20 * 1024, limit_seconds=4 * 3600)
    if taken.stopped:
        raise SystemExit(f"pyqlib's pipeline: {taken.stopped}")
    panel = Panel.read(folder)
    order = same_rows(panel, *(np.load(out / f"{name}.npy") for name in ("code", "day", "label")))
    results = []
    for regime in REGIMES:
        scores = {seed: np.load(out / f"{regime}_{seed}.npy")[order] for seed in seeds}
        for seed, score in scores.items():
            said = taken.said["fits"][f"{regime}_{seed}"]
            results.append(judged(regime, "pyqlib", seed, int(said["trees"]), score, panel, scores["published"]))
            apart = max(abs(results[-1].ic["all"] - said["ic"]), abs(results[-1].rank_ic["all"] - said["rank_ic"]))
            if apart > 1e-5:
                raise SystemExit(f"{results[-1]} is not what pyqlib says itself: {said}")
        for side, fit, chosen in (
            ("plain", plain, ["published", *map(str, SEEDS)]),
            ("trademl", ours, map(str, SEEDS)),
        ):
            for seed in chosen:
                began = time.perf_counter()
                score, trees = fit(panel, seed, regime, threads)
                results.append(judged(regime, side, seed, trees, score, panel, scores["published"]))
                print(f"  {results[-1].title}: {time.perf_counter() - began:.0f} s", flush=True)
    show(results)
    (folder / "ic.json").write_text(json.dumps([one.__dict__ for one in results]), encoding="ascii")


def same_rows(panel: Panel, code: Array, day: Array, label: Array) -> Array:
    """Return where pyqlib has each test row of ours; say how its labels differ. A row that it lacks stops."""
    rows = panel.rows("test")
    own, theirs = keyed(panel.code[rows], panel.day[rows]), keyed(code, day)
    order = np.argsort(theirs, kind="stable")
    place = order[np.minimum(np.searchsorted(theirs[order], own), len(theirs) - 1)]
    if (theirs[place] != own).any():
        raise SystemExit(f"pyqlib lacks {int(np.sum(theirs[place] != own)):,} rows of the test period")
    apart = np.abs(label[place] - panel.label[rows])
    only = int(np.sum(np.isnan(label[place]) != np.isnan(panel.label[rows])))
    print(
        f"test period: {len(own):,} rows, {len(theirs) - len(own):,} more at pyqlib (sessions without a bar); labels: "
        f"largest difference {np.nanmax(apart):.1e}, {only:,} on one side only",
        flush=True,
    )
    return np.asarray(place)


def show(results: list[Result]) -> None:
    """Print IC and rank IC of every fit, then their means over seeds."""
    names = ["all", *map(str, YEARS)]
    heading = "".join(f"{name:>9}" for name in names)
    print(f"{'':<32}{'trees':>6}  IC{heading}  rank IC{heading}{'near':>8}")
    for one in results:
        ic, rank_ic = ("".join(f"{values[name]:>+9.4f}" for name in names) for values in (one.ic, one.rank_ic))
        print(f"{one.title:<32}{one.trees:>6}    {ic}         {rank_ic}{one.near:>8.3f}")
    for regime in REGIMES:
        for side in ("pyqlib", "plain", "trademl"):
            chosen = [one for one in results if (one.regime, one.side) == (regime, side) and one.seed.isdigit()]
            means = [
                f"{what} {statistics.mean(values):+.4f} (sd {statistics.stdev(values):.4f})"
                for what, values in (
                    ("IC", [one.ic["all"] for one in chosen]),
                    ("rank IC", [one.rank_ic["all"] for one in chosen]),
                )
            ]
            print(f"{regime} {side:<8} mean over {len(chosen)} seeds: {', '.join(means)}")
