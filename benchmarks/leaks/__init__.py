"""The leaks that benchmarks/planted_leaks.py plants, each with the check that must name it.

A leak changes a private copy of the snapshot (SQL), the matrix on its way to the fit, or the splits. Plants are
careful: whoever leaks tomorrow's price into a feature also ranks it anew, so that no side effect gives it away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb

from trademl.training.dataset import TrainingData
from trademl.validation.splits import Split

LABEL = "fwd_5d"
OF_LABEL = f"label = '{LABEL}'"
FEATURES = "gold.equities_features"
LABELS = "gold.equities_labels"
TRAINING = "gold.equities_training"
FOLDS, TEST_FOLDS, EMBARGO = 8, 2, 10
LAST = "(select max(date) from silver.equity_bars)"
SURVIVORS = f"(select symbol from silver.equity_bars where date = {LAST})"


@dataclass(frozen=True)
class Leak:
    """One way to leak, and the check that must refuse it.

    Attributes:
        tables: relations of the snapshot that become tables of the copy, for ``sql`` to change.
        sql: statements that plant it.
        columns: features that the run uses besides the ranks.
        matrix: changes what is fitted.
        splits: makes the splits instead of the product's splitter.
    """

    name: str
    check: str
    tables: tuple[str, ...] = ()
    sql: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    matrix: Callable[[TrainingData], TrainingData] | None = None
    splits: Callable[[TrainingData], list[Split]] | None = None


def own(con: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> None:
    """Turn views of the private snapshot into tables, those that others need last."""
    for name in tables:
        con.execute(f"create table main_copy as from {name}")
        con.execute(f"drop view {name}")
        con.execute(f"create table {name} as from main_copy")
        con.execute("drop table main_copy")
