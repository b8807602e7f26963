"""Bars of minutes: local times become UTC, and each bar is known when it ends. What makes a row good, as SQL.

A bar is named by its start. Its session is the exchange's date; bars before the open and after the close land too, for
the levels of the pre-market are made of them.
"""

import re
from zoneinfo import ZoneInfo, available_timezones

from trademl.errors import ConfigError
from trademl.schema import RawDataset
from trademl.warehouse.ingest.files import Inspected
from trademl.warehouse.ingest.mapping import Columns
from trademl.warehouse.ingest.rules import Rule, literal, row_json

INTRADAY_BARS = "intraday_bars"
BEFORE_CLOSE = "interval 13 hour"
AFTER_CLOSE = "interval 5 hour"
"""How long before and after a session's close its bars may begin: in New York from 03:00 to 21:00."""
LONGEST_BAR_MINUTES = 60

_BLANKS = r"E' \t\r\n'"
_MISSING = r"(?i)\s*(null|nan|na|n/a|none|nat|-)?\s*"
_NUMBERS = ("open", "high", "low", "close", "volume")
_PRICES = _NUMBERS[:4]


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
    texts = {
        name: f"nullif(trim(cast(c{index} as varchar), {_BLANKS}), '')" for name, index in columns.position.items()
    }
    texts |= {name: literal(value) for name, value in columns.constant.items()}
    native = types[columns.position["ts"]]
    values = {
        "symbol": "t_symbol",
        "bar_minutes": "cast(t_bar_minutes as double)",
        **{name: _number(name, texts) for name in _NUMBERS},
        "ts": _instant(columns.position["ts"], native, zone),
    }
    rules = _rules(file, columns)
    reason = " ".join(f"when {rule.when} then {literal(rule.reason)}" for rule in rules)
    detail = " ".join(f"when {literal(rule.reason)} then {rule.detail}" for rule in rules)
    fields = ", ".join(f"v_{name} as {name}" for name in dataset.columns)
    return f"""
with raw as ({source}),
texts as (select *, {", ".join(f"{sql} as t_{name}" for name, sql in texts.items())} from raw),
typed as (select *, {", ".join(f"{sql} as v_{name}" for name, sql in values.items())} from texts),
timed as (select *, v_ts + to_minutes(cast(v_bar_minutes as bigint)) as v_ends_at from typed),
closes as (select date as s_date, close_at as s_close_at, close_at + {AFTER_CLOSE} as s_ends_at from sessions),
dated as (
    select timed.*, closes.s_close_at,
        case when v_ts >= closes.s_close_at - {BEFORE_CLOSE} then closes.s_date end as v_date
    from timed asof left join closes on timed.v_ts < closes.s_ends_at
),
judged as (select dated.*, case {reason} end as reason from dated cross join instant)
select
    line, {fields}, reason,
    case reason {detail} end as detail,
    case when reason is not null then {row_json(file)} end as "row"
from judged cross join instant
"""


def _number(name: str, texts: dict[str, str]) -> str:
    if name not in texts:
        return "cast(null as double)"
    # The shortest text of a FLOAT is what the vendor meant, and DuckDB reads 1_000 as a thousand.
    number = f"try_cast(t_{name} as double)"
    return f"case when isfinite({number}) and not contains(t_{name}, '_') then {number} end"


def _instant(index: int, native: str, zone: str) -> str:
    """Return SQL for a column's UTC instant; a time without a zone of its own is in ``zone``."""
    if native == "TIMESTAMP WITH TIME ZONE":
        return f"timezone('UTC', c{index})"
    if native.startswith("TIMESTAMP") or native == "DATETIME":
        return f"timezone('UTC', timezone({literal(zone)}, cast(c{index} as timestamp)))"
    text = f"trim(cast(c{index} as varchar), {_BLANKS})"
    zoned = rf"regexp_full_match({text}, '.*\d{{2}}:\d{{2}}.*(Z|[+-]\d{{2}}(:?\d{{2}})?)')"
    own = f"timezone('UTC', try_cast({text} as timestamptz))"
    local = f"timezone('UTC', timezone({literal(zone)}, try_cast({text} as timestamp)))"
    return f"case when {zoned} then {own} else {local} end"


def _rules(file: Inspected, columns: Columns) -> list[Rule]:
    rules = []
    if file.kind == "csv":
        same = " and ".join(
            f"lower(trim(c{index}, {_BLANKS})) = {literal(file.columns[index].lower())}"
            for index in sorted(set(columns.position.values()))
        )
        rules.append(Rule("repeated_header", f"({same})", "'the header line is repeated inside the file'"))
    absent = {name: f"(t_{name} is null or regexp_full_match(t_{name}, {literal(_MISSING)}))" for name in _NUMBERS}
    needed = {**absent, "symbol": "t_symbol is null", "ts": "t_ts is null"}
    rules.append(Rule("missing_value", _any(needed), _naming(needed, " is empty")))
    shown = "'symbol is ' || to_json(left(v_symbol, 60)) || ': it holds blanks or control characters, or is too long'"
    rules.append(Rule("bad_symbol", r"(not regexp_full_match(v_symbol, '[^\s[:cntrl:]]{1,32}'))", shown))
    rules.append(
        Rule(
            "bad_time", "(v_ts is null)", "'ts is ' || to_json(left(t_ts, 60)) || ', not a time as 2025-09-15 09:30:00'"
        )
    )
    wrong = {name: f"v_{name} is null" for name in _NUMBERS}
    rules.append(Rule("wrong_type", _any(wrong), _naming(wrong, ", not a finite number", shown=True)))
    prices = "'open ' || v_open || ', high ' || v_high || ', low ' || v_low || ', close ' || v_close"
    low, high = "least(v_open, v_close)", "greatest(v_open, v_close)"
    return [
        *rules,
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
        Rule(
            "nonpositive_price",
            f"(least({', '.join(f'v_{name}' for name in _PRICES)}) <= 0)",
            f"{prices} || ': not all above 0'",
        ),
        Rule("high_below_low", "(v_high < v_low)", f"{prices} || ': high is below low'"),
        Rule("outside_range", f"({low} < v_low or {high} > v_high)", f"{prices} || ': outside [low, high]'"),
        Rule("negative_volume", "(v_volume < 0)", "'volume is ' || v_volume"),
    ]


def _any(conditions: dict[str, str]) -> str:
    return "(" + " or ".join(f"({condition})" for condition in conditions.values()) + ")"


def _naming(cases: dict[str, str], ending: str, *, shown: bool = False) -> str:
    parts = []
    for name, when in cases.items():
        value = f" || ' is ' || to_json(left(t_{name}, 60))" if shown else ""
        parts.append(f"when {when} then {literal(name)}{value} || {literal(ending)}")
    return f"case {' '.join(parts)} end"
