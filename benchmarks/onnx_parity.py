"""Native file and ONNX graph of every family on every task, on the real panel: differences, rank changes, latency.

Each model is fitted on all rows of the panel that its task fits. The native file and the graph are read anew and score
every row: how far are two scores apart, and does any row change its rank within its date? Then both visit every
threshold (trademl.models.onnx.prove_parity). A family that refuses a task says why below the table.

    python -m benchmarks.onnx_parity --home HOME [--start 2015-01-01] [--rounds 200] [--run RUN ...] [--out FILE]

--run adds the final model of a finished run, such as a stack, on the rows it was trained on. Exit code 1 when a score
differs or a rank changes.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.errors import TrademlError
from trademl.models.onnx import prove_parity
from trademl.models.registry import create_model, model_class
from trademl.models.runtime import INPUT, OUTPUT, open_graph
from trademl.sleeves.equities import EQUITIES, EquitiesConfig
from trademl.training.experiment import read_model
from trademl.validation.metrics import ranks_within_dates
from trademl.warehouse.read import read_snapshot

if TYPE_CHECKING:
    from trademl.models.base import BaseModel
    from trademl.training.dataset import TrainingData

FAMILIES = ("lightgbm", "xgboost", "catboost", "ridge", "momentum")
TASKS: dict[str, dict[str, Any]] = {
    "regression": {"task": "regression", "label": "horizon", "k": 5},
    "binary": {"task": "top_bottom", "label": "horizon", "k": 5},
    "three_class": {"task": "three_class", "label": "tb"},
}
"""Task of a model -> what a run is told to make it do it."""

PROVED_ROWS = 100_000
CHUNK = 65_536


@dataclass(frozen=True)
class Row:
    """One line of the table; ``refused`` says why there are no numbers."""

    model: str
    task: str
    refused: str = ""
    fit_seconds: float = 0.0
    rows: int = 0
    boundary_rows: int = 0
    largest_difference: float = 0.0
    scale: float = 0.0
    rank_changes: int = 0
    tied_rows: int = 0
    native_ms_1_row: float = 0.0
    onnx_ms_1_row: float = 0.0
    native_ms_500_rows: float = 0.0
    onnx_ms_500_rows: float = 0.0


def load(home: Home, fields: dict[str, Any]) -> "TrainingData":
    """Read the rows of a training configuration from the snapshot, whatever the data gate says."""
    from trademl.training.dataset import load_training, resolve_label

    config = validate_section(fields, EquitiesConfig, origin="benchmark")
    with read_snapshot(home) as snapshot:
        label = resolve_label(snapshot.con, EQUITIES, config)
        return load_training(snapshot.con, EQUITIES, config, label)


def measure(name: str, task: str, cls: "type[BaseModel]", native: Path, graph: Path, data: "TrainingData") -> Row:
    """Compare the two files on every row of ``data``, and on every threshold."""
    read = cls.native(native)
    session = open_graph(graph)
    ours, theirs = np.empty(len(data)), np.empty(len(data))
    for start in range(0, len(data), CHUNK):
        block = data.X[start : start + CHUNK]
        ours[start : start + CHUNK] = read.score(block)
        theirs[start : start + CHUNK] = session.run([OUTPUT], {INPUT: block})[0].reshape(-1)
    parity = prove_parity(read, graph, np.ascontiguousarray(data.X[evenly(len(data), PROVED_ROWS)]), latency=True)
    ranks = ranks_within_dates(ours, data.dates)
    return Row(
        model=name,
        task=task,
        rows=len(data),
        boundary_rows=parity.boundary_rows,
        largest_difference=max(float(np.abs(ours - theirs).max()), parity.max_abs_difference),
        scale=float(np.abs(ours).max()),
        rank_changes=int((ranks != ranks_within_dates(theirs, data.dates)).sum()),
        tied_rows=ties(ours, data.dates),
        native_ms_1_row=parity.native_ms_1_row or 0.0,
        onnx_ms_1_row=parity.onnx_ms_1_row or 0.0,
        native_ms_500_rows=parity.native_ms_500_rows or 0.0,
        onnx_ms_500_rows=parity.onnx_ms_500_rows or 0.0,
    )


def ties(score: NDArray[np.float64], dates: NDArray[Any]) -> int:
    """Return how many rows share their score with another row of their date."""
    order = np.lexsort((score, dates))
    same = (np.diff(score[order]) == 0) & (dates[order][1:] == dates[order][:-1])
    return int((np.append(same, False) | np.append(False, same)).sum())


def evenly(n_rows: int, wanted: int) -> NDArray[np.int64]:
    """Return ``wanted`` positions at even distances; all when there are fewer."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, wanted)).astype(np.int64))


def families(home: Home, options: argparse.Namespace) -> Iterator[Row]:
    """Fit every family on every task and measure it."""
    for task, fields in TASKS.items():
        shared = {
            **fields,
            "start": options.start,
            "end": options.end,
            "features": options.features.split(","),
            "model": {"kind": "ridge"},
        }
        try:
            data = load(home, shared)
        except TrademlError as error:
            yield from (Row(kind, task, refused=first_line(error)) for kind in FAMILIES)
            continue
        rows = np.flatnonzero(data.fitted)
        for kind in FAMILIES:
            print(f"{kind} {task}: {len(rows):,} rows", file=sys.stderr, flush=True)
            try:
                yield fitted(home, kind, task, data, rows, options.rounds)
            except TrademlError as error:
                yield Row(kind, task, refused=first_line(error))


def fitted(home: Home, kind: str, task: str, data: "TrainingData", rows: NDArray[np.int64], rounds: int) -> Row:
    """Fit one family on one task, write both files and measure them."""
    config = read_model(home, kind)
    told = {"task": task, "n_rounds": rounds} if "n_rounds" in type(config).model_fields else {"task": task}
    # As a run tells its model the task: the family itself says what it cannot do.
    config = config.model_copy(update=told)
    began = time.monotonic()
    model = create_model(config, data.feature_names)
    model.fit_rows(model.prepare(data.X, data.feature_names, config), data.target, rows, weight=data.weight)
    seconds = time.monotonic() - began
    with tempfile.TemporaryDirectory(prefix="onnx-parity-") as folder:
        native, graph = Path(folder) / f"model{model.suffix}", Path(folder) / "model.onnx"
        model.save(native)
        model.export_onnx(graph)
        found = measure(kind, task, type(model), native, graph, data)
    return Row(**{**asdict(found), "fit_seconds": round(seconds, 1)})


def finished(home: Home, run_id: str) -> Row:
    """Measure the two files of a finished run on the rows that it was trained on."""
    from trademl.reports.predictions import find_run

    with read_snapshot(home) as snapshot:
        run = find_run(snapshot.con, home, run_id, verify=True)
    config = run.manifest.config
    cls = model_class(config["model"]["kind"])
    native = run.folder.place(f"checkpoints/model{cls.suffix}")
    data = load(home, config)
    return measure(
        f"{cls.kind} {run_id}", config["task"], cls, native, run.folder.place("checkpoints/model.onnx"), data
    )


def first_line(error: TrademlError) -> str:
    """Return the message of an error on one line."""
    return " ".join(error.message.split())


def report(found: list[Row]) -> bool:
    """Print the table in Markdown; return whether no score differs and no rank changes."""
    print(
        "| model | task | fit s | rows | boundary rows | largest difference | of scale | rank changes | tied rows "
        "| 1 row ms, native / ONNX | 500 rows ms, native / ONNX |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in found:
        if row.refused:
            print(f"| {row.model} | {row.task} |" + " - |" * 9)
            continue
        of_scale = row.largest_difference / row.scale if row.scale else 0.0
        print(
            f"| {row.model} | {row.task} | {row.fit_seconds} | {row.rows:,} | {row.boundary_rows:,} "
            f"| {row.largest_difference:g} | {of_scale:g} | {row.rank_changes} | {row.tied_rows:,} "
            f"| {row.native_ms_1_row:.3f} / {row.onnx_ms_1_row:.3f} "
            f"| {row.native_ms_500_rows:.3f} / {row.onnx_ms_500_rows:.3f} |"
        )
    print()
    for row in found:
        if row.refused:
            print(f"- {row.model}, {row.task}: {row.refused}")
    measured = [row for row in found if not row.refused]
    holds = bool(measured) and not any(row.largest_difference or row.rank_changes for row in measured)
    print("holds" if holds else "FAILS", f": {len(measured)} models, native and ONNX scores equal to the bit")
    return holds


def main() -> int:
    """Measure, print, and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="a home with a built warehouse")
    parser.add_argument("--start", type=date.fromisoformat, default=date(2015, 1, 1), help="first decision date")
    parser.add_argument("--end", type=date.fromisoformat, default=None, help="last decision date")
    parser.add_argument("--features", default="*_rank", help="names or patterns with commas between")
    parser.add_argument("--rounds", type=int, default=200, help="trees of boosted families")
    parser.add_argument("--run", action="append", default=[], help="also the final model of this run; may be repeated")
    parser.add_argument("--runs-only", action="store_true", help="only the runs of --run, no family")
    parser.add_argument("--out", type=Path, help="keep the rows here, as JSON lines")
    options = parser.parse_args()
    home = Home(options.home.resolve())
    found = [] if options.runs_only else list(families(home, options))
    found += [finished(home, run_id) for run_id in options.run]
    if options.out:
        options.out.write_text("".join(json.dumps(asdict(row)) + "\n" for row in found), encoding="utf-8")
    return 0 if report(found) else 1


if __name__ == "__main__":
    sys.exit(main())
