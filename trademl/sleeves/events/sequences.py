"""Sequence datasets: the bars before each event of a session, as arrays in one ``.npz`` file without pickle.

A sample is one event. Its sequence holds the last ``seq_len`` bars of the event's symbol and session, pre-market
included, that had ended, and were known, by t1; earlier places are padding. Bars are raw: open, high, low, close and
volume. The context of the event stands beside them, unscaled, with the level and the ATR that prices can be scaled by:
ATR in price is ``atr`` / 1e4 x the last close.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.config.home import Home
from trademl.errors import ConfigError, DataGateError
from trademl.lake.names import identifier
from trademl.lake.reading import Snapshot
from trademl.sleeves.events.feature_columns import CATEGORY_PREFIX
from trademl.warehouse.read import read_snapshot

BAR_FEATURES = ("open", "high", "low", "close", "volume")
"""Of a bar, in the order of X's last axis."""

CONTEXT = (
    "level_price",
    "atr",
    "direction_sign",
    "distance_signed",
    "attempt_index",
    "prior_touches",
    "bars_since_open",
    "is_first_15m",
)
"""Of an event, the first columns of ``static``; those of the kind of level follow."""

BREAK, BOUNCE, NEITHER = 1, 0, -1
"""Values of ``y_break``."""

MODE = 0o644


@dataclass(frozen=True)
class WrittenSequences:
    """What was written.

    Attributes:
        path: the file.
        samples: events in it. seq_len, features: of X. padded: samples with fewer bars than ``seq_len``.
        without_bars: events left out because no bar of their session had ended by t1.
    """

    path: Path
    samples: int
    seq_len: int
    features: int
    padded: int
    without_bars: int


def write_sequences(home: Home, session: date, seq_len: int, output: Path) -> WrittenSequences:
    """Write the samples of a session; the same snapshot gives the same bytes.

    Args:
        home: the home.
        session: whose events.
        seq_len: bars of a sample.
        output: the file; its name ends in ``.npz``.

    Raises:
        ConfigError: ``output`` has another ending, or ``seq_len`` is not positive.
        DataGateError: the session has no event with bars.
        SnapshotError: no build has finished yet.
    """
    if output.suffix != ".npz":
        raise ConfigError(f"--output {output} does not end in .npz", remedy="give a file such as sequences.npz")
    with read_snapshot(home) as snapshot:
        arrays, without = build_sequences(snapshot, session, seq_len)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomic(output, buffer.getvalue(), MODE)
    samples, length, features = arrays["X"].shape
    padded = int((arrays["mask"].sum(axis=1) < length).sum())
    return WrittenSequences(output, samples, length, features, padded, without)


def build_sequences(snapshot: Snapshot, session: date, seq_len: int) -> tuple[dict[str, NDArray[Any]], int]:
    """Return the arrays of a session's events by ts_ns and event_id, and how many events have no bars.

    Returns:
        ``X`` float32 (samples, seq_len, 5), oldest bar first, 0 where padded; ``mask`` bool (samples, seq_len), True
        where there is a bar; ``static`` float32 (samples, context), NaN where missing; ``y_break`` int8: 1 BREAK,
        0 BOUNCE, -1 otherwise; ``y_strength`` float32, ATR, NaN where not known; ``event_id`` str; ``ts_ns`` int64;
        ``seq_feature_names`` and ``static_feature_names`` str.

    Raises:
        ConfigError: ``seq_len`` is not positive.
        DataGateError: the session has no event with bars.
    """
    if seq_len < 1:
        raise ConfigError(f"seq_len={seq_len}: at least one bar is needed", remedy="give 1 or more; 60 is usual")
    con = snapshot.con
    try:
        names = static_columns([row[0] for row in con.execute("describe gold.events_features").fetchall()])
        events = con.execute(_events(names), {"session": session}).fetchnumpy()
        bars = con.execute(_BARS, {"session": session, "length": seq_len}).fetchnumpy()
    except duckdb.CatalogException as error:
        raise DataGateError("the snapshot has no events", remedy="run `trademl build`") from error
    count = len(events["event_id"])
    filled = np.asarray(bars["sample"], dtype=np.int64)
    place = seq_len - np.asarray(bars["age"], dtype=np.int64)
    whole = np.zeros((count, seq_len, len(BAR_FEATURES)), dtype=np.float32)
    mask = np.zeros((count, seq_len), dtype=bool)
    for number, name in enumerate(BAR_FEATURES):
        whole[filled, place, number] = _floats(bars[name])
    mask[filled, place] = True
    kept = mask.any(axis=1)
    if not kept.any():
        raise DataGateError(
            f"no event of {session} has bars that ended by its t1 ({count} events)",
            remedy='`trademl sql "select distinct date from gold.events_features order by date"` lists sessions',
        )
    outcome = np.asarray(np.ma.filled(events["outcome"], ""), dtype=object)
    broke = np.where(outcome == "BREAK", BREAK, np.where(outcome == "BOUNCE", BOUNCE, NEITHER))
    static = np.stack([_floats(events[name]) for name in names], axis=1)
    arrays: dict[str, NDArray[Any]] = {
        "X": whole[kept],
        "mask": mask[kept],
        "static": static[kept],
        "y_break": broke.astype(np.int8)[kept],
        "y_strength": _floats(events["strength_signed"])[kept],
        "event_id": np.array([str(name) for name in events["event_id"]], dtype=np.str_)[kept],
        "ts_ns": np.asarray(events["ts_ns"], dtype=np.int64)[kept],
        "seq_feature_names": np.array(BAR_FEATURES, dtype=np.str_),
        "static_feature_names": np.array(names, dtype=np.str_),
    }
    return arrays, int((~kept).sum())


def static_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns of ``static`` among those of gold.events_features, context first, then kinds of level."""
    kinds = [name for name in columns if name.startswith(CATEGORY_PREFIX) and name != f"{CATEGORY_PREFIX}name"]
    return [*(name for name in CONTEXT if name in columns), *kinds]


_SESSION = """
    select
        *,
        row_number() over (order by ts_ns, event_id) - 1 as sample
    from gold.events_features
    where date = $session
"""

# `ends_at`, not the start: a bar that began before t1 may end after it. A bar that became known later than it ended, by
# a correction say, is not what could be seen at t1 either.
_BARS = f"""
    with samples as ({_SESSION}),

    past as (
        select
            samples.sample,
            bars.open,
            bars.high,
            bars.low,
            bars.close,
            bars.volume,
            row_number() over (partition by samples.sample order by bars.ts desc) as age
        from samples
        join silver.intraday_bars as bars
            on
                bars.symbol = samples.symbol
                and bars.date = samples.date
                and bars.bar_minutes = samples.bar_minutes
                and epoch_ns(bars.ends_at) <= samples.ts_ns
                and epoch_ns(bars.known_at) <= samples.ts_ns
        where bars.date = $session
    )

    select *
    from past
    where age <= $length
    order by sample, age
"""


def _events(names: Sequence[str]) -> str:
    columns = ", ".join(f"cast(samples.{identifier(name)} as float) as {identifier(name)}" for name in names)
    return f"""
        with samples as ({_SESSION})

        select samples.event_id, samples.ts_ns, labels.outcome, labels.strength_signed, {columns}
        from samples
        left join gold.events_labels as labels on labels.event_id = samples.event_id
        order by samples.sample
    """


def _floats(column: Any) -> NDArray[np.float32]:
    return np.asarray(np.ma.filled(np.ma.asarray(column, dtype=np.float32), np.nan), dtype=np.float32)
