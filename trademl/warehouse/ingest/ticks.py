"""Trades, quotes and order book messages: local times become UTC, and each row is known at its instant.

A tick has no identity of its own, so it is numbered: ``seq`` counts the rows of one symbol and instant (and exchange,
where a row names one) in the order of the file. Two equal trades in one microsecond are two trades.

The book is LOBSTER's (lobsterdata.com), message and best level side by side: seconds after midnight in New York,
prices in ten-thousandths of a dollar, and +-9999999999 for a side without orders.
"""

import re
from dataclasses import replace
from datetime import date

from trademl.errors import ConfigError
from trademl.schema import RawDataset
from trademl.warehouse.ingest.files import FileRefused, Inspected
from trademl.warehouse.ingest.judging import field_texts, first_rules, instant_sql, judged_select, number_sql
from trademl.warehouse.ingest.mapping import Columns, Reading, column_of, resolve
from trademl.warehouse.ingest.rules import Rule, literal

TICKS = ("trades", "quotes", "book")
BOOK_ZONE = "America/New_York"
BOOK_PRICE_UNITS = 10_000
BOOK_NO_ORDERS = 9_999_999_999
LARGEST_SIZE = 1e12
"""Largest size of a tick: sums of sizes stay exact."""

_OWN_SYNONYMS = {
    "condition": ("condition", "sale_condition", "quote_condition", "conditions"),
    "bid": ("bid", "bid_price", "bidprice"),
    "ask": ("ask", "ask_price", "askprice", "offer"),
    "bid_size": ("bid_size", "bidsize"),
    "ask_size": ("ask_size", "asksize"),
    "size": ("size", "quantity", "qty", "volume"),
    "time_s": ("time_s", "time", "seconds"),
    "event_type": ("event_type", "type"),
}
_COMPUTED = {"trades": ("date", "seq"), "quotes": ("date", "seq"), "book": ("date", "ts", "seq")}
_NUMBERS = {
    "trades": ("price", "size", "suspicious"),
    "quotes": ("bid", "bid_size", "ask", "ask_size", "suspicious"),
    "book": (
        "time_s",
        "event_type",
        "order_id",
        "size",
        "price",
        "direction",
        "ask_price",
        "ask_size",
        "bid_price",
        "bid_size",
    ),
}
_WORDS = {"trades": ("exchange", "condition"), "quotes": ("exchange", "condition"), "book": ()}


def check_session_date(text: str) -> str:
    """Return ``text`` when it is a date.

    >>> check_session_date("2012-06-21")
    '2012-06-21'

    Raises:
        ConfigError: it is not.
    """
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"--session-date {text!r} is not a date", remedy="write for example 2012-06-21") from error


def resolve_tick_columns(file: Inspected, dataset: RawDataset, reading: Reading) -> Columns:
    """Find the column of each field of a tick in ``file``; a book's session comes from its name where none is given.

    Raises:
        FileRefused: a required field has no column, or more than one; or nothing tells the session of a book.
    """
    columns = resolve_provided(file, dataset, reading, _OWN_SYNONYMS, _COMPUTED[dataset.name])
    if dataset.name != "book" or "date" in columns.constant:
        return columns
    found = re.search(r"(?<!\d)((?:19|20)\d\d)-?(\d\d)-?(\d\d)(?!\d)", file.source.path.name)
    try:
        day = date.fromisoformat("-".join(found.groups())) if found else None
    except ValueError:
        day = None
    if day is None:
        raise FileRefused(
            "missing_column",
            f"its name {file.source.path.name!r} tells no date, and its times are seconds after midnight",
            "give --session-date YYYY-MM-DD",
            "the session of the messages",
        )
    return Columns(columns.position, {**columns.constant, "date": day.isoformat()})


def resolve_provided(
    file: Inspected,
    dataset: RawDataset,
    reading: Reading,
    synonyms: dict[str, tuple[str, ...]],
    computed: tuple[str, ...],
) -> Columns:
    """Resolve the fields that a file provides itself: all of ``dataset`` but ``computed``.

    Raises:
        FileRefused: see :func:`mapping.resolve`.
    """
    found: dict[str, str] = {}
    for name, candidates in synonyms.items():
        if name in dataset.columns and name not in reading.mapping and name not in reading.constants:
            index = column_of(name, file, candidates)
            if index is not None:
                found[name] = file.columns[index]
    provided = {name: kind for name, kind in dataset.columns.items() if name not in computed}
    return resolve(
        file,
        replace(dataset, key=dataset.key[:1], columns=provided),
        replace(reading, mapping={**found, **reading.mapping}),
    )


def judged_tick_sql(
    dataset: RawDataset, file: Inspected, columns: Columns, types: tuple[str, ...], source: str, zone: str
) -> str:
    """Return a SELECT of the typed and judged rows of ``source``, in the shape of :func:`rules.judged_sql`.

    Args:
        dataset: ``trades``, ``quotes`` or ``book``.
        file: its header, for the rows that are refused.
        columns: which of its columns is which field.
        types: DuckDB's type of each column.
        source: a SELECT of ``line, c0, c1, ...``.
        zone: the time zone of times that do not say their own.
    """
    texts = field_texts(columns)
    values = {name: number_sql(name, texts) for name in _NUMBERS[dataset.name]}
    values |= {name: f"coalesce(t_{name}, '')" if name in texts else "''" for name in _WORDS[dataset.name]}
    values["symbol"] = "t_symbol"
    steps = []
    if dataset.name == "book":
        units = f"{BOOK_PRICE_UNITS}.0"
        for name in ("bid_price", "ask_price"):
            values[name] = f"case when abs({values[name]}) < {BOOK_NO_ORDERS} then {values[name]} / {units} end"
        values["price"] = f"{values['price']} / {units}"
        # Nanoseconds are rounded before they are cut: 34200.01746 is not a whole number of microseconds in binary.
        since = "to_microseconds(cast(round(v_time_s * 1e9) as bigint) // 1000)"
        midnight = f"cast({literal(columns.constant['date'])} as timestamp)"
        steps.append(
            "case when v_time_s >= 0 and v_time_s < 86400 "
            f"then timezone('UTC', timezone({literal(zone)}, {midnight} + {since})) end as v_ts"
        )
    else:
        values["ts"] = instant_sql(columns.position["ts"], types[columns.position["ts"]], zone)
        if dataset.name == "quotes":
            # A side of price 0 is a side without a quote.
            for name in ("bid", "ask"):
                values[name] = f"nullif({values[name]}, 0)"
        values["suspicious"] = f"coalesce({values['suspicious']}, 0)"
    within = ", v_exchange" if "exchange" in dataset.columns else ""
    steps.append(f"row_number() over (partition by v_symbol, v_ts{within} order by line) as v_seq")
    return judged_select(dataset, file, source, texts, values, steps, _rules(dataset, file, columns))


def _rules(dataset: RawDataset, file: Inspected, columns: Columns) -> list[Rule]:
    needed = tuple(name for name in dataset.required if name not in ("symbol", "ts") and name in columns.position)
    if "ts" in columns.position:
        needed += ("ts",)
    own = {"trades": _trade_rules, "quotes": _quote_rules, "book": _book_rules}[dataset.name]()
    shown = "t_time_s" if dataset.name == "book" else "t_ts"
    return [
        *first_rules(file, columns, needed, _NUMBERS[dataset.name]),
        Rule("bad_time", "(v_ts is null)", f"'the time is ' || to_json(left({shown}, 60)) || ', which cannot be read'"),
        Rule(
            "not_a_session",
            "(v_date is null)",
            "v_ts || ' UTC, a ' || dayname(v_ts) || ', is in no session of the calendar'",
        ),
        Rule(
            "future_date",
            "(v_ts > instant.now)",
            "v_ts || ' UTC lies after this ingestion at ' || instant.now || ' UTC'",
        ),
        *own,
    ]


def _trade_rules() -> list[Rule]:
    return [
        Rule("nonpositive_price", "(v_price <= 0)", "'price is ' || v_price"),
        Rule("bad_size", f"(v_size <= 0 or v_size > {LARGEST_SIZE!r})", "'size is ' || v_size"),
    ]


def _quote_rules() -> list[Rule]:
    prices = "'bid is ' || coalesce(v_bid, 0) || ', ask ' || coalesce(v_ask, 0)"
    sizes = "'bid size is ' || coalesce(v_bid_size, 0) || ', ask size ' || coalesce(v_ask_size, 0)"
    return [
        Rule("no_side", "(v_bid is null and v_ask is null)", "'the quote has neither a bid nor an ask'"),
        Rule("nonpositive_price", "(coalesce(v_bid, 1) <= 0 or coalesce(v_ask, 1) <= 0)", prices),
        Rule(
            "bad_size",
            f"(coalesce(v_bid_size, 0) not between 0 and {LARGEST_SIZE!r} "
            f"or coalesce(v_ask_size, 0) not between 0 and {LARGEST_SIZE!r})",
            sizes,
        ),
    ]


def _book_rules() -> list[Rule]:
    sides = "'bid ' || v_bid_price || ', ask ' || v_ask_price"
    sizes = "'size ' || v_size || ', bid size ' || v_bid_size || ', ask size ' || v_ask_size"
    return [
        Rule("bad_event", "(v_event_type not in (1, 2, 3, 4, 5, 6, 7))", "'event_type is ' || v_event_type"),
        Rule("bad_side", "(v_direction not in (-1, 1) and v_event_type <> 7)", "'direction is ' || v_direction"),
        Rule(
            "nonpositive_price",
            "((v_price <= 0 and v_event_type <> 7) or coalesce(v_bid_price, 1) <= 0 or coalesce(v_ask_price, 1) <= 0)",
            "'price ' || v_price",
        ),
        Rule("crossed_book", "(v_bid_price >= v_ask_price)", sides),
        Rule(
            "bad_size",
            "(least(v_size, v_bid_size, v_ask_size) < 0 "
            f"or greatest(v_size, v_bid_size, v_ask_size) > {LARGEST_SIZE!r})",
            sizes,
        ),
    ]
