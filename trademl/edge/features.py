"""Features on a device: the published SQL over the published bars, in an in-memory DuckDB.

A release carries the statements (``sql/features.json``), dbt's compilation of the very models that built gold, and the
bars they read. One session is computed: its features are a function of the bars before it alone, so they equal
the server's bit for bit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Self

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.errors import DataGateError, ModelError, ReleaseError
from trademl.lake.layout import Layout
from trademl.lake.manifest import Manifest
from trademl.lake.names import identifier, qualified, quoted

BARS = "silver.equity_bar_window"
MARKET = "silver.equity_market"
FEATURES = "gold.equities_features"
REGIME = "gold.equities_regime"
_VERSIONS = "work.equity_bar_versions"
_NEEDED = "work.needed_bars"
_SHOWN = 5
_PLAIN_STATEMENT = 50_000
_AGAIN = "pull a release that this version of trademl published"


@dataclass(frozen=True)
class Step:
    """One statement: ``sql`` computes the rows of ``relation``; ``append``: they follow the published earlier ones."""

    relation: str
    sql: str
    append: bool


@dataclass(frozen=True)
class FeatureSql:
    """What a device runs: the statements in order. The same from day to day, so that a device has it already.

    Attributes:
        lookback: how many sessions before it the features of a session read.
        whole: the released bars are all there are: nothing lies before the first of them.
        steps: the statements.
        table: the table that has the session's universe, and every feature that ``others`` does not list.
        others: further tables, each with the model's features that lie in it.
    """

    lookback: int
    whole: bool
    steps: tuple[Step, ...]
    table: str = FEATURES
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return the document that a release carries as ``sql/features.json``."""
        document = {
            "lookback": self.lookback,
            "whole": self.whole,
            "steps": [asdict(step) for step in self.steps],
            # Left out where all features lie in the table that a release always has.
            **({"table": self.table} if self.table != FEATURES else {}),
            **({"others": self.others} if self.others else {}),
        }
        return (json.dumps(document, indent=0) + "\n").encode()

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            ReleaseError: it is something else.
        """
        try:
            document = json.loads(raw.decode())
            steps = [Step(str(one["relation"]), str(one["sql"]), bool(one["append"])) for one in document["steps"]]
            others = {str(table): tuple(map(str, names)) for table, names in document.get("others", {}).items()}
            table = str(document.get("table", FEATURES))
            return cls(int(document["lookback"]), bool(document["whole"]), tuple(steps), table, others)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ReleaseError(f"sql/features.json is no list of steps: {error!r}", remedy=_AGAIN) from error


def compute_features(
    con: duckdb.DuckDBPyConnection, sql: FeatureSql, as_of: date, names: Sequence[str]
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Compute session ``as_of`` on ``con``, a private connection to a release; return symbols and features.

    Symbols are the universe of the session in order; features have shape (symbols, names), NaN for NULL. Afterwards
    the feature tables of the statements and ``gold.equities_regime`` exist on ``con``.

    Raises:
        DataGateError: the release has no bars of that session, too few sessions before it, or no universe on it.
        ModelError: a feature is not among the computed ones.
        ReleaseError: a statement does not run over the release's tables.
    """
    _require_bars(con, sql, as_of)
    try:
        con.execute("create schema if not exists warehouse.work")
        # A literal, by which whole files are skipped: the statements' own bound is known only while they run.
        needed = f"date >= date '{_first_needed(con, sql, as_of)}' and date <= date '{as_of}'"
        con.execute(f"create or replace table {_NEEDED} as select * from {BARS} where {needed}")
        con.execute(f"create or replace view {_VERSIONS} as select * exclude (sector, is_member) from {_NEEDED}")
        con.execute(
            "create or replace view silver.equity_bars as "
            f"select symbol, date, sector, is_member from {_NEEDED} where is_latest"
        )
        con.execute(f"set variable first_session = date '{as_of.isoformat()}'")
        for step in sql.steps:
            _run(con, step, as_of)
    except duckdb.Error as error:
        raise ReleaseError(
            f"the features of {as_of} cannot be computed from this release: {str(error).splitlines()[0]}", remedy=_AGAIN
        ) from error
    return read_matrix(con, names, as_of, table=sql.table, others=sql.others)


def bound_memory(con: duckdb.DuckDBPyConnection, layout: Layout, manifest: Manifest, sql: FeatureSql) -> None:
    """Hold DuckDB to one thread and to what the statements need of the released bars; what is more spills to the lake.

    40 MB and 250 bytes a bar: measured with 500 symbols to be no slower than without a limit. The plan of a wide table
    takes more than its rows: for each thousand characters of the longest statement beyond 50,000 another 1.5 MB
    (Alpha158, 119,000 characters: 130 MB are enough for 500 symbols, 167 are given).
    """
    table = manifest.tables[BARS]
    bars = table.rows * min(1.0, sql.lookback / max(1, len(table.files)))
    longest = max((len(step.sql) for step in sql.steps), default=0)
    plan = 1.5 * max(0, longest - _PLAIN_STATEMENT) / 1000
    spill = layout.root / ".spill"
    con.execute("set threads = 1")
    con.execute(f"set temp_directory = {quoted(str(spill))}")
    con.execute(f"set memory_limit = '{40 + int(bars * 250 / 1e6 + plan)}MB'")


def read_matrix(
    con: duckdb.DuckDBPyConnection,
    names: Sequence[str],
    as_of: date,
    *,
    table: str = FEATURES,
    others: Mapping[str, Sequence[str]] | None = None,
    entity: str = "symbol",
    model: str = "the model",
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the universe of ``as_of`` in order of name, and its features: float32, (entities, names), NaN for NULL.

    The one way in which a model's features are read to be scored, on servers and devices.

    Args:
        con: a connection to a snapshot, or to a release with computed features.
        names: the features; each is the name of a column, as :func:`column_in` reads it. One that is written
            ``table.column`` lies in that table, whatever ``others`` says.
        as_of: the session.
        table: the table with the universe and with every feature that nothing else is said of.
        others: further tables, each with the features that lie in it.
        entity: the entity column of all of them.
        model: for messages.

    Raises:
        ModelError: a table lacks a feature.
        DataGateError: there is no row in the universe on that session, or another table lacks one of them.
        duckdb.CatalogException: there is no such table.
    """
    source = feature_source(names, table, others or {}, entity)
    for relation in source.tables:
        wanted = [column_in(name, relation) for name in names if source.place[name] == relation]
        _require_columns(con, relation, wanted, len(names), model)
    columns = ", ".join(f"cast({source.columns[name]} as float)" for name in names)
    chosen, own = f"{source.relation} where own.date = $day and own.in_universe", f"own.{identifier(entity)}"
    found = con.execute(f"select {own}, {columns} from {chosen} order by {own}", {"day": as_of}).fetchall()
    if not found:
        last = con.execute(f"select max(date) from {qualified(table)} where in_universe").fetchall()[0][0]
        raise DataGateError(
            f"{table} has no row in the universe on {as_of}; its last session is {last or 'none'}",
            remedy="score a session that it has, or land later bars and `trademl build`, or pull a newer release",
        )
    if len(source.tables) > 1:
        missing = con.execute(f"select {source.absent} from {chosen}", {"day": as_of}).fetchall()[0][0]
        if missing or len({row[0] for row in found}) < len(found):
            raise DataGateError(
                f"{', '.join(source.tables[1:])} has not one row for each of the {len(found)} of {table} on {as_of}",
                remedy="run `trademl build`, so that all feature tables are of one build, or pull a newer release",
            )
    X = np.array([row[1:] for row in found], dtype=np.float32).reshape(len(found), len(names))
    return tuple(str(row[0]) for row in found), X


@dataclass(frozen=True)
class FeatureSource:
    """How a model's features are read.

    Attributes:
        tables: all of them, the one with the universe first.
        place: the table of each feature.
        columns: the SQL that reads each.
        relation: what follows FROM: the table with the universe as ``own``, the others joined to it.
        absent: an aggregate that counts the rows that another table lacks.
    """

    tables: tuple[str, ...]
    place: Mapping[str, str]
    columns: Mapping[str, str]
    relation: str
    absent: str


def column_in(name: str, table: str) -> str:
    """Return the column of ``table`` that a model calls ``name``.

    A model that reads two columns of one name, from two tables, has the table's name before the second one's.

    >>> column_in("beta_60d", "gold.equities_risk"), column_in("equities_risk__beta_60d", "gold.equities_risk")
    ('beta_60d', 'beta_60d')
    """
    bare = table.rpartition(".")[2]
    return name.removeprefix(f"{bare}__").rpartition(".")[2]


def feature_source(
    names: Sequence[str], table: str, others: Mapping[str, Sequence[str]], entity: str = "symbol"
) -> FeatureSource:
    """Return how ``names`` are read; the arguments are those of :func:`read_matrix`."""
    listed = {name: other for other, has in others.items() for name in has}
    schema, column = table.partition(".")[0], identifier(entity)
    place = {name: listed.get(name, f"{schema}.{name.rpartition('.')[0]}" if "." in name else table) for name in names}
    tables = list(dict.fromkeys([table, *place.values()]))
    alias = {relation: f"features_{number}" if number else "own" for number, relation in enumerate(tables)}
    joins = "".join(
        f" left join {qualified(other)} as {alias[other]} "
        f"on own.{column} = {alias[other]}.{column} and own.date = {alias[other]}.date"
        for other in tables[1:]
    )
    return FeatureSource(
        tables=tuple(tables),
        place=place,
        columns={name: f"{alias[place[name]]}.{identifier(column_in(name, place[name]))}" for name in names},
        relation=f"{qualified(table)} as own{joins}",
        absent=" + ".join(f"count_if({alias[other]}.{column} is null)" for other in tables[1:]) or "0",
    )


def _require_columns(
    con: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str], total: int, model: str
) -> None:
    present = {row[0] for row in con.execute(f"describe {qualified(table)}").fetchall()}
    missing = [name for name in columns if name not in present]
    if missing:
        listed = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise ModelError(
            f"{table} lacks {len(missing)} of the {total} features of {model}: {listed}",
            remedy="build the feature set that the model was trained on, or train on the present one",
        )


def _run(con: duckdb.DuckDBPyConnection, step: Step, as_of: date) -> None:
    name = f"warehouse.{qualified(step.relation)}"
    schema, table = step.relation.split(".")
    kinds = {
        row[0]
        for row in con.execute(
            "select table_type from information_schema.tables "
            "where table_catalog = 'warehouse' and table_schema = ? and table_name = ?",
            [schema, table],
        ).fetchall()
    }
    continued = step.append and bool(kinds)
    if continued:
        con.execute(f"create or replace temp table history as select * from {name} where date < $day", {"day": as_of})
    if kinds:
        con.execute(f"drop {'view' if 'VIEW' in kinds else 'table'} {name}")
    con.execute(f"create table {name} as {step.sql}")
    if continued:
        con.execute(f"insert into {name} by name select * from temp.history")


def first_session(con: duckdb.DuckDBPyConnection, sql: FeatureSql, earliest: date | None = None) -> date | None:
    """Return the first session whose whole lookback is among the released bars, None when there is none.

    ``earliest`` is the first date of the bars, where that is known already.
    """
    if earliest is None:
        earliest = con.execute(f"select min(date) from {BARS}").fetchall()[0][0]
    found: date | None = con.execute(
        "select min(date) from (select date from silver.calendar where date >= $day order by date offset $sessions)",
        {"day": earliest, "sessions": 0 if sql.whole else sql.lookback},
    ).fetchall()[0][0]
    return found


def _first_needed(con: duckdb.DuckDBPyConnection, sql: FeatureSql, as_of: date) -> date:
    found: date = con.execute(
        "select min(date) from "
        "(select date from silver.calendar where date <= $day order by date desc limit $sessions)",
        {"day": as_of, "sessions": sql.lookback + 1},
    ).fetchall()[0][0]
    return found


def _require_bars(con: duckdb.DuckDBPyConnection, sql: FeatureSql, as_of: date) -> None:
    earliest, last, bars = con.execute(
        f"select min(date), max(date), count(*) filter (where date = $day) from {BARS}", {"day": as_of}
    ).fetchall()[0]
    first = first_session(con, sql, earliest)
    if not bars or first is None or as_of < first:
        raise DataGateError(
            f"the release cannot score {as_of}: its bars end on {last or 'no date'}, and the first session that has "
            f"all the bars that features look back on is {first or 'none'}",
            remedy="score a session between the two, or pull a newer release",
        )
