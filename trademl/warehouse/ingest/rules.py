"""What makes a row good, as SQL: how each field is read, and each reason to quarantine, first match wins.

A source row arrives as ``line`` and ``c0, c1, ...`` (the columns of the file, by position). It leaves with one typed
column per field of the dataset, and ``reason``, ``detail``, ``row``: NULL where the row is good.
"""

from dataclasses import dataclass

from trademl.schema import RawDataset
from trademl.warehouse.ingest.files import Inspected
from trademl.warehouse.ingest.mapping import Columns

KNOWN_AFTER_CLOSE = "interval 15 minute"
"""A bar is known this long after its session's close: time for the closing auction's last reports."""

MAY_BE_EMPTY = {"end_date", "name"}
PRICES = ("open", "high", "low", "close")
DATED = {"equity_bars", "series", "option_quotes"}
"""Datasets whose rows belong to one session of an exchange calendar."""

NULL_WORDS = r"(?i)\s*(null|nan|na|n/a|none|nat|-)?\s*"
BLANKS = r"E' \t\r\n'"
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMBERS = (*_INTEGERS, *(f"U{name}" for name in _INTEGERS), "DOUBLE", "FLOAT")
_ISO_TIME = r"[T ]00:00(:00(\.0+)?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?"
"""Midnight, with any zone: the date is the one written."""


@dataclass(frozen=True)
class Rule:
    """A reason to quarantine: its code, when it holds, and the sentence that says so (both SQL)."""

    reason: str
    when: str
    detail: str


def literal(text: str) -> str:
    """Return ``text`` as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def judged_sql(
    dataset: RawDataset,
    file: Inspected,
    columns: Columns,
    types: tuple[str, ...],
    source: str,
    *,
    calendar: str,
    date_format: str | None = None,
) -> str:
    """Return a SELECT of the typed and judged rows of ``source``.

    It reads the tables ``sessions(date, close_at)`` and ``instant(now, first_date, last_date)``, the latter of one row.
    """
    texts = ", ".join(f"{_text(name, kind, columns, types)} as t_{name}" for name, kind in dataset.columns.items())
    values = ", ".join(
        f"{_value(name, kind, dataset, columns, types, date_format)} as v_{name}"
        for name, kind in dataset.columns.items()
    )
    rules = _rules(dataset, file, columns, calendar)
    reason = " ".join(f"when {rule.when} then {literal(rule.reason)}" for rule in rules)
    detail = " ".join(f"when {literal(rule.reason)} then {rule.detail}" for rule in rules)
    fields = ", ".join(f"v_{name} as {identifier(name)}" for name in dataset.columns)
    join = "left join sessions as s on s.date = typed.v_date" if dataset.name in DATED else ""
    return f"""
with raw as ({source}),
texts as (select *, {texts} from raw),
typed as (select *, {values} from texts),
judged as (
    select typed.*{", s.close_at" if join else ""}, case {reason} end as reason
    from typed cross join instant {join}
)
select
    line, {fields}, reason,
    case reason {detail} end as detail,
    case when reason is not null then {row_json(file)} end as "row"
from judged cross join instant
"""


def row_json(file: Inspected) -> str:
    """Return SQL for the source row as JSON, under the names of its header."""
    seen: dict[str, int] = {}
    parts = []
    for index, column in enumerate(file.columns):
        name = column or f"column_{index + 1}"
        count = seen[name.lower()] = seen.get(name.lower(), 0) + 1
        parts.append(f"{literal(name if count == 1 else f'{name} ({count})')}: c{index}")
    return f"cast(to_json({{{', '.join(parts)}}}) as varchar)"


def repeated_header(file: Inspected, columns: Columns) -> list[Rule]:
    """Return the rule for a header that comes again inside a text file; none for others."""
    if file.kind != "csv" or not columns.position:
        return []
    same = " and ".join(
        f"lower(trim(c{index}, {BLANKS})) = {literal(file.columns[index].lower())}"
        for index in sorted(set(columns.position.values()))
    )
    return [Rule("repeated_header", f"({same})", "'the header line is repeated inside the file'")]


def content_text(dataset: RawDataset, alias: str = "") -> str:
    """Return SQL for all the values of a row as one text; equal texts mean equal rows, NULLs included."""
    prefix = f"{alias}." if alias else ""
    parts = ", ".join(f"coalesce(cast({prefix}{identifier(name)} as varchar), chr(30))" for name in dataset.columns)
    return f"concat_ws(chr(31), {parts})"


def _text(name: str, kind: str, columns: Columns, types: tuple[str, ...]) -> str:
    """Return SQL for the field as found: trimmed text, or the native value; NULL where it is missing."""
    if name in columns.constant:
        return literal(columns.constant[name])
    if name not in columns.position:
        return "cast(null as varchar)"
    index = columns.position[name]
    column = f"c{index}"
    if (kind == "DOUBLE" and _is_number(types[index])) or (kind == "DATE" and types[index] == "DATE"):
        return column
    text = f"cast({column} as varchar)"
    # Numbers and dates are trimmed only where they cannot be read as they are: trimming is slow.
    return f"nullif(trim({text}, {BLANKS}), '')" if kind == "VARCHAR" else text


def _value(
    name: str, kind: str, dataset: RawDataset, columns: Columns, types: tuple[str, ...], date_format: str | None
) -> str:
    """Return SQL for the field's typed value; NULL where it is missing or cannot be read."""
    text = f"t_{name}"
    if name in columns.constant:
        return text
    native = types[columns.position[name]] if name in columns.position else "VARCHAR"
    if kind == "DATE":
        return text if native == "DATE" else _date(text, date_format)
    if kind != "DOUBLE":
        return text
    if not _is_number(native):
        number, usable = f"try_cast({text} as double)", f" and not contains({text}, '_')"
        # DuckDB reads 1_000 as a thousand; no data vendor writes that on purpose.
    else:
        # The shortest text of a FLOAT is what the vendor meant: 0.12, not 0.11999999731779099.
        number = f"cast({f'cast({text} as varchar)' if native == 'FLOAT' else text} as double)"
        usable = ""
    value = f"case when isfinite({number}){usable} then {number} end"
    default = dataset.defaults.get(name)
    if default is None:
        return value
    # Some vendors write a split of 0 on the days without one.
    none = f"when {number} = 0 then 1 " if name == "split_coefficient" else ""
    return f"case {none}when isfinite({number}){usable} then {number} when {_is_missing(text)} then {default!r} end"


def _is_missing(text: str) -> str:
    """Return SQL that is true where a number or date is absent, or a word for that stands in its place."""
    # A pattern, because DuckDB turns `in (...)` into a join over all rows, where a CASE would hardly ever look.
    return f"({text} is null or regexp_full_match(cast({text} as varchar), {literal(NULL_WORDS)}))"


def _missing(name: str, kind: str) -> str:
    # An empty text is missing everywhere, but NA, NAN, NULL and TRUE are symbols of real companies.
    return f"t_{name} is null" if kind == "VARCHAR" else _where_null(name, _is_missing(f"t_{name}"))


def _unreadable(name: str) -> str:
    return _where_null(name, f"not {_is_missing(f't_{name}')}")


def _where_null(name: str, condition: str) -> str:
    # A CASE, because AND evaluates both sides of every row, and the condition is the slow side.
    return f"case when v_{name} is null then {condition} else false end"


def _date(text: str, date_format: str | None) -> str:
    trimmed = f"trim({text}, {BLANKS})"
    if date_format is not None:
        return f"cast(try_strptime({trimmed}, {literal(date_format)}) as date)"
    shapes = {
        rf"\d{{4}}-\d{{2}}-\d{{2}}({_ISO_TIME})?": f"try_cast(left({trimmed}, 10) as date)",
        r"\d{8}": f"cast(try_strptime({trimmed}, '%Y%m%d') as date)",
        r"\d{4}/\d{2}/\d{2}": f"try_cast(replace({trimmed}, '/', '-') as date)",
    }
    cases = " ".join(
        f"when regexp_full_match({trimmed}, {literal(shape)}) then {read}" for shape, read in shapes.items()
    )
    common = f"length({text}) = 10 and {text}[5] = '-' and {text}[8] = '-'"
    return f"case when {common} then try_cast({text} as date) {cases} end"


def _is_number(kind: str) -> bool:
    return kind in _NUMBERS or kind.startswith("DECIMAL")


def _rules(dataset: RawDataset, file: Inspected, columns: Columns, calendar: str) -> list[Rule]:
    rules = repeated_header(file, columns)
    needed = {
        name: _missing(name, kind)
        for name, kind in dataset.columns.items()
        if name not in MAY_BE_EMPTY and name not in dataset.defaults
    }
    rules.append(
        Rule("missing_value", _any(needed), _first_of({n: (when, "") for n, when in needed.items()}, " is empty"))
    )
    rules += _type_rules(dataset)
    if dataset.name in DATED:
        rules += _calendar_rules(calendar)
    rules += {"equity_bars": _bar_rules, "membership": _membership_rules}.get(dataset.name, list)()
    return rules


def _type_rules(dataset: RawDataset) -> list[Rule]:
    numbers = [name for name, kind in dataset.columns.items() if kind == "DOUBLE"]
    dates = [name for name, kind in dataset.columns.items() if kind == "DATE"]
    rules = []
    if "symbol" in dataset.columns:
        odd = r"not regexp_full_match(v_symbol, '[^\s[:cntrl:]]{1,32}')"
        shown = (
            "'symbol is ' || to_json(left(v_symbol, 60)) || ': it holds blanks or control characters, or is too long'"
        )
        rules.append(Rule("bad_symbol", f"({odd})", shown))
    if dates:
        wrong = {name: _unreadable(name) for name in dates}
        hint = ", not a date without time of day as YYYY-MM-DD, YYYYMMDD or YYYY/MM/DD"
        rules.append(Rule("bad_date", _any(wrong), _first_of({n: (w, f"t_{n}") for n, w in wrong.items()}, hint)))
    if numbers:
        wrong = {name: _unreadable(name) for name in numbers}
        details = {n: (w, f"t_{n}") for n, w in wrong.items()}
        rules.append(Rule("wrong_type", _any(wrong), _first_of(details, ", not a finite number")))
    return rules


def _calendar_rules(calendar: str) -> list[Rule]:
    name = calendar.replace("'", "''")
    return [
        Rule(
            "outside_calendar",
            "(v_date < first_date or v_date > last_date)",
            f"v_date || ' is outside the {name} calendar, ' || first_date || ' to ' || last_date",
        ),
        Rule(
            "not_a_session",
            "(close_at is null)",
            f"v_date || ', a ' || dayname(v_date) || ', is not a session of {name}'",
        ),
        Rule(
            "future_date",
            f"(close_at + {KNOWN_AFTER_CLOSE} > instant.now)",
            f"'the session of ' || v_date || ' is known at ' || (close_at + {KNOWN_AFTER_CLOSE}) "
            "|| ' UTC, after this ingestion at ' || instant.now || ' UTC'",
        ),
    ]


def price_rules() -> list[Rule]:
    """Return what the prices and the volume of any bar must obey."""
    low, high = "least(v_open, v_close)", "greatest(v_open, v_close)"
    shown = "'open ' || v_open || ', high ' || v_high || ', low ' || v_low || ', close ' || v_close"
    return [
        Rule(
            "nonpositive_price",
            f"(least({', '.join(f'v_{name}' for name in PRICES)}) <= 0)",
            f"{shown} || ': not all above 0'",
        ),
        Rule("high_below_low", "(v_high < v_low)", f"{shown} || ': high is below low'"),
        Rule("outside_range", f"({low} < v_low or {high} > v_high)", f"{shown} || ': outside [low, high]'"),
        Rule("negative_volume", "(v_volume < 0)", "'volume is ' || v_volume"),
    ]


def _bar_rules() -> list[Rule]:
    return [
        *price_rules(),
        Rule("negative_dividend", "(v_dividend_amount < 0)", "'dividend_amount is ' || v_dividend_amount"),
        Rule(
            "bad_split",
            "(v_split_coefficient <= 0)",
            "'split_coefficient is ' || v_split_coefficient || ', not above 0'",
        ),
    ]


def _membership_rules() -> list[Rule]:
    shown = "'start_date ' || v_start_date || ' is after end_date ' || v_end_date"
    return [Rule("start_after_end", "(v_start_date > v_end_date)", shown)]


def _any(conditions: dict[str, str]) -> str:
    return "(" + " or ".join(f"({condition})" for condition in conditions.values()) + ")"


def _first_of(cases: dict[str, tuple[str, str]], ending: str) -> str:
    """Return SQL for a sentence about the first field whose condition holds, with its value when one is given."""
    parts = []
    for name, (when, value) in cases.items():
        shown = f" || ' is ' || to_json(left(cast({value} as varchar), 60))" if value else ""
        parts.append(f"when {when} then {literal(name)}{shown} || {literal(ending)}")
    return f"case {' '.join(parts)} end"
