"""What readers of rows with times share: fields as text, numbers and instants, the session of a row, and its judgement.

The SELECT has the shape of :func:`rules.judged_sql`: ``t_`` are texts as found, ``v_`` typed values, ``s_close_at`` the
close of the row's session.
"""

from trademl.schema import RawDataset
from trademl.warehouse.ingest.files import Inspected
from trademl.warehouse.ingest.mapping import Columns
from trademl.warehouse.ingest.rules import BLANKS, NULL_WORDS, Rule, identifier, literal, repeated_header, row_json

BEFORE_CLOSE = "interval 13 hour"
AFTER_CLOSE = "interval 5 hour"
"""How long before and after a session's close its bars may begin: in New York from 03:00 to 21:00."""

BY_INSTANT = f"""
    select
        {{last}}.*,
        closes.s_close_at,
        case when v_ts >= closes.s_close_at - {BEFORE_CLOSE} then closes.s_date end as v_date
    from {{last}}
    asof left join (
        select date as s_date, close_at as s_close_at, close_at + {AFTER_CLOSE} as s_ends_at from sessions
    ) as closes on {{last}}.v_ts < closes.s_ends_at
"""
"""The session is the one that the row's instant ``v_ts`` lies in; NULL where there is none."""

BY_DATE = """
    select {last}.*, sessions.close_at as s_close_at
    from {last}
    left join sessions on sessions.date = {last}.v_date
"""
"""The session is ``v_date``, a value of the row; ``s_close_at`` is NULL where it is none."""


def field_texts(columns: Columns) -> dict[str, str]:
    """Return SQL for each resolved field as trimmed text, NULL where it is blank."""
    texts = {name: f"nullif(trim(cast(c{index} as varchar), {BLANKS}), '')" for name, index in columns.position.items()}
    return texts | {name: literal(value) for name, value in columns.constant.items()}


def number_sql(name: str, texts: dict[str, str]) -> str:
    """Return SQL for a field's finite number; NULL where it is absent or cannot be read."""
    if name not in texts:
        return "cast(null as double)"
    # DuckDB reads 1_000 as a thousand; no vendor writes that on purpose.
    number = f"try_cast(t_{name} as double)"
    return f"case when isfinite({number}) and not contains(t_{name}, '_') then {number} end"


def instant_sql(index: int, native: str, zone: str) -> str:
    """Return SQL for a column's UTC instant in microseconds; a time without a zone of its own is in ``zone``."""
    if native == "TIMESTAMP WITH TIME ZONE":
        return f"timezone('UTC', c{index})"
    if native.startswith("TIMESTAMP") or native == "DATETIME":
        return f"timezone('UTC', timezone({literal(zone)}, cast(c{index} as timestamp)))"
    text = f"trim(cast(c{index} as varchar), {BLANKS})"
    zoned = rf"regexp_full_match({text}, '.*\d{{2}}:\d{{2}}.*(Z|[+-]\d{{2}}(:?\d{{2}})?)')"
    own = f"timezone('UTC', try_cast({text} as timestamptz))"
    local = f"timezone('UTC', timezone({literal(zone)}, try_cast({text} as timestamp)))"
    return f"case when {zoned} then {own} else {local} end"


def judged_select(
    dataset: RawDataset,
    file: Inspected,
    source: str,
    texts: dict[str, str],
    values: dict[str, str],
    steps: list[str],
    rules: list[Rule],
    *,
    dated: str = BY_INSTANT,
) -> str:
    """Return the SELECT that types and judges: texts, then values, then steps one after the other, then the rules.

    ``dated`` is the SELECT from ``{last}``, the last step, that adds the row's session as ``v_date`` and its close as
    ``s_close_at``: :data:`BY_INSTANT` or :data:`BY_DATE`.
    """
    reason = " ".join(f"when {rule.when} then {literal(rule.reason)}" for rule in rules)
    detail = " ".join(f"when {literal(rule.reason)} then {rule.detail}" for rule in rules)
    fields = ", ".join(f"cast(v_{name} as {kind}) as {identifier(name)}" for name, kind in dataset.columns.items())
    chained, last = "", "typed"
    for number, step in enumerate(steps):
        chained += f"step_{number} as (select *, {step} from {last}),\n"
        last = f"step_{number}"
    return f"""
with raw as ({source}),
texts as (select *, {", ".join(f"{sql} as t_{name}" for name, sql in texts.items())} from raw),
typed as (select *, {", ".join(f"{sql} as v_{name}" for name, sql in values.items())} from texts),
{chained}dated as ({dated.format(last=last)}),
judged as (select dated.*, case {reason} end as reason from dated cross join instant)
select
    line, {fields}, reason,
    case reason {detail} end as detail,
    case when reason is not null then {row_json(file)} end as "row"
from judged cross join instant
"""


def first_rules(file: Inspected, columns: Columns, needed: tuple[str, ...], numbers: tuple[str, ...]) -> list[Rule]:
    """Return the rules of every dataset: header again, required field empty, odd symbol, unreadable number."""
    rules = repeated_header(file, columns)
    absent = {name: missing_sql(name) for name in needed}
    # NA and NAN are symbols of real companies.
    absent["symbol"] = "t_symbol is null"
    rules.append(Rule("missing_value", any_of(absent), naming(absent, " is empty")))
    shown = "'symbol is ' || to_json(left(v_symbol, 60)) || ': it holds blanks or control characters, or is too long'"
    rules.append(Rule("bad_symbol", r"(not regexp_full_match(v_symbol, '[^\s[:cntrl:]]{1,32}'))", shown))
    given = [name for name in numbers if name in columns.position or name in columns.constant]
    if given:
        wrong = {name: f"try_cast(t_{name} as double) is null and not {missing_sql(name)}" for name in given}
        infinite = {name: f"not isfinite(try_cast(t_{name} as double)) or contains(t_{name}, '_')" for name in given}
        bad = {name: f"({wrong[name]}) or ({infinite[name]})" for name in given}
        rules.append(Rule("wrong_type", any_of(bad), naming(bad, ", not a finite number", shown=True)))
    return rules


def missing_sql(name: str) -> str:
    """Return SQL that is true where a field is absent, or a word for that stands in its place."""
    return f"(t_{name} is null or regexp_full_match(t_{name}, {literal(NULL_WORDS)}))"


def any_of(conditions: dict[str, str]) -> str:
    """Return SQL that is true where one of the conditions is; NULL counts as false."""
    return "(" + (" or ".join(f"coalesce({condition}, false)" for condition in conditions.values()) or "false") + ")"


def naming(cases: dict[str, str], ending: str, *, shown: bool = False) -> str:
    """Return SQL for a sentence about the first field whose condition holds."""
    parts = []
    for name, when in cases.items():
        value = f" || ' is ' || to_json(left(t_{name}, 60))" if shown else ""
        parts.append(f"when {when} then {literal(name)}{value} || {literal(ending)}")
    return f"case {' '.join(parts)} end" if parts else "''"
