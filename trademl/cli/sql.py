"""``trademl sql``: one SELECT over the current snapshot."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

import click

FORMATS = ("table", "csv", "json", "parquet")
TABLE_ROWS = 100


@click.command()
@click.argument("query", required=False)
@click.option(
    "--format", "style", type=click.Choice(FORMATS), default="table", show_default=True, help="How rows look."
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write here; needed for --format parquet."
)
@click.option("--as-known-at", metavar="TS", help="Read the warehouse built with `trademl build --as-known-at TS`.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"Rows to show at most; 0 means all.  [default: {TABLE_ROWS} in a table, else all]",
)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Stop the query after this many seconds.")
@click.option("--tables", is_flag=True, help="List tables and views with their grain, columns and rows.")
def sql(
    query: str | None,
    style: str,
    output: Path | None,
    as_known_at: str | None,
    limit: int | None,
    timeout: float | None,
    tables: bool,
) -> None:
    """Run one SELECT statement on the snapshot; `-` reads it from standard input.

    Published tables can be read (gold, silver, marts, preds, ops), also while a build runs. Anything but SELECT is
    refused.
    """
    from trademl.config.home import find_home
    from trademl.errors import QueryRefused
    from trademl.warehouse import query as queries
    from trademl.warehouse import rendering
    from trademl.warehouse.read import read_snapshot

    if tables == (query is not None):
        raise click.UsageError("give either a QUERY or --tables")
    if style == "parquet" and output is None:
        raise click.UsageError("--format parquet needs --output FILE")
    if limit is None and style == "table" and output is None:
        limit = TABLE_ROWS
    limit = limit or None
    with read_snapshot(find_home(), as_known_at) as snapshot:
        if tables:
            with _open(output) as out:
                rows = queries.list_tables(snapshot)
                names = ("table", "kind", "rows", "grain", "columns")
                if style == "json":
                    rendering.write_json(out, names, rows)
                elif style == "csv":
                    rendering.write_csv(out, names, rows)
                elif style == "table":
                    kinds = ("VARCHAR", "VARCHAR", "BIGINT", "VARCHAR", "VARCHAR")
                    rendering.write_table(out, names, kinds, rows, width=_width(out))
                else:
                    raise QueryRefused("--tables has no parquet form", remedy="use --format table, csv or json")
            return
        text = sys.stdin.read() if query == "-" else (query or "")
        if style == "parquet" and output is not None:
            count = queries.write_parquet(snapshot, text, output, limit=limit, timeout=timeout)
            click.echo(f"{count} rows in {output}", err=True)
            return
        with queries.stream_query(snapshot, text, timeout=timeout) as stream, _open(output) as out:
            found = rendering.flatten(stream.chunks)
            if style == "table":
                shown = list(found if limit is None else islice(found, limit + 1))
                more = limit is not None and len(shown) > limit
                rendering.write_table(out, stream.columns, stream.types, shown[:limit], width=_width(out), more=more)
            elif style == "csv":
                rendering.write_csv(out, stream.columns, islice(found, limit))
            else:
                rendering.write_json(out, stream.columns, islice(found, limit))


@contextmanager
def _open(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    from trademl.lake.files import commit_file, temporary_beside

    temporary = temporary_beside(output.resolve())
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        commit_file(temporary, output.resolve(), 0o644)
    finally:
        temporary.unlink(missing_ok=True)


def _width(out: TextIO) -> int | None:
    return shutil.get_terminal_size().columns if out.isatty() else None
