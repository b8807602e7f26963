"""Retrieval beside scikit-learn's brute force: the same answers, and time and memory at a million events.

    python -m benchmarks.retrieval                              # 20,000 events compared, 1,000,000 x 60 timed
    python -m benchmarks.retrieval --events 200000 --queries 50
    python -m benchmarks.retrieval --home HOME                  # also: every event of a home asked at its own t1

Made-up events: ten common factors and noise, eleven kinds of level of uneven share, two directions, 5 % of cells
missing. Each side reads the same parquet file in a process of its own; memory is the peak of that process (VmHWM),
its imports included. A filtered query wants one kind and one direction, resolved before a random instant.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trademl.config.home import Home
from trademl.rng import stream
from trademl.sleeves.events.retrieval.batch import query_many
from trademl.sleeves.events.retrieval.index import RetrievalIndex, SearchSettings
from trademl.sleeves.events.retrieval.run import feature_columns, read_events
from trademl.sleeves.events.retrieval.summary import LABELS, NUMBERS
from trademl.warehouse.read import read_snapshot

KINDS = ("PMH", "PML", "ORH", "ORL", "PDH", "PDL", "PDC", "SMA_200", "SMA_400", "ROUND", "STRIKE")
TIMES = [name for name in LABELS if name.startswith("time_to_")]
COMPARED, NEIGHBORS = 20_000, 50
TOLERANCE = 1e-9
DAYS = 250
DAY_NS = 86_400 * 10**9


def draw(path: Path, rows: int, width: int, seed: int) -> None:
    """Write made-up events as parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = stream(seed, "retrieval", str(rows))
    factors = rng.standard_normal((rows, 10), dtype=np.float32)
    columns: dict[str, Any] = {}
    # The same of every file: queries come from where the events come from.
    loadings = stream(seed, "loadings").standard_normal((width, 10)).astype(np.float32)
    for number, loading in enumerate(loadings):
        values = factors @ loading + rng.standard_normal(rows, dtype=np.float32)
        columns[f"f{number:02d}"] = pa.array(values, mask=rng.random(rows) < 0.05)
    share = 1.0 / np.arange(1, len(KINDS) + 1)
    ts = np.sort(rng.integers(0, DAYS * DAY_NS, rows))
    columns |= {
        "event_id": [f"{number:08d}" for number in rng.permutation(rows)],
        "ts_ns": ts,
        "date": pa.array(ts // DAY_NS, pa.int32()).cast(pa.date32()),
        "symbol": rng.choice(["AAA", "BBB"], rows),
        "level_price": rng.uniform(10, 500, rows),
        "level_kind_name": rng.choice(KINDS, rows, p=share / share.sum()),
        "direction": rng.choice(["UP", "DOWN"], rows),
        "outcome": pa.array(rng.choice(["BREAK", "BOUNCE", "OTHER"], rows), mask=rng.random(rows) < 0.03),
        "strength_signed": rng.standard_normal(rows) * 2,
        "tradeable_2": rng.integers(0, 2, rows).astype(np.int32),
        "resolved_at": pa.array(ts + 2_400 * 10**9, pa.timestamp("ns")),
    }
    columns |= {name: pa.array(60.0 * rng.integers(1, 40, rows), mask=rng.random(rows) < 0.4) for name in TIMES}
    pq.write_table(pa.table(columns), path)


def read(path: Path) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """Return features float64 (rows, width), NaN where missing, and the other columns, as scikit-learn's user would."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    names = [name for name in table.column_names if name.startswith("f") and name[1:].isdigit()]
    matrix = np.empty((table.num_rows, len(names)))
    for number, name in enumerate(names):
        matrix[:, number] = table.column(name).to_numpy()
    return matrix, {name: table.column(name).to_numpy() for name in table.column_names if name not in names}


def equal(folder: Path) -> dict[str, Any]:
    """Compare neighbours and summaries with scikit-learn on 20,000 events."""
    from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    matrix, columns = read(folder / "compared.parquet")
    asked, asked_columns = read(folder / "asked.parquet")
    scaler = StandardScaler().fit(matrix)
    # scikit-learn has no distance with missing values; after scaling, the mean is 0.
    base, queries = (np.nan_to_num(scaler.transform(part), nan=0.0) for part in (matrix, asked))
    index = index_of(folder / "compared.parquet")
    present = set(zip(columns["level_kind_name"], columns["direction"], strict=True))
    neighbours = summaries = same = 0
    worst = {"distance": 0.0, "summary": 0.0}
    for filtered in (False, True):
        groups: list[Any] = sorted(present) if filtered else [None]
        for group in groups:
            passes, mine = (
                np.ones(len(part["event_id"]), dtype=bool)
                if group is None
                else (part["level_kind_name"] == group[0]) & (part["direction"] == group[1])
                for part in (columns, asked_columns)
            )
            if not mine.any():
                continue
            ours_k = min(NEIGHBORS, int(passes.sum()))
            here = {name: values[passes] for name, values in columns.items()}
            brute = NearestNeighbors(n_neighbors=ours_k, algorithm="brute").fit(base[passes])
            distance, places = brute.kneighbors(queries[mine])
            common = {"n_neighbors": ours_k, "weights": "distance", "algorithm": "brute"}
            # scikit-learn's own weighted answers, where no label is missing.
            own: dict[str, Any] = {}
            for name, label in (("strength_signed_mean", "strength_signed"), ("p_tradeable_2", "tradeable_2")):
                if not np.isnan(here[label].astype(float)).any():
                    own[name] = KNeighborsRegressor(**common).fit(base[passes], here[label]).predict(queries[mine])
            filters = {} if group is None else {"level_kind_name": group[0], "direction": group[1]}
            for row, (vector, far, near) in enumerate(zip(asked[mine], distance, places, strict=True)):
                found = index.query(vector, filters, NEIGHBORS)
                expected = reference({name: here[name][near] for name in LABELS}, far)
                expected |= {name: values[row] for name, values in own.items()}
                same += same_neighbours(found.neighbors, here["event_id"][near], far)
                neighbours += len(near)
                summaries += 1
                worst["distance"] = max(worst["distance"], float(np.abs(found.neighbors["distance"] - far).max()))
                for name in NUMBERS:
                    one, other = getattr(found, name), expected[name]
                    gap = 0.0 if math.isnan(one) and math.isnan(other) else abs(one - other)
                    worst["summary"] = max(worst["summary"], math.inf if math.isnan(gap) else gap)
    return {"features": matrix.shape[1], "queries": summaries, "neighbours": neighbours, "same": same, **worst}


def reference(labels: Mapping[str, Any], distance: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return the numbers of a summary from scikit-learn's neighbours, by numpy's average over known values."""

    def mean(values: Any) -> float:
        known = ~np.isnan(values)
        return float(np.average(values[known], weights=1 / distance[known])) if known.any() else math.nan

    outcome = labels["outcome"]
    known = np.array([value is not None for value in outcome])
    shares = [mean(np.where(known, outcome == kind, np.nan).astype(float)) for kind in ("BREAK", "BOUNCE", "OTHER")]
    strength = labels["strength_signed"]
    return {
        "p_break": shares[0],
        "p_bounce": shares[1],
        "strength_abs_mean": mean(np.abs(strength)),
        "strength_signed_mean": mean(strength),
        "p_tradeable_2": mean(labels["tradeable_2"].astype(float)),
        **{f"{name}_mean": mean(labels[name]) for name in TIMES},
        "similarity": float(np.mean(1 / (1 + distance))),
        "entropy": float(-sum(p * math.log(p) for p in shares if p > 0)),
    }


def same_neighbours(found: Any, theirs: Any, distance: np.ndarray[Any, Any]) -> bool:
    """Tell whether both found the same events; which of several equally far ones come last is free."""
    last = distance[-1] - TOLERANCE
    mine = set(found["event_id"][(found["distance"] < last).to_numpy()])
    return len(found) == len(theirs) and mine == set(theirs[distance < last])


def index_of(path: Path, settings: SearchSettings | None = None) -> RetrievalIndex:
    """Return an index of a file of events."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    index = RetrievalIndex(
        [name for name in table.column_names if name[0] == "f" and name[1:].isdigit()], settings=settings
    )
    index.fit(table)
    return index


def questions(folder: Path, count: int) -> list[tuple[np.ndarray[Any, Any], dict[str, str], int]]:
    """Return raw vectors, filters and time limits; the same for every side."""
    asked, columns = read(folder / "asked.parquet")
    before = stream(3, "before").integers(DAYS * DAY_NS // 2, DAYS * DAY_NS, count)
    return [
        (
            asked[number],
            {
                "level_kind_name": str(columns["level_kind_name"][number]),
                "direction": str(columns["direction"][number]),
            },
            int(before[number]),
        )
        for number in range(count)
    ]


def make(folder: Path) -> dict[str, Any]:
    """Build and save the index of the large file."""
    started = time.perf_counter()
    index_of(folder / "large.parquet", SearchSettings(threads=2)).save(folder / "index")
    size = sum(path.stat().st_size for path in (folder / "index").glob("*.parquet"))
    return {"build_s": time.perf_counter() - started, "file_mb": size / 1e6, "peak_gb": peak()}


def ours(folder: Path, count: int, approximate: bool) -> dict[str, Any]:
    """Time queries of the saved index: filtered and unfiltered, exact or approximate."""
    settings = SearchSettings(exact_rows=100_000 if approximate else 10**9, threads=2)
    started = time.perf_counter()
    index = RetrievalIndex.load(folder / "index", settings=settings)
    loaded = time.perf_counter() - started
    asked = questions(folder, count)
    started = time.perf_counter()
    index.query(asked[0][0], {}, NEIGHBORS, before=asked[0][2])
    found: dict[str, Any] = {"load_s": loaded, "first_s": time.perf_counter() - started}
    answers: list[list[str]] = []

    def whole(vector: Any, _: Any, before: int) -> None:
        answers.append(index.query(vector, {}, NEIGHBORS, before=before).neighbors["event_id"].tolist())

    found["unfiltered_ms"] = timed(asked, whole)
    if not approximate:
        found["filtered_ms"] = timed(asked, lambda v, f, before: index.query(v, f, NEIGHBORS, before=before))
    # Before anything that only the comparison needs.
    found["peak_gb"] = peak()
    found["answers"] = answers
    return found


def scikit(folder: Path, count: int) -> dict[str, Any]:
    """Time scikit-learn: rows that pass are chosen, then searched by brute force."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    started = time.perf_counter()
    matrix, columns = read(folder / "large.parquet")
    scaler = StandardScaler().fit(matrix)
    matrix = np.nan_to_num(scaler.transform(matrix), nan=0.0)
    kind, way = (columns[name].astype(str) for name in ("level_kind_name", "direction"))
    resolved = columns["resolved_at"].astype(np.int64)
    whole = NearestNeighbors(n_neighbors=NEIGHBORS, algorithm="brute").fit(matrix)
    cells = {
        (one, other): NearestNeighbors(n_neighbors=NEIGHBORS, algorithm="brute").fit(
            matrix[(kind == one) & (way == other)]
        )
        for one in KINDS
        for other in ("UP", "DOWN")
    }
    loaded = time.perf_counter() - started

    def scaled(vector: Any) -> Any:
        return np.nan_to_num(scaler.transform(vector[None, :]), nan=0.0)

    def masked(vector: Any, filters: Mapping[str, str], before: int) -> None:
        passes = (kind == filters["level_kind_name"]) & (way == filters["direction"]) & (resolved < before)
        chosen = NearestNeighbors(n_neighbors=NEIGHBORS, algorithm="brute").fit(matrix[passes])
        chosen.kneighbors(scaled(vector))

    def prepared(vector: Any, filters: Mapping[str, str], before: int) -> None:
        cells[filters["level_kind_name"], filters["direction"]].kneighbors(scaled(vector))

    asked = questions(folder, count)
    whole.kneighbors(scaled(asked[0][0]))
    return {
        "load_s": loaded,
        "filtered_ms": timed(asked, masked),
        "prepared_ms": timed(asked, prepared),
        "unfiltered_ms": timed(asked[: max(1, count // 4)], lambda v, f, before: whole.kneighbors(scaled(v))),
        "peak_gb": peak(),
    }


def write_real(root: Path, folder: Path) -> None:
    """Write the events of a home as the files of the comparison: the first 20,000, and 1,000 of the later ones."""
    import pyarrow.parquet as pq

    with read_snapshot(Home(root)) as snapshot:
        chosen = feature_columns(snapshot, "stage_b", "full")
        events = read_events(snapshot, chosen).sort_by("ts_ns")
    names = {name: f"f{number:02d}" for number, name in enumerate(chosen)}
    events = events.rename_columns([names.get(name, name) for name in events.column_names])
    pq.write_table(events.slice(0, COMPARED), folder / "compared.parquet")
    later = events.slice(COMPARED)
    pq.write_table(later.take(np.linspace(0, later.num_rows - 1, 1000).astype(np.int64)), folder / "asked.parquet")


def at_home(root: Path) -> dict[str, Any]:
    """Ask every event of a home at its own t1 and count neighbours that are not earlier."""
    with read_snapshot(Home(root)) as snapshot:
        chosen = feature_columns(snapshot, "stage_b", "full")
        events = read_events(snapshot, chosen)
    index = RetrievalIndex(chosen)
    index.fit(events)
    started = time.perf_counter()
    found = query_many(index, events, k=NEIGHBORS).to_pandas()
    seconds = time.perf_counter() - started
    with_any = found[found["n_neighbors"] > 0]
    known = events.select(["event_id", "outcome", "distance_signed"]).to_pandas().set_index("event_id")
    known = known.loc[with_any["event_id"]].reset_index()
    share = (with_any["p_break"] / (with_any["p_break"] + with_any["p_bounce"])).reset_index(drop=True)
    decided = known["outcome"].isin(["BREAK", "BOUNCE"]) & share.notna() & known["distance_signed"].notna()
    broke = (known["outcome"] == "BREAK").to_numpy()[decided]
    return {
        "events": len(found),
        "features": len(chosen),
        "with_neighbours": len(with_any),
        "neighbours": int(found["n_neighbors"].sum()),
        "late": int((with_any["latest_resolved_ns"] >= with_any["ts_ns"]).sum()),
        "similarity": float(with_any["similarity"].median()),
        "auc_break": auc(share[decided], broke),
        "auc_distance": auc(known["distance_signed"][decided], broke),
        "auc_rows": int(decided.sum()),
        "seconds": seconds,
    }


def auc(score: Any, positive: np.ndarray[Any, Any]) -> float:
    """Return the probability that a positive has the higher score, ties a half."""
    rank = score.rank().to_numpy()
    count = int(positive.sum())
    return float((rank[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def timed(asked: list[tuple[Any, dict[str, str], int]], ask: Callable[[Any, dict[str, str], int], Any]) -> list[float]:
    """Return p50 and p99 in milliseconds."""
    taken = []
    for question in asked:
        started = time.perf_counter()
        ask(*question)
        taken.append(1000 * (time.perf_counter() - started))
    return [float(np.percentile(taken, 50)), float(np.percentile(taken, 99))]


def peak() -> float:
    """Return the peak of this process's resident memory in GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6


def side(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.retrieval", "--side", name, "--folder", str(folder)]
    for option in ("events", "features", "queries"):
        command += [f"--{option}", str(getattr(arguments, option))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run_side(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do what one process does."""
    folder: Path = arguments.folder
    if arguments.side == "draw":
        draw(folder / "compared.parquet", COMPARED, arguments.features, 1)
        draw(folder / "asked.parquet", max(arguments.queries, 1000), arguments.features, 1)
        draw(folder / "large.parquet", arguments.events, arguments.features, 1)
        return {}
    if arguments.side == "equal":
        return equal(folder)
    if arguments.side == "make":
        return make(folder)
    if arguments.side == "scikit":
        return scikit(folder, arguments.queries)
    return ours(folder, arguments.queries, arguments.side == "approximate")


def compare(what: str, folder: Path, arguments: argparse.Namespace) -> bool:
    """Compare with scikit-learn and print; tell whether answers are the same."""
    same = side("equal", folder, arguments)
    passed: bool = same["same"] == same["queries"] and max(same["distance"], same["summary"]) <= TOLERANCE
    print(
        f"{'PASS' if passed else 'FAIL'}  {COMPARED:,} {what} events x {same['features']}: {same['same']:,} of "
        f"{same['queries']:,} queries have scikit-learn's neighbours ({same['neighbours']:,} neighbours); largest "
        f"difference of a distance {same['distance']:.1e}, of a number of the summary {same['summary']:.1e}"
    )
    return passed


def report(arguments: argparse.Namespace, folder: Path) -> bool:
    """Run all sides and print; tell whether answers are the same."""
    side("draw", folder, arguments)
    passed = compare("made-up", folder, arguments)
    print(
        f"\n{arguments.events:,} events x {arguments.features}, k = {NEIGHBORS}, {arguments.queries} queries, 2 threads"
    )
    print(f"{'':<44}{'p50 ms':>9}{'p99 ms':>9}{'ready s':>9}{'peak GB':>9}")
    made = side("make", folder, arguments)
    exact, near, theirs = (side(name, folder, arguments) for name in ("exact", "approximate", "scikit"))
    lines = [
        ("DuckDB, filtered by kind, direction and time", exact["filtered_ms"], exact["load_s"], exact["peak_gb"]),
        ("scikit-learn, the same: rows chosen each time", theirs["filtered_ms"], theirs["load_s"], theirs["peak_gb"]),
        ("scikit-learn, a model a cell, no time limit", theirs["prepared_ms"], theirs["load_s"], theirs["peak_gb"]),
        ("DuckDB, time limit only", exact["unfiltered_ms"], exact["load_s"], exact["peak_gb"]),
        ("faiss and DuckDB, time limit only", near["unfiltered_ms"], near["load_s"] + near["first_s"], near["peak_gb"]),
        ("scikit-learn, no filter, no time limit", theirs["unfiltered_ms"], theirs["load_s"], theirs["peak_gb"]),
    ]
    for what, (half, most), ready, memory in lines:
        print(f"{what:<44}{half:>9.1f}{most:>9.1f}{ready:>9.1f}{memory:>9.2f}")
    found = [len(set(one) & set(other)) for one, other in zip(near["answers"], exact["answers"], strict=True)]
    print(
        f"recall of the approximate search: {sum(found) / (NEIGHBORS * len(found)):.3f} of {NEIGHBORS}, "
        f"worst query {min(found)}; building and saving the index {made['build_s']:.1f} s, peak "
        f"{made['peak_gb']:.2f} GB, file {made['file_mb']:.0f} MB"
    )
    return passed


def main() -> None:
    """Compare, time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=60)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--home", type=Path, help="a home with events, such as one of real bars")
    parser.add_argument("--only-home", action="store_true", help="leave out the made-up events")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(run_side(arguments)))
        return
    passed = True
    if not arguments.only_home:
        with tempfile.TemporaryDirectory() as folder:
            passed = report(arguments, Path(folder))
    if arguments.home:
        with tempfile.TemporaryDirectory() as folder:
            write_real(arguments.home, Path(folder))
            passed &= compare("real", Path(folder), arguments)
        found = at_home(arguments.home)
        passed &= not found["late"]
        print(
            f"{'PASS' if not found['late'] else 'FAIL'}  {found['events']:,} events of {arguments.home} x "
            f"{found['features']}, each at its own t1: {found['neighbours']:,} neighbours, {found['late']} not "
            f"earlier ({found['events'] - found['with_neighbours']:,} events have none); median similarity "
            f"{found['similarity']:.3f}; AUC of break against bounce {found['auc_break']:.4f}, of "
            f"distance alone {found['auc_distance']:.4f}, on {found['auc_rows']:,}; {found['seconds']:.0f} s"
        )
    sys.exit(not passed)


if __name__ == "__main__":
    main()
