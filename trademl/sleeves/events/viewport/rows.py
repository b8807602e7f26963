"""Viewports as rows of ``preds.events``: one row per target and horizon, in an immutable batch; twice is once."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trademl.clock import Clock, sql_utc, utc_now
from trademl.lake.batches import write_rows
from trademl.lake.layout import Layout
from trademl.sleeves.events.viewport.document import REACH, RETRIEVAL_NUMBERS, Viewport

TABLE = "preds.events"
LABEL = "viewport"

_AS_THEY_ARE = (
    "level_id", "level_price", "direction", "distance", "distance_signed", "p_tradeable_2", "p_break", "p_bounce",
    "strength_signed", "strength_abs", "utility_score", "viewport_state", "stage", "pinned", "relevance",
)  # fmt: skip


def target_id(symbol: str, ts_ns: int, level_id: str) -> str:
    """Return the name of a target in ``preds.events``, unique over symbols and time.

    >>> target_id("SPY", 1700000000000000000, "PDH")
    'SPY:1700000000000000000:PDH'
    """
    return f"{symbol}:{ts_ns}:{level_id}"


def viewport_rows(viewport: Viewport, *, now: Clock = utc_now) -> Iterator[dict[str, Any]]:
    """Yield the rows of a viewport: for each target one per horizon."""
    stamp, moment = sql_utc(now()), viewport.moment
    ranks = rank_pct([target["utility_score"] for target in viewport.targets])
    for target, rank in zip(viewport.targets, ranks, strict=True):
        refused = viewport.refusals.get(target["level_id"], ())
        shared = {
            "event_id": target_id(moment.symbol, moment.ts_ns, target["level_id"]),
            "dt": moment.date,
            "model_id": viewport.model_id,
            "label": LABEL,
            "yhat": target["strength_signed"],
            "yhat_std": None,
            "prob_up": target["p_break"],
            "rank_pct": rank,
            "scored_at": stamp,
            "symbol": moment.symbol,
            "ts_ns": moment.ts_ns,
            "level_kind_name": viewport.kinds[target["level_id"]],
            "refused_by": ",".join(one.rule for one in refused),
            **{name: target[name] for name in _AS_THEY_ARE},
            **{f"retrieval_{name}": target["retrieval"][name] for name in RETRIEVAL_NUMBERS},
        }
        times = target["time_to_threshold"]
        for horizon in times["t1"]:
            yield {**shared, "horizon": int(horizon), **{family: times[family][horizon] for family in REACH}}


def write_viewport(layout: Layout, viewport: Viewport, *, now: Clock = utc_now) -> int:
    """Write a viewport as one batch of ``preds.events``; return its rows. Writing it again changes nothing."""
    rows = list(viewport_rows(viewport, now=now))
    write_rows(layout, TABLE, rows, now=now)
    return len(rows)


def rank_pct(values: list[float]) -> list[float]:
    """Return each value's average rank over their number, in (0, 1].

    >>> rank_pct([0.5, 0.0, 0.0, 2.0])
    [0.75, 0.375, 0.375, 1.0]
    """
    array = np.asarray(values, dtype=np.float64)
    below = (array[None, :] < array[:, None]).sum(axis=1)
    equal = (array[None, :] == array[:, None]).sum(axis=1)
    ranks: list[float] = ((below + (equal + 1) / 2) / max(len(array), 1)).tolist()
    return ranks
