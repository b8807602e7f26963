"""Option chains at the end of a session: one row a contract, known once the session has closed.

Zero bids, implied volatilities of 0 and quotes of the last day land as the vendor printed them: what of a chain can be
used is decided where it is used. A row dated on a holiday, or after its contract expired, is no quote and is refused.
"""

from trademl.schema import RawDataset
from trademl.warehouse.ingest.files import Inspected
from trademl.warehouse.ingest.judging import (
    BY_DATE,
    any_of,
    field_texts,
    first_rules,
    judged_select,
    missing_sql,
    naming,
    number_sql,
)
from trademl.warehouse.ingest.mapping import Columns, Reading
from trademl.warehouse.ingest.rules import KNOWN_AFTER_CLOSE, Rule
from trademl.warehouse.ingest.ticks import resolve_provided

OPTION_QUOTES = "option_quotes"

_SYNONYMS = {
    "symbol": ("symbol", "underlying", "underlying_symbol", "ticker"),
    "date": ("date", "quotedate", "quote_date", "trade_date"),
    "contract": ("contract", "optionroot", "option_symbol", "contract_symbol", "contractid"),
    "expiration": ("expiration", "expiry", "expiration_date", "expire_date"),
    "option_type": ("option_type", "type", "kind", "right", "put_call"),
    "underlying_price": ("underlying_price", "underlying_last", "underlying_close"),
    "open_interest": ("open_interest", "openinterest"),
    "implied_vol": ("implied_vol", "impliedvol", "implied_volatility", "iv"),
}
_NUMBERS = (
    "strike",
    "underlying_price",
    "bid",
    "ask",
    "last",
    "volume",
    "open_interest",
    "implied_vol",
    "delta",
    "gamma",
)
_NEEDED = ("date", "contract", "expiration", "option_type", "strike", "underlying_price", "bid", "ask")
_ISO_TIME = r"([T ]00:00(:00(\.0+)?)?Z?)?"


def resolve_chain_columns(file: Inspected, dataset: RawDataset, reading: Reading) -> Columns:
    """Find the column of each field of an option quote in ``file``.

    Raises:
        FileRefused: a required field has no column, or more than one.
    """
    return resolve_provided(file, dataset, reading, _SYNONYMS, ())


def judged_chain_sql(dataset: RawDataset, file: Inspected, columns: Columns, source: str) -> str:
    """Return a SELECT of the typed and judged rows of ``source``, in the shape of :func:`rules.judged_sql`."""
    texts = field_texts(columns)
    values = {name: number_sql(name, texts) for name in _NUMBERS}
    values |= {"symbol": "t_symbol", "contract": "t_contract"}
    values["option_type"] = (
        "case lower(t_option_type) when 'c' then 'call' when 'call' then 'call' "
        "when 'p' then 'put' when 'put' then 'put' end"
    )
    for name in ("date", "expiration"):
        values[name] = (
            rf"case when regexp_full_match(t_{name}, '\d{{4}}-\d{{2}}-\d{{2}}{_ISO_TIME}') "
            f"then try_cast(left(t_{name}, 10) as date) end"
        )
    return judged_select(dataset, file, source, texts, values, [], _rules(file, columns), dated=BY_DATE)


def _rules(file: Inspected, columns: Columns) -> list[Rule]:
    negative = {
        name: f"v_{name} < 0" for name in ("bid", "ask", "last", "volume", "open_interest", "implied_vol", "gamma")
    }
    negative = {name: when for name, when in negative.items() if name in columns.position}
    dates = {name: f"v_{name} is null and not {missing_sql(name)}" for name in ("date", "expiration")}
    known = f"s_close_at + {KNOWN_AFTER_CLOSE}"
    return [
        *first_rules(file, columns, _NEEDED, _NUMBERS),
        Rule("bad_date", any_of(dates), naming(dates, ", not a date as YYYY-MM-DD", shown=True)),
        Rule(
            "bad_option_type",
            "(v_option_type is null)",
            "'option_type is ' || to_json(left(t_option_type, 60)) || ', neither call nor put'",
        ),
        Rule(
            "not_a_session",
            "(s_close_at is null)",
            "v_date || ', a ' || dayname(v_date) || ', is not a session of the calendar'",
        ),
        Rule(
            "future_date",
            f"({known} > instant.now)",
            f"'the session of ' || v_date || ' is known at ' || ({known}) || ' UTC, after this ingestion at ' "
            "|| instant.now || ' UTC'",
        ),
        Rule("expired", "(v_expiration < v_date)", "'quoted on ' || v_date || ', expired on ' || v_expiration"),
        Rule(
            "nonpositive_price",
            "(v_strike <= 0 or v_underlying_price <= 0)",
            "'strike ' || v_strike || ', underlying ' || v_underlying_price",
        ),
        Rule("negative_value", any_of(negative), naming(negative, " is negative", shown=True)),
    ]
