"""``trademl ingest``: land files, or what a vendor's API returns, in the lake."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from trademl.errors import IngestError

DATASETS = {
    "equities": "equity_bars",
    "reference": "reference",
    "membership": "membership",
    "series": "series",
    "trader-fills": "trader_fills",
    "trader-days": "trader_days",
}


@click.group()
def ingest() -> None:
    """Land rows as immutable parquet; bad rows are quarantined with file, line and reason, none is lost."""


def _file_options(command: Callable[..., None]) -> Callable[..., None]:
    options: list[Callable[..., Any]] = [
        click.argument("paths", nargs=-1, required=True),
        click.option("--map", "mapping", multiple=True, metavar="FIELD=COLUMN", help="Take FIELD from COLUMN."),
        click.option("--source", default="file", show_default=True, metavar="NAME", help="Vendor, kept on each row."),
        *_shared_options(),
        click.option("--date-format", metavar="FORMAT", help="Format of dates that are not ISO 8601: %m/%d/%Y."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _shared_options() -> list[Callable[..., Any]]:
    return [
        click.option("--known-at", metavar="TS|close", help="When the rows were known."),
        click.option("--calendar", default="XNYS", show_default=True, metavar="NAME", help="Exchange calendar."),
        click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
    ]


def _symbol_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--symbol", metavar="SYMBOL", help="The symbol of files without a symbol column.")(command)
    return click.option(
        "--symbol-from-name", metavar="REGEX", help="Find the symbol in each file's name; the one group is the symbol."
    )(command)


@ingest.command("equities")
@_file_options
@_symbol_options
def equities(**options: Any) -> None:
    """Land daily bars: symbol, date, open, high, low, close, volume[, dividend_amount, split_coefficient]."""
    _ingest_files("equities", **options)


@ingest.command("reference")
@_file_options
@_symbol_options
def reference(**options: Any) -> None:
    """Land sectors: symbol, sector[, name]. They have no publication date and count as always known."""
    _ingest_files("reference", **options)


@ingest.command("membership")
@_file_options
@_symbol_options
def membership(**options: Any) -> None:
    """Land index membership spells: symbol, start_date, end_date (empty while the spell lasts)."""
    _ingest_files("membership", **options)


@ingest.command("series")
@_file_options
@click.option("--name", metavar="NAME", help="The name of a series without a series column, as VIX.")
def series(**options: Any) -> None:
    """Land daily values of a named series: date, value[, series]."""
    _ingest_files("series", **options)


def _trader_options(command: Callable[..., None]) -> Callable[..., None]:
    options: list[Callable[..., Any]] = [
        click.argument("paths", nargs=-1, required=True),
        click.option("--venue", default="hyperliquid", show_default=True, metavar="NAME", help="Map of its files."),
        click.option("--map", "mapping", multiple=True, metavar="FIELD=COLUMN", help="Take FIELD from COLUMN."),
        click.option("--source", default="file", show_default=True, metavar="NAME", help="Vendor, kept on each row."),
        click.option("--known-at", metavar="TS|close", help="When the rows were known; close: when they were public."),
        click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@ingest.command("trader-fills")
@_trader_options
def trader_fills(**options: Any) -> None:
    """Land traders' fills, read by the venue's map: local times become UTC, fees dollars."""
    _ingest_files("trader-fills", calendar="XNYS", **options)


@ingest.command("trader-days")
@_trader_options
def trader_days(**options: Any) -> None:
    """Land traders' account-days: address, date, daily_pnl, n_trades[, win_rate, volume_usd, long_ratio, fees]."""
    _ingest_files("trader-days", calendar="XNYS", **options)


def _vendor_options(command: Callable[..., None]) -> Callable[..., None]:
    day = click.DateTime(formats=["%Y-%m-%d"])
    options: list[Callable[..., Any]] = [
        click.option("--symbols", required=True, metavar="A,B", help="Symbols, separated by commas."),
        click.option("--start", required=True, type=day, help="First date."),
        click.option("--end", type=day, help="Last date; today when left out."),
        *_shared_options(),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@ingest.command("alpaca")
@_vendor_options
@click.option("--feed", default="iex", show_default=True, help="iex (free) or sip (all exchanges).")
def alpaca(feed: str, **options: Any) -> None:
    """Fetch raw daily bars, splits and dividends from Alpaca (keys: APCA_API_KEY_ID, APCA_API_SECRET_KEY)."""
    from trademl.warehouse.sources.alpaca import AlpacaSource

    _ingest_vendor(AlpacaSource(feed), **options)


@ingest.command("yahoo")
@_vendor_options
def yahoo(**options: Any) -> None:
    """Fetch daily bars, splits and dividends from Yahoo Finance, turned back into raw prices."""
    from trademl.warehouse.sources.yahoo import YahooSource

    _ingest_vendor(YahooSource(), **options)


def _ingest_files(
    kind: str,
    paths: tuple[str, ...],
    mapping: tuple[str, ...],
    source: str,
    known_at: str | None,
    calendar: str,
    as_json: bool,
    date_format: str | None = None,
    symbol: str | None = None,
    symbol_from_name: str | None = None,
    name: str | None = None,
    venue: str | None = None,
) -> None:
    from trademl.config import find_home
    from trademl.schema import RAW
    from trademl.warehouse.ingest import ingest_files
    from trademl.warehouse.ingest.mapping import parse_map

    dataset = DATASETS[kind]
    report = ingest_files(
        find_home(),
        dataset,
        paths,
        mapping=parse_map(mapping, RAW[dataset]),
        source=source,
        known_at=known_at,
        calendar=calendar,
        name=name,
        symbol=symbol,
        symbol_from_name=symbol_from_name,
        date_format=date_format,
        venue=venue,
        progress=_show_progress,
    )
    _show(report, as_json)


def _ingest_vendor(
    source: Any,
    symbols: str,
    start: datetime,
    end: datetime | None,
    known_at: str | None,
    calendar: str,
    as_json: bool,
) -> None:
    from trademl.clock import utc_now
    from trademl.config import find_home
    from trademl.warehouse.sources.base import ingest_bars, parse_symbols

    last = utc_now().date() if end is None else end.date()
    report = ingest_bars(
        find_home(), source, parse_symbols(symbols), start.date(), last, known_at=known_at, calendar=calendar
    )
    _show(report, as_json)


def _show(report: Any, as_json: bool) -> None:
    click.echo(json.dumps(report.as_json(), indent=1) if as_json else report.as_text())
    if report.refused:
        raise IngestError(
            f"{len(report.refused)} of {len(report.files)} files could not be read: nothing of them landed",
            remedy="see the reasons above; they are in the quarantine too, and the other files have landed",
        )


def _show_progress(done: int, total: int, file: str) -> None:
    """Redraw one line on standard error when it is a terminal and there are files to wait for."""
    stream = sys.stderr
    if total < 2 or not stream.isatty():
        return
    stream.write(f"\r\x1b[K{done}/{total} {file[-60:]}" + ("\n" if done == total else ""))
    stream.flush()
