"""The traders' SQL against its oracle on random panels: the largest difference of any cell.

    python -m benchmarks.trader_panels [--panels 1000] [--seed 0]

Each panel of snapshots (ties, missing and infinite values, constant columns, one-trader dates, gaps) goes through the
models of caps, windows and aggregates on a bare DuckDB, and through loops written from the seed's text.
"""

import argparse
import json
import time
from collections import Counter
from typing import Any

import duckdb

from tests.oracles import traders as oracle
from tests.warehouse.traders.panels import Panel, random_panel
from tests.warehouse.traders.project import make, snapshots, table

MODELS = ("gld_trader_feature_caps", "gld_traders_windows", "gld_traders_features")
LIMIT = 1e-9


def compare(con: duckdb.DuckDBPyConnection, panel: Panel) -> dict[str, tuple[float, int]]:
    """Return the largest difference and the number of cells of caps, windows and aggregates.

    A row or column that only one side has, or a value that only one side misses, counts as an infinite difference.
    """
    snapshots(con, panel)
    make(con, MODELS)
    caps = {
        row[0]: {"cap": row[1]}
        for row in con.execute("select snapshot_date, cap from gld_trader_feature_caps").fetchall()
    }
    windows = oracle.windows(panel)
    features: dict[Any, dict[str, float]] = {}
    for at in sorted({at for _, at in panel}):
        features |= {(address, at): row for address, row in oracle.aggregates(windows, at).items()}
    return {
        "caps": _difference(caps, {at: {"cap": cap} for at, cap in oracle.caps(panel).items()}),
        "windows": _difference(table(con, "gld_traders_windows"), windows),
        "aggregates": _difference(table(con, "gld_traders_features"), features),
    }


def _difference(found: dict[Any, dict[str, Any]], expected: dict[Any, dict[str, float]]) -> tuple[float, int]:
    if set(found) != set(expected):
        return float("inf"), 0
    worst, cells = 0.0, 0
    for key, row in expected.items():
        for name, value in row.items():
            got = found[key].get(name)
            worst = max(worst, float("inf") if got is None or got != got else abs(got - value))
            cells += 1
    return worst, cells


def main() -> None:
    """Compare and print one line a table, and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--panels", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.monotonic()
    worst: dict[str, float] = {}
    cells: Counter[str] = Counter()
    with duckdb.connect(config={"threads": 2}) as con:
        con.execute("set enable_progress_bar = false")
        for seed in range(arguments.seed, arguments.seed + arguments.panels):
            for name, (difference, count) in compare(con, random_panel(seed)).items():
                worst[name] = max(worst.get(name, 0.0), difference)
                cells[name] += count
    for name, difference in worst.items():
        print(f"{name:<12} {cells[name]:>12,} cells, largest difference {difference:.2e}")
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({"panels": arguments.panels, "largest": worst, "cells": cells, "seconds": seconds}))
    if max(worst.values()) > LIMIT:
        raise SystemExit(f"a cell differs by more than {LIMIT}")


if __name__ == "__main__":
    main()
