"""Running a stranger's SQL on a snapshot: one SELECT over published tables, and nothing else.

Two independent walls. DuckDB's own parser turns the text into a tree, and every node of it must be on a short list: one
SELECT, published tables, table functions that touch no file, no function that reads or changes the session. Behind it,
the connection itself may open the snapshot's files only and its settings are locked (see :mod:`trademl.lake.reading`),
so a hole in the first wall leads nowhere.
"""

import difflib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from trademl.errors import QueryRefused
from trademl.lake.export import VIEW_SCHEMAS
from trademl.lake.files import commit_file, temporary_beside
from trademl.lake.reading import Snapshot
from trademl.schema import BATCHES

MAX_SQL_CHARACTERS = 200_000
_CHUNK_ROWS = 4096
_INSTEAD = "write one SELECT over the snapshot; `trademl sql --tables` lists what there is"

_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_SOURCES = {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT", "SHOW_REF"}
_PARTS = ("_MODIFIER", "_TYPE_INFO")
_TABLE_FUNCTIONS = {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
_INFORMATION = {"tables", "columns", "schemata"}
# These depend on the moment or on chance but read and change nothing else.
_HARMLESS = {
    *("current_date", "current_time", "current_timestamp", "current_localtime", "current_localtimestamp"),
    *("get_current_time", "get_current_timestamp", "now", "today", "transaction_timestamp", "random", "uuid"),
    *("uuidv4", "uuidv7", "gen_random_uuid", "error", "current_database", "current_schema", "current_schemas"),
}
_REFUSED_FUNCTIONS = {
    *("getenv", "current_setting", "set_config", "getvariable", "current_query", "query", "query_table"),
    *("write_log", "nextval", "currval", "setval", "setseed", "sleep_ms", "sleep", "pg_sleep", "add_parquet_key"),
    *("json_execute_serialized_sql", "json_serialize_plan", "pg_get_viewdef", "pg_get_constraintdef"),
    *("format_type", "which_secret", "glob", "sniff_csv"),
}
_REFUSED_PREFIXES = ("read_", "parquet_", "duckdb_", "pragma_", "copy_", "write_", "arrow_")


@dataclass(frozen=True)
class QueryStream:
    """A running query: column names, their DuckDB types, and the rows in chunks."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    chunks: Iterator[list[tuple[Any, ...]]]


@dataclass(frozen=True)
class QueryResult:
    """A finished query; ``truncated`` says that there were more rows than the limit."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool = False


def check_query(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse ``sql`` unless it is one SELECT over published tables.

    Raises:
        QueryRefused: saying which part is refused and why.
    """
    if len(sql) > MAX_SQL_CHARACTERS:
        raise QueryRefused(
            f"the statement has {len(sql)} characters, the limit is {MAX_SQL_CHARACTERS}", remedy=_INSTEAD
        )
    try:
        statements = con.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryRefused(f"not SQL that DuckDB reads: {_first_lines(error)}", remedy=_INSTEAD) from error
    kind = statements[0].type if len(statements) == 1 else duckdb.StatementType.MULTI
    if kind == duckdb.StatementType.MULTI:
        found = max(2, len(statements)) if statements else 0
        raise QueryRefused(
            f"{found} statements were given, exactly one SELECT may run",
            remedy=f"{_INSTEAD}; in PIVOT list the values, as in `on label in ('fwd_1d', 'fwd_5d')`",
        )
    if kind != duckdb.StatementType.SELECT:
        raise QueryRefused(f"a {kind.name} statement is refused: only SELECT may run on a snapshot", remedy=_INSTEAD)
    _check_tree(_parse(con, sql))


@contextmanager
def stream_query(
    snapshot: Snapshot,
    sql: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    timeout: float | None = None,
    memory_limit: str | None = None,
) -> Iterator[QueryStream]:
    """Check and run ``sql``, giving rows as they come.

    Args:
        snapshot: where to run; if it is not guarded, a guarded copy is opened for this query.
        sql: one SELECT statement.
        params: values for ``?`` or ``$name`` in it.
        timeout: seconds after which the query is stopped; None means never.
        memory_limit: DuckDB's limit for the guarded copy, such as ``2GB``.

    Raises:
        QueryRefused: the statement may not run, is wrong, or went over a limit.
    """
    with ExitStack() as resources:
        safe = snapshot
        if not snapshot.guarded:
            safe = resources.enter_context(snapshot.guarded_copy(memory_limit=memory_limit))
        check_query(safe.con, sql)
        _start_timer(resources, safe.con, timeout)
        with _explained(safe, timeout):
            cursor = safe.con.execute(sql, params)
            columns = tuple(_distinct([column[0] for column in cursor.description]))
            types = tuple(str(column[1]) for column in cursor.description)
        yield QueryStream(columns, types, _chunks(safe, timeout))


def run_query(
    snapshot: Snapshot,
    sql: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    timeout: float | None = None,
) -> QueryResult:
    """Check and run ``sql`` and return its rows, at most ``limit`` of them.

    Raises:
        QueryRefused: as :func:`stream_query`.
    """
    rows: list[tuple[Any, ...]] = []
    with stream_query(snapshot, sql, params, timeout=timeout) as stream:
        for chunk in stream.chunks:
            rows.extend(chunk)
            if limit is not None and len(rows) > limit:
                break
    truncated = limit is not None and len(rows) > limit
    return QueryResult(stream.columns, stream.types, rows[:limit] if truncated else rows, truncated)


def write_parquet(
    snapshot: Snapshot,
    sql: str,
    path: Path,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    timeout: float | None = None,
) -> int:
    """Check ``sql`` and write its rows to ``path`` as parquet, whole or not at all; return how many.

    Raises:
        QueryRefused: as :func:`stream_query`, or the folder of ``path`` is missing.
    """
    target = path.expanduser().resolve()
    if not target.parent.is_dir():
        raise QueryRefused(f"no folder {target.parent} to write into", remedy="give a path in an existing folder")
    if target.is_relative_to(snapshot.layout.root.resolve()):
        raise QueryRefused(f"{target} is inside the lake, which only trademl writes", remedy="write somewhere else")
    temporary = temporary_beside(target)
    try:
        with snapshot.guarded_copy(writable=[temporary]) as safe, ExitStack() as resources:
            check_query(safe.con, sql)
            # DuckDB puts the text inside another statement here, so it is checked again as it goes there.
            text = _without_semicolons(sql)
            check_query(safe.con, text)
            _start_timer(resources, safe.con, timeout)
            with _explained(safe, timeout):
                rows = safe.con.sql(text, params=params)
                if limit is not None:
                    rows = rows.limit(limit)
                # DuckDB's own temporary name is not among the files that this connection may write.
                rows.write_parquet(str(temporary), compression="zstd", use_tmp_file=False)
                count: int = safe.con.read_parquet(str(temporary)).count("*").fetchall()[0][0]
        commit_file(temporary, target, 0o644)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def list_tables(snapshot: Snapshot) -> list[tuple[str, str, int | None, str, str]]:
    """Return what there is to query: name, kind, rows, grain, columns with their types.

    ``rows`` is None for a view, and for the batches of a device, whose manifest does not count them.
    """
    manifest = snapshot.manifest
    listed: list[tuple[str, str, int | None, str, str]] = []
    for name, table in manifest.tables.items():
        listed.append((name, "table", table.rows, ", ".join(table.grain), _columns(table.columns)))
    for name in snapshot.batches:
        batch = BATCHES.get(name)
        if batch is not None:
            rows = sum(file.rows for file in manifest.batches[name]) if name in manifest.batches else None
            listed.append((name, "batches", rows, ", ".join(batch.grain), _columns(batch.columns)))
    listed += [(name, "view", None, "", _columns(view.columns)) for name, view in manifest.views.items()]
    return sorted(listed, key=lambda row: (VIEW_SCHEMAS.index(row[0].partition(".")[0]), row[0]))


def _columns(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


def _without_semicolons(sql: str) -> str:
    """Return the one statement in ``sql`` without semicolons before it, or semicolons and comments after it."""
    data = sql.encode()
    start, end = 0, len(data)
    begun = False
    # DuckDB counts bytes; a token that starts with a semicolon cannot be a string, a name or a comment.
    for offset, _ in duckdb.tokenize(sql):
        semicolon = data[offset : offset + 1] == b";"
        if semicolon and begun:
            end = offset
            break
        if not semicolon and not begun:
            begun, start = True, offset
    return data[start:end].decode() + "\n"


def _parse(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    try:
        text = con.execute("select json_serialize_sql(?)", [sql]).fetchall()[0][0]
        tree = json.loads(text)
    except (duckdb.Error, RecursionError) as error:
        raise QueryRefused(f"the statement cannot be checked: {_first_lines(error)}", remedy=_INSTEAD) from error
    if tree.get("error", True):
        raise QueryRefused(f"the statement cannot be checked: {tree.get('error_message')}", remedy=_INSTEAD)
    return tree["statements"]


def _check_tree(tree: Any) -> None:
    nodes: list[dict[str, Any]] = []
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            nodes.append(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    local = {entry["key"].lower() for node in nodes if "cte_map" in node for entry in node["cte_map"].get("map", [])}
    local |= {str(node["cte_name"]).lower() for node in nodes if node.get("cte_name")}
    for node in nodes:
        kind = node.get("type")
        if "function_name" in node:
            _check_function(str(node["function_name"]).lower())
        if not isinstance(kind, str) or "class" in node or "null_order" in node or kind.endswith(_PARTS):
            continue
        if kind.endswith("_NODE"):
            if kind not in _NODES:
                raise QueryRefused(f"{_spoken(kind)} in the statement is refused: it must only read", remedy=_INSTEAD)
        elif kind not in _SOURCES:
            raise QueryRefused(f"{_spoken(kind)} as a source of rows is refused", remedy=_INSTEAD)
        elif kind == "BASE_TABLE":
            _check_table(node, local)
        elif kind == "TABLE_FUNCTION":
            _check_table_function(node)
        elif kind == "SHOW_REF" and not node.get("query"):
            raise QueryRefused("SHOW is refused: it reads the session", remedy=_INSTEAD)


def _check_table(node: Mapping[str, Any], local: set[str]) -> None:
    catalog = str(node.get("catalog_name") or "").lower()
    schema = str(node.get("schema_name") or "").lower()
    name = str(node.get("table_name") or "").lower()
    if not schema and not catalog and name in local:
        return
    if catalog in ("", "warehouse") and (
        schema in VIEW_SCHEMAS or (schema == "information_schema" and name in _INFORMATION)
    ):
        return
    asked = ".".join(part for part in (catalog, schema, name) if part)
    if schema or catalog:
        reason = (
            f"published are {', '.join(VIEW_SCHEMAS)} and, of information_schema, {', '.join(sorted(_INFORMATION))}"
        )
    else:
        reason = "a table needs its schema, as in gold.equities_features; files and Python objects cannot be read"
    raise QueryRefused(f"the table {asked!r} is refused: {reason}", remedy=_INSTEAD)


def _check_table_function(node: Mapping[str, Any]) -> None:
    name = str((node.get("function") or {}).get("function_name", "")).lower()
    if name not in _TABLE_FUNCTIONS:
        raise QueryRefused(
            f"the table function {name or 'without a name'} is refused: it could read outside the snapshot "
            f"(allowed: {', '.join(sorted(_TABLE_FUNCTIONS))})",
            remedy=_INSTEAD,
        )


def _check_function(name: str) -> None:
    if name in _TABLE_FUNCTIONS or name in _HARMLESS:
        return
    if name in _REFUSED_FUNCTIONS or name.startswith(_REFUSED_PREFIXES) or name in _volatile_functions():
        raise QueryRefused(
            f"the function {name} is refused: it reads or changes something other than its arguments", remedy=_INSTEAD
        )


@lru_cache(maxsize=1)
def _volatile_functions() -> frozenset[str]:
    """Return the functions that this version of DuckDB itself says depend on more than their arguments."""
    with duckdb.connect() as con:
        rows = con.execute(
            "select distinct function_name from duckdb_functions() where has_side_effects or stability <> 'CONSISTENT'"
        ).fetchall()
    return frozenset(row[0].lower() for row in rows)


def _start_timer(resources: ExitStack, con: duckdb.DuckDBPyConnection, timeout: float | None) -> None:
    if timeout is not None:
        timer = threading.Timer(timeout, con.interrupt)
        timer.daemon = True
        timer.start()
        resources.callback(timer.cancel)


def _chunks(snapshot: Snapshot, timeout: float | None) -> Iterator[list[tuple[Any, ...]]]:
    while True:
        with _explained(snapshot, timeout):
            rows = snapshot.con.fetchmany(_CHUNK_ROWS)
        if not rows:
            return
        yield rows


@contextmanager
def _explained(snapshot: Snapshot, timeout: float | None) -> Iterator[None]:
    """Turn DuckDB's errors into refusals that say what to do."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise QueryRefused(
            f"the query was stopped after {timeout:g} seconds" if timeout else "the query was interrupted",
            remedy="read fewer rows or columns, or allow more time with --timeout",
        ) from error
    except duckdb.OutOfMemoryException as error:
        raise QueryRefused(
            f"the query needs more memory than it may use: {_first_lines(error)}",
            remedy="read fewer rows or columns, or aggregate first",
        ) from error
    except duckdb.CatalogException as error:
        raise QueryRefused(_first_lines(error), remedy=_nearest(snapshot, str(error))) from error
    except duckdb.Error as error:
        zoned = "pytz" in str(error)
        remedy = "cast it, as in now()::timestamp" if zoned else "correct the statement; `trademl sql --tables` helps"
        raise QueryRefused(_first_lines(error), remedy=remedy) from error


def _nearest(snapshot: Snapshot, message: str) -> str:
    published = [*snapshot.manifest.tables, *snapshot.manifest.views, *snapshot.batches]
    names = {name.partition(".")[2]: name for name in published}
    words = [word.strip("\"'!,.") for word in message.split("\n")[0].split()]
    for word in words[3:]:
        near = difflib.get_close_matches(word.rpartition(".")[2], names, n=1, cutoff=0.75)
        if near and "_" in word:
            return f"did you mean {names[near[0]]}? `trademl sql --tables` lists what there is"
    return "`trademl sql --tables` lists what there is"


def _distinct(names: Sequence[str]) -> list[str]:
    """Make repeated column names differ: a, a_1, a_2."""
    seen: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 0
        while candidate in seen:
            number += 1
            candidate = f"{name}_{number}"
        seen.add(candidate)
        result.append(candidate)
    return result


def _first_lines(error: BaseException) -> str:
    return " ".join(str(error).split("\n\nLINE ")[0].split())


def _spoken(kind: str) -> str:
    return kind.removesuffix("_QUERY_NODE").removesuffix("_NODE").replace("_", " ")
