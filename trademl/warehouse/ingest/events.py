"""Events of an external dataset: touches that somebody else found and measured, with the columns of the sleeve.

Identity and context are needed; every measure and label may be absent, or empty row by row, and stays NULL. ``ts_ns``
is the confirmation t1 in nanoseconds since 1970 (UTC): an event is known then, and its labels after its session.
"""

from trademl.schema import EVENT_FEATURES, EVENT_LABELS, RawDataset
from trademl.warehouse.ingest.files import Inspected
from trademl.warehouse.ingest.judging import any_of, field_texts, first_rules, judged_select, naming, number_sql
from trademl.warehouse.ingest.mapping import Columns
from trademl.warehouse.ingest.rules import Rule, literal

EVENTS = "events"
KINDS = ("PMH", "PML", "ORH", "ORL", "PDH", "PDL", "PDC", "SMA_200", "SMA_400", "ROUND", "STRIKE")
DIRECTIONS = ("UP", "DOWN")
OUTCOMES = ("BREAK", "BOUNCE", "OTHER")

_NUMBERS = ("level_price", "bar_minutes", *EVENT_FEATURES, *EVENT_LABELS)
_NEEDED = ("event_id", "level_kind_name", "direction", "level_price", "distance", "ts_ns", "date")
_TIMES = tuple(name for name in EVENT_LABELS if name.startswith("time_to_"))
_FLAGS = tuple(name for name in EVENT_LABELS if name not in (*_TIMES, "strength_signed"))
_LARGEST = 1e12
_ABSENT = r"(?i)(null|nan|na|n/a|none|nat|-)"


def judged_event_sql(dataset: RawDataset, file: Inspected, columns: Columns, source: str) -> str:
    """Return a SELECT of the typed and judged rows of ``source``, in the shape of :func:`rules.judged_sql`."""
    texts = field_texts(columns)
    for name in _NUMBERS:
        if name in texts:
            own = texts[name]
            texts[name] = (
                f"case when regexp_full_match({own}, {literal(_ABSENT)}) then null "
                f"when lower({own}) = 'true' then '1' when lower({own}) = 'false' then '0' else {own} end"
            )
    values = {name: number_sql(name, texts) for name in _NUMBERS}
    values |= {"event_id": "t_event_id", "symbol": "t_symbol", "ts_ns": "try_cast(t_ts_ns as bigint)"}
    for name in ("level_kind_name", "direction", "outcome"):
        values[name] = f"upper(t_{name})" if name in texts else "cast(null as varchar)"
    values["given_date"] = (
        r"case when regexp_full_match(t_date, '\d{4}-\d{2}-\d{2}([T ]00:00(:00(\.0+)?)?Z?)?') "
        "then try_cast(left(t_date, 10) as date) end"
    )
    steps = ["case when v_ts_ns between 1 and 4102444800000000000 then make_timestamp(v_ts_ns // 1000) end as v_ts"]
    return judged_select(dataset, file, source, texts, values, steps, _rules(file, columns))


def _rules(file: Inspected, columns: Columns) -> list[Rule]:
    flags = {name: f"v_{name} not in (0, 1)" for name in _FLAGS if name in columns.position}
    negative = {name: f"v_{name} < 0" for name in ("distance", *_TIMES) if name in columns.position}
    large = {
        name: f"abs(v_{name}) > {_LARGEST!r}"
        for name in (*EVENT_FEATURES, "strength_signed")
        if name in columns.position
    }
    given = [name for name in _NUMBERS if name in columns.position]
    rules = [
        *first_rules(file, columns, _NEEDED, tuple(given)),
        Rule(
            "bad_event_id",
            r"(not regexp_full_match(v_event_id, '[^\s[:cntrl:]]{1,128}'))",
            "'event_id is ' || to_json(left(v_event_id, 60)) || ': it holds blanks or control characters, or is too "
            "long'",
        ),
        Rule(
            "bad_time",
            "(v_ts is null)",
            "'ts_ns is ' || to_json(left(t_ts_ns, 60)) || ', not nanoseconds between 1970 and 2100'",
        ),
        Rule("bad_date", "(v_given_date is null)", "'date is ' || to_json(left(t_date, 60)) || ', not YYYY-MM-DD'"),
        Rule(
            "not_a_session",
            "(v_date is null or v_date <> v_given_date)",
            "'ts_ns is ' || v_ts || ' UTC, which is not in the session of ' || v_given_date",
        ),
        Rule("future_date", "(v_ts > instant.now)", "'t1 is ' || v_ts || ' UTC, after this ingestion'"),
        _word("level_kind_name", KINDS, "bad_level_kind"),
        _word("direction", DIRECTIONS, "bad_direction"),
        Rule("nonpositive_price", "(v_level_price <= 0)", "'level_price is ' || v_level_price"),
        Rule("negative_value", any_of(negative), naming(negative, " is negative", shown=True)),
        _word("outcome", OUTCOMES, "bad_outcome"),
    ]
    if flags:
        rules.append(Rule("bad_flag", any_of(flags), naming(flags, ", neither 0 nor 1", shown=True)))
    rules.append(Rule("too_large", any_of(large), naming(large, f" is beyond {_LARGEST:g}", shown=True)))
    return rules


def _word(name: str, known: tuple[str, ...], reason: str) -> Rule:
    listed = ", ".join(f"'{word}'" for word in known)
    said = ", ".join(known)
    return Rule(
        reason, f"(v_{name} not in ({listed}))", f"'{name} is ' || to_json(left(v_{name}, 60)) || ', not {said}'"
    )
