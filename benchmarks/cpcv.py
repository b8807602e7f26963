"""Combinatorial purged cross-validation beside skfolio and purgedcv: how long it takes, and what leaks.

    python -m benchmarks.cpcv                    # in a temporary environment
    python -m benchmarks.cpcv --venv DIR         # in one that is kept and used again

250,000 rows (500 symbols x 500 sessions), labels of 1 to 10 sessions, 6 choose 2 folds (15 splits), an embargo of 10
sessions. The other libraries are installed, pinned by cpcv_requirements.txt, in a virtual environment made for them;
each contender runs there in a process of its own, ours too, on the same NumPy. A time runs from the arrays to all pairs
of train and test indices, constructors included: the median of five after one run to warm up.

What leaks is counted here from the indices alone: a train row whose sessions [start, end] share one with a test row's,
of any symbol, summed over the splits. "touching" are those of them that share only an end: one label's last session is
the decision session of the other row. Exit code 1 when one of our rows leaks or purgedcv is not 10 times slower; a
library that could not be installed is named and left out.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Splits = list[tuple[IntArray, IntArray]]

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = Path(__file__).with_name("cpcv_requirements.txt")
SYMBOLS, SESSIONS, HORIZON, EMBARGO, FOLDS, TESTED = 500, 500, 10, 10, 6, 2
RUNS = 5
FASTER = 10.0


@dataclass(frozen=True)
class Contender:
    """A library and how it is called: ``prepare`` turns start and end ordinals into a call that yields all splits."""

    title: str
    package: str
    prepare: Callable[[IntArray, IntArray], Callable[[], Splits]]


def panel(symbols: int = SYMBOLS, sessions: int = SESSIONS) -> tuple[IntArray, IntArray]:
    """Return the decision session and the label's last session of each row, sorted by session."""
    start = np.repeat(np.arange(sessions, dtype=np.int64), symbols)
    return start, start + np.random.default_rng(7).integers(1, HORIZON, len(start), endpoint=True)


def ours(start: IntArray, end: IntArray) -> Callable[[], Splits]:
    """trademl: label spans in session ordinals."""
    from trademl.validation.cpcv import CombinatorialPurgedCV
    from trademl.validation.spans import LabelSpans

    entity = np.arange(len(start)) % SYMBOLS

    def split() -> Splits:
        cv = CombinatorialPurgedCV(n_folds=FOLDS, n_test_folds=TESTED, embargo=EMBARGO)
        return [(one.train, one.test) for one in cv.split(LabelSpans(start, end, entity))]

    return split


def purgedcv(start: IntArray, end: IntArray, *, longer: int = 0) -> Callable[[], Splits]:
    """purgedcv: a day for a session. Its label intervals are half-open; ``longer=1`` makes them hold their end.

    Its embargo counts from the end that it is given and holds its own last day, so it is ``longer`` days shorter.
    """
    from purgedcv import CombinatorialPurgedCV  # type: ignore[import-not-found,unused-ignore]

    origin, day = np.datetime64("2020-01-01", "ns"), np.timedelta64(1, "D")
    predicted, evaluated = origin + start * day, origin + (end + longer) * day

    def split() -> Splits:
        cv = CombinatorialPurgedCV(
            n_splits=FOLDS,
            n_test_groups=TESTED,
            prediction_times=predicted,
            evaluation_times=evaluated,
            embargo=f"{EMBARGO - longer}D",
        )
        return list(cv.split(predicted))

    return split


def skfolio(start: IntArray, end: IntArray, *, rows: int) -> Callable[[], Splits]:
    """skfolio: purge and embargo by a fixed number of rows, here ``rows`` for each session."""
    from skfolio.model_selection import CombinatorialPurgedCV  # type: ignore[import-not-found,unused-ignore]

    X = np.zeros((len(start), 1))

    def split() -> Splits:
        cv = CombinatorialPurgedCV(
            n_folds=FOLDS, n_test_folds=TESTED, purged_size=HORIZON * rows, embargo_size=EMBARGO * rows
        )
        return [(train, np.concatenate(test)) for train, test in cv.split(X)]

    return split


CONTENDERS = {
    "trademl": Contender("trademl", "trademl", ours),
    "purgedcv": Contender("purgedcv", "purgedcv", purgedcv),
    "purgedcv-closed": Contender(
        "purgedcv, label ends moved on by 1", "purgedcv", lambda start, end: purgedcv(start, end, longer=1)
    ),
    "skfolio": Contender("skfolio, sizes in sessions", "skfolio", lambda start, end: skfolio(start, end, rows=1)),
    "skfolio-rows": Contender(
        "skfolio, sizes x 500 symbols", "skfolio", lambda start, end: skfolio(start, end, rows=SYMBOLS)
    ),
}


def leaking_rows(start: IntArray, end: IntArray, splits: Iterable[tuple[Any, Any]]) -> tuple[int, int]:
    """Count train rows that share a session with a test row, and those of them that share nothing but an end.

    The sessions of all test rows of a split are marked; a train row leaks when one of its own is marked. Written for
    this comparison: neither the splitters nor the audit of trademl are used.
    """
    leaking = inside = 0
    sessions = int(end.max()) + 2
    for train, test in splits:
        for last, closed in ((1, True), (0, False)):
            change = np.bincount(start[test], minlength=sessions) - np.bincount(end[test] + last, minlength=sessions)
            marked = np.concatenate(([0], np.cumsum(np.cumsum(change) > 0)))
            count = int(np.count_nonzero(marked[end[train] + last] > marked[start[train]]))
            leaking, inside = leaking + count * closed, inside + count * (not closed)
    return leaking, leaking - inside


def measure(name: str, out: Path) -> None:
    """Time one contender in this process; print the seconds as JSON and leave its splits, as bits, in ``out``."""
    start, end = panel()
    split = CONTENDERS[name].prepare(start, end)
    splits = split()
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        split()
        seconds.append(time.perf_counter() - began)
    role = np.zeros((2, len(splits), len(start)), dtype=np.bool_)
    for at, (train, test) in enumerate(splits):
        role[0, at, train], role[1, at, test] = True, True
    np.save(out, np.packbits(role, axis=2))
    print(json.dumps({"seconds": seconds, "numpy": np.__version__}))


def install(folder: Path) -> tuple[Path, dict[str, str]]:
    """Make the environment; return its Python and, for each package that is in, its version."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making an environment in {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
    versions = {"trademl": importlib.metadata.version("trademl")}
    pins = dict(line.split("==") for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#"))
    for package in ("numpy", "purgedcv", "skfolio"):
        done = subprocess.run(
            [*pip, "--constraint", str(REQUIREMENTS), package], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            versions[package] = pins[package]
        else:
            reason = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
            print(f"{package} {pins[package]} could not be installed, so it is left out: {reason}", flush=True)
    return python if "numpy" in versions else Path(sys.executable), versions


def run(name: str, python: Path, folder: Path) -> tuple[float, Splits]:
    """Measure a contender in a process of its own; return the median seconds and its splits."""
    out = folder / f"{name}.npy"
    done = subprocess.run(
        [str(python), "-m", "benchmarks.cpcv", "--measure", name, "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{name} failed with exit code {done.returncode}; what it said is above")
    seconds = statistics.median(json.loads(done.stdout.splitlines()[-1])["seconds"])
    role = np.unpackbits(np.load(out), axis=2, count=SYMBOLS * SESSIONS).astype(np.bool_)
    return seconds, [(np.flatnonzero(train), np.flatnonzero(test)) for train, test in zip(*role, strict=True)]


def compare(venv: Path) -> int:
    """Print the table and the verdicts; return 1 when one of them fails."""
    python, versions = install(venv)
    start, end = panel()
    print(
        f"{len(start):,} rows, labels of 1 to {HORIZON} sessions, {FOLDS} choose {TESTED}, embargo {EMBARGO} sessions"
    )
    print(f"{'':<36}{'version':>9}{'median ms':>11}{'ratio':>8}{'train rows':>12}{'leaking':>9}{'touching':>10}")
    seconds: dict[str, float] = {}
    leaks: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, contender in CONTENDERS.items():
            if contender.package not in versions:
                continue
            seconds[name], splits = run(name, python, Path(folder))
            leaks[name], touching = leaking_rows(start, end, splits)
            trained = sum(len(train) for train, _ in splits)
            print(
                f"{contender.title:<36}{versions[contender.package]:>9}{1000 * seconds[name]:>11,.1f}"
                f"{seconds[name] / seconds['trademl']:>8.1f}{trained:>12,}{leaks[name]:>9,}{touching:>10,}",
                flush=True,
            )
    verdicts = [(f"{leaks['trademl']} of our train rows leak", leaks["trademl"] == 0)]
    rivals = [seconds[name] for name in seconds if CONTENDERS[name].package == "purgedcv"]
    if rivals:
        ratio = min(rivals) / seconds["trademl"]
        verdicts.append((f"{ratio:.1f} times faster than purgedcv, at least {FASTER:g} asked", ratio >= FASTER))
    else:
        print("not measured: how much faster than purgedcv")
    for text, holds in verdicts:
        print(f"{'holds' if holds else 'FAILS'}  {text}")
    return int(not all(holds for _, holds in verdicts))


def main() -> int:
    """Compare, or measure one contender for the process that compares."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpcv", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venv", type=Path, metavar="DIR", help="environment of the other libraries; made when absent")
    parser.add_argument("--measure", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.out)
        return 0
    if options.venv:
        return compare(options.venv.resolve())
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
