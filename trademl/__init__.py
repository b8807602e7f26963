"""trademl: a SQL-first feature warehouse and governed training path for trading models."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from trademl.warehouse.connection import Connection

__version__ = "0.1.0"


def connect(home: "str | Path | None" = None, *, as_known_at: "datetime | str | None" = None) -> "Connection":
    """Open the current snapshot for SQL: SELECT only, in memory, on a server and on a device alike.

    >>> import trademl
    >>> with trademl.connect() as db:  # doctest: +SKIP
    ...     picks = db.sql("select * from preds.equities where dt = ?", ["2024-01-05"]).df()

    Nothing can be written through it, and no file but the snapshot's can be read. It stays as it is while builds, pulls
    and scores go on; open it again to see what they published.

    Args:
        home: the folder of a home; None means ``TRADEML_HOME``, else the nearest home upward.
        as_known_at: the warehouse that ``trademl build --as-known-at`` made for this instant; None means the present.

    Raises:
        HomeNotFound: there is no home.
        SnapshotError: there is no snapshot yet, or it does not verify.
    """
    from trademl.warehouse.connection import connect as open_connection

    return open_connection(home, as_known_at=as_known_at)
