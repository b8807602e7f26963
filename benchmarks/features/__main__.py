"""The feature library beside pyqlib 0.9.7, pandas and polars, on the same adjusted bars.

    python -m benchmarks.features compare time ic --work DIR --venv .venv-qlib
    python -m benchmarks.features compare time --size x10 --work DIR       # ten times the rows, simulated

compare: every cell of gold.equities_alpha158 and _alpha360 against pyqlib's, and both against a plain oracle without
running sums (tests/oracles/alpha.py). pyqlib runs twice, the second time without NumPy's vectorised instructions: its
float32 logarithms, and so CORR, depend on the processor. Bars that a side lacks are named. NULL on one side only is
counted apart, and so are differences within 60 sessions of one without a bar ("by absence"): pyqlib takes such a
session for the highest and the lowest of its window.
time: seconds and peak memory of all engines with the same number of processes or threads, in turn (see timing.py).
ic: LightGBM on Alpha158 through pyqlib's pipeline and through trademl's (see alpha_ic.py).

Exit code 1 when a cell differs by more than 1e-6 x max(1, |value|) from the oracle, or a NULL does. Folders in --work
are kept and used again.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.features import alpha_ic, timing
from benchmarks.features.bars import PANEL, ROOT, make_home, trademl, write_bars
from benchmarks.features.compare import Comparison, compare, show
from benchmarks.features.environment import install, plain_numpy
from benchmarks.features.measure import run
from benchmarks.features.names import SETS
from benchmarks.features.oracle_side import write_oracle
from benchmarks.features.values import BarKeys, export_gold, remove_values

STEPS = ("compare", "time", "ic")
FIRST, LAST = "2008-01-01", "2018-12-31"
SIMULATED = ("--symbols", "5541", "--sessions", "2769", "--start", "2008-01-02", "--corrections", "0")
SAMPLE = 200


def prepare(options: argparse.Namespace) -> Path:
    """Make bars, bin files and a built home in the work folder, unless they are there."""
    folder: Path = options.work / (options.size if not options.symbols else f"{options.size}_{options.symbols}")
    if not (folder / "grid.parquet").exists():
        source = PANEL
        if options.size == "x10":
            market = options.work / "market"
            if not (market / "truth.json").exists():
                print(trademl(None, "simulate", "--out", str(market), *SIMULATED), flush=True)
            source = market / "bars.parquet"
        if not source.exists():
            raise SystemExit(f"{source} is not there: set TRADEML_REAL_DATA to the folder of market data")
        write_bars(folder, source, FIRST, LAST, options.symbols)
    if not (folder / "built").exists():
        home = make_home(folder)
        for name in SETS:
            taken = run(
                [sys.executable, "-m", "benchmarks.features.gold_side", str(home), name, "--ancestors"],
                environment={},
                limit_mib=options.limit_gib * 1024,
                limit_seconds=4 * 3600,
            )
            if taken.stopped:
                raise SystemExit(f"{home}: {taken.stopped}")
        (folder / "built").touch()
    return folder


def compare_all(folder: Path, python: Path, options: argparse.Namespace) -> int:
    """Compare the sets; return how many cells, NULLs and rows are not the oracle's.

    The values of an engine are removed as soon as nothing is to be compared with them: four sets of them are 7.5 GB.
    """
    symbols = SAMPLE if options.size == "x10" and not options.symbols else 0
    bars = BarKeys.read(folder, symbols)
    print(f"{len(bars):,} bars of {len(set(bars.code.tolist()))} symbols{' (a sample)' if symbols else ''}", flush=True)
    differences: dict[str, dict[str, float]] = {}
    wrong = 0
    for name in options.sets:
        differences[name] = {}

        def against(left: str, right: str, name: str = name) -> Comparison:
            found = compare(folder, left, right, name, bars)
            show(found, all_operators=options.all_operators)
            if right == "pyqlib":
                differences[name][left] = found.elsewhere
            return found

        export_gold(folder, name, symbols)
        write_oracle(folder, name, symbols)
        found = against("trademl", "oracle")
        wrong += found.above + found.nulls + len(found.lacking_left) + len(found.lacking_right)
        _foreign(folder, python, "pyqlib", name, symbols, options)
        against("trademl", "pyqlib")
        _foreign(folder, python, "pyqlib-plain", name, symbols, options)
        against("trademl", "pyqlib-plain")
        against("pyqlib-plain", "oracle")
        against("pyqlib-plain", "pyqlib")
        remove_values(folder, "pyqlib-plain", name)
        for engine in () if symbols else ("pandas", "polars"):
            _foreign(folder, python, engine, name, symbols, options)
            against(engine, "pyqlib")
            remove_values(folder, engine, name)
        for engine in ("trademl", "oracle", "pyqlib"):
            remove_values(folder, engine, name)
    (folder / "differences.json").write_text(json.dumps(differences), encoding="ascii")
    return wrong


def _foreign(folder: Path, python: Path, engine: str, name: str, symbols: int, options: argparse.Namespace) -> None:
    """Have another engine write its values."""
    environment = {"NPY_DISABLE_CPU_FEATURES": plain_numpy(python)} if engine == "pyqlib-plain" else {}
    side = {"pyqlib-plain": "qlib", "pyqlib": "qlib"}.get(engine, engine)
    command = [str(python), "-m", f"benchmarks.features.{side}_side", str(folder), name, "--out", str(folder / engine)]
    if symbols:
        command += ["--symbols", str(symbols)]
    taken = run(command, environment=environment, limit_mib=options.limit_gib * 1024, limit_seconds=4 * 3600)
    if taken.stopped:
        raise SystemExit(f"{engine} has no values of {name}: {taken.stopped}")


def time_all(folder: Path, python: Path, options: argparse.Namespace) -> None:
    """Time the sets and print their tables."""
    stored = folder / "differences.json"
    differences = json.loads(stored.read_text(encoding="ascii")) if stored.exists() else {}
    setting = timing.Setting(
        folder=folder,
        python=python,
        processes=options.processes,
        memory_limit=options.memory_limit,
        limit_mib=options.limit_gib * 1024,
        limit_seconds=options.limit_seconds,
    )
    tables = [(name, timing.take(setting, name, options.repeats, tuple(options.engines))) for name in options.sets]
    print(
        f"\n{folder.name}: medians of {options.repeats} runs, {options.processes} processes or threads, DuckDB's "
        f"memory limit {options.memory_limit}; difference: largest |a - b| / max(1, |b|) from pyqlib, "
        "windows with an absent session apart"
    )
    for name, taken in tables:
        timing.show(taken, name, differences.get(name, {}))


def main() -> int:
    """Run the steps asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.features", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; all when left out")
    parser.add_argument(
        "--size", choices=("real", "x10"), default="real", help="the real panel from 2008, or 10 times its rows"
    )
    parser.add_argument("--symbols", type=int, default=0, help="only the first so many; 0: all")
    parser.add_argument("--work", type=Path, help="a folder to keep; a temporary one when left out")
    parser.add_argument(
        "--venv", type=Path, default=ROOT / ".venv-qlib", help="the other engines' environment; made when absent"
    )
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=list(SETS))
    parser.add_argument("--engines", nargs="+", choices=timing.ENGINES, default=list(timing.ENGINES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--memory-limit", default="1600MB", help="DuckDB's; its process has more")
    parser.add_argument("--limit-gib", type=float, default=20, help="kill an engine that needs more")
    parser.add_argument("--limit-seconds", type=float, default=3600, help="kill an engine that takes longer")
    parser.add_argument("--all-operators", action="store_true", help="print those without a difference too")
    options = parser.parse_args()
    steps = options.steps or (list(STEPS) if options.size == "real" else ["compare", "time"])
    for step in steps:
        if step not in STEPS:
            parser.error(f"no step {step}; there are {', '.join(STEPS)}")
    with tempfile.TemporaryDirectory() as temporary:
        options.work = (options.work or Path(temporary)).resolve()
        python = install(options.venv)
        folder = prepare(options)
        wrong = compare_all(folder, python, options) if "compare" in steps else 0
        if "time" in steps:
            time_all(folder, python, options)
        if "ic" in steps:
            alpha_ic.main(folder, python)
    if wrong:
        print(f"FAILS  {wrong:,} cells, NULLs or rows are not the oracle's")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
