"""CPCV of LightGBM beside a plain loop of ``LGBMRegressor.fit`` over the same splits: time, memory, metrics.

Each side runs in a process of its own, on the same rows, splits, parameters and metric; sides take turns. Ours bins
once, fits side by side in threads that read one binned matrix, and writes a checkpoint after each split. Rows are read
from the warehouse before that and handed over as files, so that memory is that of cross-validation alone.

    python -m benchmarks.cv_speed --home HOME [--rounds 100 300] [--features '*'] [--repeats 1]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from trademl.training.dataset import TrainingData

SIDES = ("trademl", "plain", "strict", "quantised")
_BIN_BYTES = 1
_ARRAYS = ("X", "target", "value", "weight", "fitted", "dates", "label_end", "regime")
_SPANS = ("start", "end", "entity")


def main() -> None:
    """Run the sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="a home with a built warehouse")
    parser.add_argument("--rounds", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--features", default="*", help="patterns with commas between")
    parser.add_argument("--start", default="2010-01-01")
    parser.add_argument("--end", default="2018-11-15")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=["trademl", "plain"])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--staged", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.rounds[0], options.staged)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.staged = Path(folder)
        _stage(options)
        _run(options)


def _run(options: argparse.Namespace) -> None:
    for rounds in options.rounds:
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides}
        for _ in range(options.repeats):
            for side in options.sides:
                found[side].append(_process(options, side, rounds))
                _say(rounds, side, found[side][-1])
        _compare(rounds, {side: _median(runs) for side, runs in found.items()})


def _stage(options: argparse.Namespace) -> None:
    """Read the rows from the warehouse and write them as arrays."""
    from trademl.config.home import Home
    from trademl.models.boosting.lightgbm import LightGBMConfig
    from trademl.sleeves.equities import EQUITIES, EquitiesConfig
    from trademl.training.dataset import load_training
    from trademl.warehouse.read import read_snapshot

    config = EquitiesConfig(
        start=date.fromisoformat(options.start),
        end=date.fromisoformat(options.end),
        features=tuple(options.features.split(",")),
        model=LightGBMConfig(),
    )
    with read_snapshot(Home(options.home)) as snapshot:
        data = load_training(snapshot.con, EQUITIES, config, "fwd_5d")
    for name in _ARRAYS:
        np.save(options.staged / f"{name}.npy", getattr(data, name), allow_pickle=False)
    for name in _SPANS:
        np.save(options.staged / f"{name}.npy", getattr(data.spans, name), allow_pickle=False)
    named = {name: getattr(data, name) for name in ("entities", "feature_names", "label", "horizon", "data_hash")}
    (options.staged / "named.json").write_text(json.dumps(named), encoding="utf-8")


def _staged(folder: Path) -> "TrainingData":
    from trademl.training.dataset import TrainingData
    from trademl.validation.spans import LabelSpans

    named = json.loads((folder / "named.json").read_text(encoding="utf-8"))
    named |= {name: tuple(named[name]) for name in ("entities", "feature_names")}
    spans = LabelSpans(*(np.load(folder / f"{name}.npy", allow_pickle=False) for name in _SPANS))
    arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _ARRAYS}
    return TrainingData(spans=spans, **arrays, **named)


def measure(side: str, rounds: int, staged: Path) -> dict[str, Any]:
    """Return wall seconds, peak memory and metrics of one side, measured in this process."""
    import joblib  # noqa: F401
    import lightgbm

    from trademl.models.boosting.lightgbm import LightGBMConfig
    from trademl.training.config import ValidationConfig
    from trademl.training.cross_validate import Silent, cross_validate
    from trademl.training.splits import make_splits, make_splitter
    from trademl.validation.metrics import information_coefficient

    idle = _resident()
    model = LightGBMConfig(n_rounds=rounds, quantised_gradients=side == "quantised")
    data = _staged(staged)
    splitter = make_splitter(ValidationConfig())
    began = time.perf_counter()
    if side != "plain":
        binning = "strict" if side == "strict" else "shared"
        with tempfile.TemporaryDirectory() as folder:
            validated = cross_validate(data, splitter, model, Path(folder), Silent(), binning=binning)
        ranks = [one.rank_ic for one in validated.splits]
    else:
        ranks = []
        for split in make_splits(splitter, data):
            fitted = lightgbm.LGBMRegressor(
                n_estimators=model.n_rounds,
                num_leaves=model.num_leaves,
                learning_rate=model.learning_rate,
                min_child_samples=model.min_data_in_leaf,
                colsample_bytree=model.colsample_bytree,
                subsample=model.subsample,
                subsample_freq=model.subsample_freq,
                max_bin=model.max_bin,
                random_state=model.seed,
                n_jobs=os.cpu_count(),
                verbose=-1,
            ).fit(data.X[split.train], data.target[split.train], sample_weight=data.weight[split.train])
            predicted = fitted.booster_.predict(data.X[split.test])
            daily = information_coefficient(predicted, data.value[split.test], data.dates[split.test]).spearman
            ranks.append(float(np.nanmean(daily)))
    seconds = time.perf_counter() - began
    matrix = data.X.nbytes
    return {
        "seconds": seconds,
        "peak_mb": _peak(),
        "idle_mb": idle,
        "matrix_mb": matrix / 2**20,
        "binned_mb": data.X.size * _BIN_BYTES / 2**20,
        "rows": len(data),
        "features": data.X.shape[1],
        "splits": len(ranks),
        "rank_ic": float(np.mean([rank for rank in ranks if rank is not None])),
    }


def _process(options: argparse.Namespace, side: str, rounds: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.cv_speed", "--home", str(options.home), "--side", side]
    command += ["--rounds", str(rounds), "--staged", str(options.staged)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: float(np.median([run[name] for run in runs])) for name in runs[0]}


def _say(rounds: int, side: str, run: dict[str, Any]) -> None:
    print(
        f"{rounds:>4} rounds  {side:<9} {run['seconds']:7.1f} s  peak {run['peak_mb']:6.0f} MB "
        f"(imports {run['idle_mb']:.0f}, matrix {run['matrix_mb']:.0f}, bins {run['binned_mb']:.0f})  "
        f"rank IC {run['rank_ic']:+.5f}  {run['rows']:,} x {run['features']}, {run['splits']} splits",
        flush=True,
    )


def _compare(rounds: int, sides: dict[str, dict[str, Any]]) -> None:
    if not {"trademl", "plain"} <= sides.keys():
        return
    ours, plain = sides["trademl"], sides["plain"]
    data = ours["matrix_mb"] + ours["binned_mb"]
    print(
        f"{rounds:>4} rounds: {plain['seconds'] / ours['seconds']:.2f} times faster than the plain loop; memory beyond "
        f"the imports {(ours['peak_mb'] - ours['idle_mb']) / data:.2f} times matrix and bins "
        f"(plain {(plain['peak_mb'] - plain['idle_mb']) / data:.2f})",
        flush=True,
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
