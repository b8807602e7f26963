"""Bars of minutes: local times become UTC, and each bar is known when it ends. What makes a row good, as SQL.

A bar is named by its start. Its session is the exchange's date; bars before the open and after the close land too, for
the levels of the pre-market are made of them.
"""

import re
from zoneinfo import ZoneInfo, available_timezones

from trademl.errors import ConfigError
from trademl.schema import RawDataset
from trademl.warehouse.ingest.files import Inspected
from trademl.warehouse.ingest.judging import field_texts, first_rules, instant_sql, judged_select, number_sql
from trademl.warehouse.ingest.mapping import Columns
from trademl.warehouse.ingest.rules import PRICES, Rule, price_rules

INTRADAY_BARS = "intraday_bars"
LONGEST_BAR_MINUTES = 60

_NUMBERS = (*PRICES, "volume")


def bar_minutes(timeframe: str) -> int:
    """Return the minutes of a bar written as ``1min``, ``5min`` or ``1h``.

    >>> [bar_minutes(text) for text in ("1min", "5min", "1h")]
    [1, 5, 60]

    Raises:
        ConfigError: it is not written so, or an hour is not a whole number of such bars.
    """
    found = re.fullmatch(r"(\d{1,2})(min|h)", timeframe)
    minutes = 0 if found is None else int(found[1]) * (60 if found[2] == "h" else 1)
    if not 1 <= minutes <= LONGEST_BAR_MINUTES or LONGEST_BAR_MINUTES % minutes:
        raise ConfigError(
            f"--timeframe {timeframe!r} is not the length of a bar that an hour can be divided into",
            remedy="write 1min, 2min, 5min, 10min, 15min, 30min or 1h",
        )
    return minutes


def check_time_zone(name: str) -> str:
    """Return ``name`` when the tz database has it.

    Raises:
        ConfigError: it has not.
    """
    if name not in available_timezones():
        raise ConfigError(
            f"--time-zone {name!r} is not in the tz database", remedy="write for example America/New_York"
        )
    return str(ZoneInfo(name))


def judged_intraday_sql(
    dataset: RawDataset, file: Inspected, columns: Columns, types: tuple[str, ...], source: str, zone: str
) -> str:
    """Return a SELECT of the typed and judged rows of ``source``, in the shape of :func:`rules.judged_sql`.

    Args:
        dataset: ``intraday_bars``.
        file: its header, for the rows that are refused.
        columns: which of its columns is which field.
        types: DuckDB's type of each column.
        source: a SELECT of ``line, c0, c1, ...``.
        zone: the time zone of times that do not say their own.
    """
    texts = field_texts(columns)
    values = {
        "symbol": "t_symbol",
        "bar_minutes": "cast(t_bar_minutes as double)",
        **{name: number_sql(name, texts) for name in _NUMBERS},
        "ts": instant_sql(columns.position["ts"], types[columns.position["ts"]], zone),
    }
    steps = ["v_ts + to_minutes(cast(v_bar_minutes as bigint)) as v_ends_at"]
    return judged_select(dataset, file, source, texts, values, steps, _rules(file, columns))


def _rules(file: Inspected, columns: Columns) -> list[Rule]:
    return [
        *first_rules(file, columns, ("ts", *_NUMBERS), _NUMBERS),
        Rule(
            "bad_time", "(v_ts is null)", "'ts is ' || to_json(left(t_ts, 60)) || ', not a time as 2025-09-15 09:30:00'"
        ),
        Rule(
            "off_grid",
            "(epoch_us(v_ts) % (cast(v_bar_minutes as bigint) * 60000000) <> 0)",
            "'a bar of ' || cast(v_bar_minutes as integer) || ' minutes does not begin at ' || v_ts || ' UTC'",
        ),
        Rule(
            "not_a_session",
            "(v_date is null)",
            "v_ts || ' UTC, a ' || dayname(v_ts) || ', is in no session of the calendar'",
        ),
        Rule(
            "future_date",
            "(v_ends_at > instant.now)",
            "'the bar ends at ' || v_ends_at || ' UTC, after this ingestion at ' || instant.now || ' UTC'",
        ),
        *price_rules(),
    ]
