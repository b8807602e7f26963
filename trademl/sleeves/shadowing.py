"""What shadow mode is in every sleeve: rows of ``preds.shadow``, and failures that stop nothing."""

from collections.abc import Iterable
from typing import Any

import duckdb

from trademl.errors import TrademlError

TABLE = "preds.shadow"

FAILURES = (TrademlError, duckdb.Error, ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What a challenger can come to grief of without stopping the champion; an interrupt still stops both."""


def reason_of(error: BaseException) -> str:
    """Return what went wrong in one line."""
    return error.message if isinstance(error, TrademlError) else f"{type(error).__name__}: {error}"


def shadow_rows(rows: Iterable[dict[str, Any]], sleeve: str, entity: str) -> list[dict[str, Any]]:
    """Return rows of a sleeve's prediction table, whose entity column is ``entity``, as rows of ``preds.shadow``."""
    return [
        {
            "sleeve": sleeve,
            "entity": row[entity],
            **{name: value for name, value in row.items() if name != entity},
        }
        for row in rows
    ]
