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
    "intraday-bars": "intraday_bars",
    "trades": "trades",
    "quotes": "quotes",
    "book": "book",
    "option-chain": "option_quotes",
    "events": "events",
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


def _zone_option(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    said = "Zone of times that do not say their own."
    return click.option("--time-zone", default=default, show_default=True, metavar="ZONE", help=said)


@ingest.command("intraday-bars")
@_file_options
@_symbol_options
@click.option("--timeframe", default="1min", show_default=True, metavar="1min|5min|...", help="Length of the bars.")
@_zone_option("UTC")
def intraday_bars(**options: Any) -> None:
    """Land bars of minutes: symbol, ts (the bar's start), open, high, low, close, volume."""
    _ingest_files("intraday-bars", **options)


@ingest.command("trades")
@_file_options
@_symbol_options
@_zone_option("UTC")
def trades(**options: Any) -> None:
    """Land trades: symbol, ts, price, size[, exchange, condition, suspicious]."""
    _ingest_files("trades", **options)


@ingest.command("quotes")
@_file_options
@_symbol_options
@_zone_option("UTC")
def quotes(**options: Any) -> None:
    """Land best bids and offers: symbol, ts, bid, bid_size, ask, ask_size; a side of price 0 is not stated."""
    _ingest_files("quotes", **options)


@ingest.command("book")
@_file_options
@_symbol_options
@_zone_option("America/New_York")
@click.option("--session-date", metavar="YYYY-MM-DD", help="The session; else the date in the file's name.")
def book(**options: Any) -> None:
    """Land LOBSTER messages with the best level: time_s, event_type, order_id, size, price, direction, ask_price ..."""
    _ingest_files("book", **options)


@ingest.command("option-chain")
@_file_options
@_symbol_options
def option_chain(**options: Any) -> None:
    """Land option chains: symbol, date, contract, expiration, strike, option_type, underlying_price, ...."""
    _ingest_files("option-chain", **options)


@ingest.command("events")
@_file_options
def events(**options: Any) -> None:
    """Land external events: event_id, symbol, ts_ns, date, level_kind_name, level_price, direction, distance, ...."""
    _ingest_files("events", **options)


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
    timeframe: str | None = None,
    time_zone: str | None = None,
    session_date: str | None = None,
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
        timeframe=timeframe,
        time_zone=time_zone,
        session_date=session_date,
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
