"""The journal: the feature vectors that a device scored, exactly as its model got them.

One immutable parquet file per session and release. It is evidence, and the server can compute the same vectors again
from its own data and compare (``trademl edge verify``). A device that computes other numbers from the same release does
not overwrite what it served before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import commit_file, temporary_beside
from trademl.clock import sql_utc
from trademl.errors import ArtifactError, TripwireError
from trademl.lake.layout import Layout
from trademl.lake.names import identifier, quoted

FACTS = ("symbol", "yhat", "as_of", "run_id", "release", "scored_at")
"""Columns beside the features; no feature may have such a name."""

_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})_(\d{8})\.parquet")


@dataclass(frozen=True, eq=False)
class Journal:
    """The vectors of one scoring.

    Attributes:
        sleeve, as_of, run_id, release: what was scored, with which model, from which release.
        scored_at: when (UTC, naive).
        symbols: one per row, in order.
        feature_names: the columns of ``X``, in the model's order.
        X: float32, shape (symbols, features), NaN where missing.
        yhat: the scores of the rows.
    """

    sleeve: str
    as_of: date
    run_id: str
    release: int
    scored_at: datetime
    symbols: tuple[str, ...]
    feature_names: tuple[str, ...]
    X: NDArray[np.float32]
    yhat: NDArray[np.float64]

    def same_numbers(self, other: "Journal") -> bool:
        """Tell whether both hold the same rows, features and scores, bit for bit, of the same model."""
        return (
            (self.run_id, self.symbols, self.feature_names) == (other.run_id, other.symbols, other.feature_names)
            and np.array_equal(self.X, other.X, equal_nan=True)
            and np.array_equal(np.signbit(self.X), np.signbit(other.X))
            and self.yhat.tobytes() == other.yhat.tobytes()
        )


def journal_folder(layout: Layout, sleeve: str) -> Path:
    """Return where the journals of a sleeve lie."""
    return layout.root / "journal" / sleeve


def write_journal(layout: Layout, journal: Journal) -> Path:
    """Write ``lake/journal/<sleeve>/<date>_<release>.parquet``; one with the same numbers stays as it is.

    Raises:
        ArtifactError: a feature has the name of another column.
        TripwireError: there is one with other numbers: this device does not compute the same twice.
    """
    path = journal_folder(layout, journal.sleeve) / f"{journal.as_of}_{journal.release:08d}.parquet"
    taken = set(FACTS) & set(journal.feature_names)
    if taken:
        raise ArtifactError(
            f"{sorted(taken)[0]} is a feature and a column of the journal", remedy=f"name no feature {', '.join(FACTS)}"
        )
    if path.exists():
        if not journal.same_numbers(read_journal(path)):
            raise TripwireError(
                f"{path} has other numbers for {journal.as_of} from the same release {journal.release}: this device "
                "does not compute the same twice; nothing was written",
                remedy="run `trademl lake verify`; if the release is whole, do not trust this device's memory or disk",
            )
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        _write(temporary, journal)
        commit_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_journal(path: Path) -> Journal:
    """Read one journal.

    Raises:
        ArtifactError: there is none, or the file is none.
    """
    name = _NAME.fullmatch(path.name)
    if name is None or not path.is_file():
        raise ArtifactError(
            f"no journal {path}", remedy="give a file lake/journal/<sleeve>/<date>_<release>.parquet of a device"
        )
    try:
        with duckdb.connect() as con:
            source = f"read_parquet({quoted(str(path))}, file_row_number = true)"
            columns = [row[0] for row in con.execute(f"describe select * from {source}").fetchall()]
            features = [column for column in columns if column not in (*FACTS, "file_row_number")]
            facts = con.execute(
                f"select distinct as_of::date, run_id::varchar, release::integer, scored_at::timestamp from {source}"
            ).fetchall()
            listed = ", ".join(f"{identifier(column)}::float" for column in features)
            rows = con.execute(
                f"select symbol::varchar, yhat::double, {listed or 'null'} from {source} order by file_row_number"
            ).fetchall()
    except duckdb.Error as error:
        raise ArtifactError(
            f"{path} is not a journal: {str(error).splitlines()[0]}", remedy="copy it again from the device"
        ) from error
    if len(facts) != 1 or None in facts[0] or (facts[0][0].isoformat(), facts[0][2]) != (name[1], int(name[2])):
        raise ArtifactError(
            f"{path} does not hold the one session and release of its name", remedy="copy it again from the device"
        )
    X = np.array([row[2 : 2 + len(features)] for row in rows], dtype=np.float32).reshape(len(rows), len(features))
    return Journal(
        sleeve=path.parent.name,
        as_of=facts[0][0],
        run_id=facts[0][1],
        release=facts[0][2],
        scored_at=facts[0][3],
        symbols=tuple(row[0] for row in rows),
        feature_names=tuple(features),
        X=X,
        yhat=np.array([row[1] for row in rows], dtype=np.float64),
    )


def find_journals(place: Path) -> Sequence[Path]:
    """Return the journal ``place``, or all journals in the folder ``place``, oldest first.

    Raises:
        ArtifactError: there is none.
    """
    found = (
        [place] if place.is_file() else sorted(path for path in place.glob("*.parquet") if _NAME.fullmatch(path.name))
    )
    if not found:
        raise ArtifactError(
            f"no journal in {place}", remedy="copy lake/journal/<sleeve>/ from the device, and give it with --journal"
        )
    return found


def _write(path: Path, journal: Journal) -> None:
    columns = {
        "symbol": ("varchar", list(journal.symbols)),
        **{name: ("float", journal.X[:, place].tolist()) for place, name in enumerate(journal.feature_names)},
        "yhat": ("double", journal.yhat.tolist()),
    }
    # One list per column, unnested side by side, keeps the rows' order and needs nothing but DuckDB.
    lists = ", ".join(
        f"unnest(${place}::{kind}[]) as {identifier(name)}"
        for place, (name, (kind, _)) in enumerate(columns.items(), 1)
    )
    stamp = sql_utc(journal.scored_at).isoformat(" ")
    facts = f"date '{journal.as_of}' as as_of, {quoted(journal.run_id)} as run_id, "
    facts += f"{journal.release}::integer as release, timestamp '{stamp}' as scored_at"
    with duckdb.connect() as con:
        con.execute("set threads = 1")
        con.execute(
            f"create table journal as select *, {facts} from (select {lists})",
            [values for _, values in columns.values()],
        )
        con.execute(f"copy journal to {quoted(str(path))} (format parquet, compression zstd)")
