"""A snapshot as a Python object: SELECT in, DuckDB relations out, nothing else possible.

The two walls of :mod:`trademl.warehouse.query` stand here too: the statement is checked, and the connection behind it
may open the snapshot's files only and has its settings locked. Builds, pulls and scores that run meanwhile do not
disturb it, and it does not see them: open another connection for the next snapshot.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from trademl.config.home import MARKER, Home, find_home
from trademl.errors import HomeNotFound, QueryRefused
from trademl.lake.manifest import Manifest
from trademl.lake.reading import Snapshot
from trademl.warehouse.query import check_query, list_tables
from trademl.warehouse.read import read_snapshot

_HELP = "correct the statement; `trademl sql --tables` lists what there is"


class Connection:
    """The current snapshot, open for questions; made by ``trademl.connect()``.

    Use it in a ``with`` block, or close it. One connection serves one thread.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def manifest(self) -> Manifest:
        """What the snapshot consists of and where it came from."""
        return self._snapshot.manifest

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Return the rows of one SELECT as a relation: ``fetchall()``, ``df()``, ``pl()``, ``to_arrow_table()``, ....

        Args:
            query: one SELECT over published tables, such as ``select * from preds.equities``.
            params: values for ``?`` or ``$name`` in it.

        Raises:
            QueryRefused: it is anything else, or wrong.
        """
        con = self._snapshot.con
        check_query(con, query)
        try:
            return con.sql(query, params=params)
        except duckdb.Error as error:
            raise QueryRefused(" ".join(str(error).split("\n\nLINE ")[0].split()), remedy=_HELP) from error

    def tables(self) -> list[tuple[str, str, int | None, str, str]]:
        """Return what there is to query: name, kind, rows (None where they are not counted), grain, columns."""
        return list_tables(self._snapshot)

    def close(self) -> None:
        """Close the connection and let go of the snapshot."""
        self._snapshot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(home: str | Path | None = None, *, as_known_at: datetime | str | None = None) -> Connection:
    """Open the current snapshot of a home; see :func:`trademl.connect`."""
    if home is None:
        place = find_home()
    else:
        place = Home(Path(home).expanduser().resolve())
        if not (place.root / MARKER).is_file():
            raise HomeNotFound(
                f"{home} has no {MARKER}: it is no home", remedy="give the folder that `trademl init` made"
            )
    with read_snapshot(place, as_known_at) as snapshot:
        return Connection(snapshot.guarded_copy())
