"""Time the main steps: the splitter, the leakage audit, scoring, and queries on a snapshot.

    python -m benchmarks                 # all, each in a process of its own
    python -m benchmarks splits audit

Every time is the median of three. Beside it stands a plainer thing done to the same data in the same run, and the
ratio of the two, which says more about another machine than seconds do. Memory is the peak of the whole process,
its imports and inputs included. Queries need a home with a snapshot (TRADEML_HOME, or the one around this folder).
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from trademl.config import find_home
from trademl.errors import HomeNotFound, SnapshotError
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot
from trademl.rng import stream
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.spans import LabelSpans

RUNS = 3
HORIZON = 5
EMBARGO = 10


@dataclass(frozen=True)
class Timing:
    """One line of the table: what took how long, and what it is compared with."""

    what: str
    seconds: float
    against: str = ""
    against_seconds: float = 0.0

    def __str__(self) -> str:
        line = f"{self.what:<48}{1000 * self.seconds:>11,.2f} ms"
        if self.against:
            line += (
                f"{self.seconds / self.against_seconds:>9.2f} x {self.against} ({1000 * self.against_seconds:,.2f} ms)"
            )
        return line


def medians(*calls: Callable[[], object], repeat: int = 1) -> list[float]:
    """Return the median seconds of each call; the calls take turns, so that a busy moment hits all of them."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(RUNS):
        for found, call in zip(taken, calls, strict=True):
            started = time.perf_counter()
            for _ in range(repeat):
                call()
            found.append((time.perf_counter() - started) / repeat)
    return [statistics.median(found) for found in taken]


def panel(symbols: int, sessions: int) -> LabelSpans:
    """Return the spans of a full panel of five-session labels, sorted by session."""
    start = np.repeat(np.arange(sessions), symbols)
    return LabelSpans(start, start + HORIZON, np.tile(np.arange(symbols), sessions))


def time_splits() -> Iterator[Timing]:
    """CPCV, 6 choose 2, on 250,000 rows, against as many splits without purge or embargo."""
    from sklearn.model_selection import KFold

    spans = panel(250, 1000)
    splitter = CombinatorialPurgedCV(n_folds=6, n_test_folds=2, embargo=EMBARGO)
    plain = KFold(splitter.n_splits)
    seconds = medians(lambda: list(splitter.split(spans)), lambda: list(plain.split(spans.start)))
    yield Timing("CPCV: 250,000 rows, 15 splits", seconds[0], "sklearn KFold(15), no purge", seconds[1])


def time_audit() -> Iterator[Timing]:
    """The leakage audit of 28 stored splits of a million rows, against one join of its two inputs."""
    yield from _time_audit(500, 2000, 8)


def time_large_audit() -> Iterator[Timing]:
    """The same of 45 splits of ten million rows."""
    yield from _time_audit(5000, 2000, 10)


def _time_audit(symbols: int, sessions: int, folds: int) -> Iterator[Timing]:
    from trademl.governance.assignments import write_assignments
    from trademl.governance.audit import audit_splits

    spans = panel(symbols, sessions)
    splitter = CombinatorialPurgedCV(n_folds=folds, n_test_folds=2, embargo=EMBARGO)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        assignments = write_assignments(Path(folder) / "assignments.parquet", splitter.split(spans), len(spans))
        columns = {"start_ordinal": spans.start, "end_ordinal": spans.end, "entity": spans.entity}
        con.register("columns", {"row_id": np.arange(len(spans)), **columns})
        con.execute(
            "create table spans as select *, timestamp '2020-01-01' as known_at, timestamp '2020-01-02' as decision_at "
            "from columns"
        )

        def audit() -> None:
            rows = audit_splits(con, assignments, "spans", embargo=EMBARGO, run_id="bench", paths=splitter.n_paths)
            if any(row.violations for row in rows):
                raise SystemExit("the audit found a leak in the splitter's own splits")

        def join() -> None:
            con.execute(
                f"select count(*), bit_xor(train_0), max(end_ordinal) from '{assignments}' join spans using (row_id)"
            ).fetchall()

        seconds = medians(audit, join)
        what = f"audit: {len(spans):,} rows, {splitter.n_splits} splits"
        yield Timing(what, seconds[0], "one join of its inputs", seconds[1])


def time_scoring() -> Iterator[Timing]:
    """Scores of 500 rows from 300 trees of 63 leaves: the exported graph against LightGBM, one thread each."""
    import lightgbm

    from trademl.edge.session import ScoringSession
    from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel

    draw = stream(1, "bench")
    names = [f"feature_{at}" for at in range(74)]
    X = draw.standard_normal((20_000, len(names)), dtype=np.float32)
    y = X[:, 0] * X[:, 1] + np.sin(X[:, 2]) + draw.standard_normal(len(X))
    model = LightGBMModel(LightGBMConfig(n_rounds=300, num_leaves=63, min_data_in_leaf=20), names).fit(X, y)
    native = lightgbm.Booster(model_str=model.text)
    with tempfile.TemporaryDirectory() as folder:
        model.export_onnx(Path(folder) / "model.onnx")
        session = ScoringSession(Path(folder) / "model.onnx")
        for rows in (500, 1):
            batch = X[:rows]
            seconds = medians(
                lambda batch=batch: session.predict(batch),  # type: ignore[misc]
                lambda batch=batch: native.predict(batch, raw_score=True, num_threads=1),  # type: ignore[misc]
                repeat=50,
            )
            yield Timing(f"ONNX: {rows} rows, {model.n_trees} trees x 63 leaves", seconds[0], "LightGBM", seconds[1])


def time_queries() -> Iterator[Timing]:
    """Open the home's snapshot; read its last session of features, and a mean over all of them."""
    try:
        layout = layout_of(find_home())
        open_snapshot(layout).close()
    except (HomeNotFound, SnapshotError) as error:
        print(f"{'snapshot queries':<48}    skipped: {error.message}")
        return
    (opening,) = medians(lambda: open_snapshot(layout).close())
    with open_snapshot(layout) as snapshot:
        if "gold.equities_features" not in snapshot.manifest.tables:
            print(f"{'snapshot queries':<48}    skipped: the snapshot has no gold.equities_features")
            return
        features = snapshot.manifest.tables["gold.equities_features"]
        last = "select * from gold.equities_features where date = (select max(date) from gold.equities_features)"
        mean = "select date, avg(momentum_20d) from gold.equities_features group by date"
        session, everything = medians(
            lambda: snapshot.con.execute(last).fetchall(), lambda: snapshot.con.execute(mean).fetchall()
        )
    yield Timing("snapshot: open", opening)
    yield Timing("snapshot: all features of the last session", session, "opening it", opening)
    yield Timing(f"snapshot: one mean per date, {features.rows:,} rows", everything, "opening it", opening)


BENCHMARKS: dict[str, Callable[[], Iterator[Timing]]] = {
    "splits": time_splits,
    "audit": time_audit,
    "large_audit": time_large_audit,
    "scoring": time_scoring,
    "queries": time_queries,
}


def main() -> int:
    """Run one benchmark here, or several in a process each; return 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all when left out")
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    if len(names) > 1:
        codes = [subprocess.run([sys.executable, "-m", "benchmarks", name], check=False).returncode for name in names]
        return int(any(codes))
    started = time.monotonic()
    for timing in BENCHMARKS[names[0]]():
        print(timing, flush=True)
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(f"{'':<48}  {names[0]}: {time.monotonic() - started:.1f} s in all, peak {peak:,.0f} MiB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
