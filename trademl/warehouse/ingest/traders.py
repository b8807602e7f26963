"""Fills and account-days of traders: which column is which field, and what makes a row good, as SQL.

A venue map (``configs/venues/``) says how a venue writes them. Local times become UTC; fees in a coin become dollars; a
day is the venue's own and is dated by the UTC date on which it ended, so that it is known when that UTC day ends.
"""

from trademl.config.venues import VenueMap
from trademl.schema import RawDataset
from trademl.warehouse.ingest.files import FileRefused, Inspected
from trademl.warehouse.ingest.judging import (
    any_of,
    field_texts,
    judged_select,
    missing_sql,
    naming,
    number_sql,
)
from trademl.warehouse.ingest.mapping import Columns, Reading, column_of, shown_columns
from trademl.warehouse.ingest.rules import Rule, literal, repeated_header

TRADERS = ("trader_fills", "trader_days")
LARGEST_USD = 1e9
"""Largest PnL, fee and traded value of one row, in dollars: sums of them stay exact."""

_SHARES = ("win_rate", "long_ratio")
_BY_DAY_END = "select *, cast(v_day_end_at - interval 1 microsecond as date) as v_date from {last}"


def resolve_trader_columns(file: Inspected, dataset: RawDataset, reading: Reading) -> Columns:
    """Find the column of each field of the venue's map in ``file``; ``--map`` wins over the map.

    Raises:
        FileRefused: a required field has no column, or more than one; or nothing identifies a fill.
    """
    venue = _venue(reading)
    chosen = venue.fills if dataset.name == "trader_fills" else venue.days
    position: dict[str, int] = {}
    missing = []
    for name, candidates in chosen.columns.items():
        wanted = reading.mapping.get(name)
        index = column_of(name, file, (wanted,) if wanted else candidates)
        if index is not None:
            position[name] = index
        elif wanted or name in dataset.required:
            missing.append(name)
    if dataset.name == "trader_fills":
        groups = ((reading.mapping["fill_id"],),) if "fill_id" in reading.mapping else venue.fills.fill_id
        for number, group in enumerate(groups):
            found = [column_of("fill_id", file, (column,)) for column in group]
            for part, index in enumerate(found):
                if index is not None and None not in found:
                    position[f"fill_id_{number}_{part}"] = index
        if not any(name.startswith("fill_id_") for name in position):
            missing.append("fill_id")
    if missing:
        raise FileRefused(
            "missing_column",
            shown_columns(file),
            f"name it with --map {missing[0]}=COLUMN, or correct the map of the venue {venue.venue}",
            f"a column for {', '.join(missing)}",
        )
    return Columns(position, {})


def judged_trader_sql(dataset: RawDataset, file: Inspected, columns: Columns, source: str, venue: VenueMap) -> str:
    """Return a SELECT of the typed and judged rows of ``source``, in the shape of :func:`rules.judged_sql`."""
    texts = field_texts(columns)
    is_fill = dataset.name == "trader_fills"
    values = _fill_values(venue, texts) if is_fill else _day_values(venue, texts)
    steps = [*_fill_steps(venue), _day_end(venue)] if is_fill else [_day_end(venue)]
    rules = _rules(dataset, file, columns, texts)
    return judged_select(dataset, file, source, texts, values, steps, rules, dated=_BY_DAY_END)


def _venue(reading: Reading) -> VenueMap:
    assert reading.venue is not None, "a trader dataset is read with a venue"
    return reading.venue


def _text(texts: dict[str, str], name: str) -> str:
    return f"t_{name}" if name in texts else "cast(null as varchar)"


def _listed(words: tuple[str, ...]) -> str:
    return "(" + ", ".join(literal(word.lower()) for word in words) + ")" if words else "(null)"


def _fill_values(venue: VenueMap, texts: dict[str, str]) -> dict[str, str]:
    fills = venue.fills
    direction = f"lower({_text(texts, 'direction')})"
    side = f"lower({_text(texts, 'side')})"
    groups: dict[str, list[str]] = {}
    for name in texts:
        if name.startswith("fill_id_"):
            groups.setdefault(name.rsplit("_", 1)[0], []).append(f"t_{name}")
    whole = r"(?i)[0-9]+([.][0-9]*)?e[+]?[0-9]+"
    identifiers = ", ".join(
        "case when "
        + " and ".join(f"not regexp_full_match({part}, {literal(whole)})" for part in parts)
        + f" then {' || chr(124) || '.join(parts)} end"
        for parts in groups.values()
    )
    local, instants = [], []
    for form in fills.time_formats:
        if form == "epoch_ms":
            instants.append(
                "case when regexp_full_match(t_filled_at, '[0-9]{12,14}') "
                "then make_timestamp_ms(cast(t_filled_at as bigint)) end"
            )
        else:
            local.append(f"try_strptime(t_filled_at, {literal(form)})")
    return {
        "address": f"lower({_text(texts, 'address')})",
        "fill_id": f"coalesce({identifiers})",
        "coin": _text(texts, "coin"),
        "side": f"case when {side} in {_listed(fills.buy)} then 'buy' "
        f"when {side} in {_listed(fills.sell)} then 'sell' end",
        "direction": _text(texts, "direction"),
        "position_side": f"case when {direction} in {_listed(fills.long_directions)} then 'long' "
        f"when {direction} in {_listed(fills.short_directions)} then 'short' end",
        "venue": literal(venue.venue),
        "price": number_sql("price", texts),
        "size": number_sql("size", texts),
        "start_position": number_sql("start_position", texts),
        "closed_pnl": number_sql("closed_pnl", texts),
        "charged": number_sql("fee", texts),
        "fee_token": f"upper({_text(texts, 'fee_token')})",
        "local_time": f"coalesce({', '.join([*local, 'cast(null as timestamp)'])})",
        "instant": f"coalesce({', '.join([*instants, 'cast(null as timestamp)'])})",
    }


def _fill_steps(venue: VenueMap) -> list[str]:
    tokens = ", ".join(literal(token.upper()) for token in venue.fills.usd_tokens)
    zone = literal(venue.time_zone)
    in_coin = f"lower(v_direction) in {_listed(venue.fills.coin_fee_directions)}"
    fee = (
        "case when v_fee_token is not null then "
        f"case when v_fee_token in ({tokens}) then v_charged "
        "when v_fee_token = upper(v_coin) then v_charged * v_price end "
        f"when {in_coin} then v_charged * v_price else v_charged end"
    )
    filled = f"coalesce(v_instant, timezone('UTC', timezone({zone}, v_local_time)))"
    return [
        f"{fee} as v_fee, {filled} as v_filled_at",
        f"cast(timezone({zone}, timezone('UTC', v_filled_at)) as date) as v_day",
    ]


def _day_values(venue: VenueMap, texts: dict[str, str]) -> dict[str, str]:
    shapes = [
        r"case when regexp_full_match(t_date, '\d{4}-\d{2}-\d{2}([T ]00:00(:00(\.0+)?)?Z?)?') "
        "then try_cast(left(t_date, 10) as date) end",
        *(f"cast(try_strptime(t_date, {literal(form)}) as date)" for form in venue.days.date_formats),
    ]
    fees = number_sql("fees", texts)
    if "average_fee" in texts:
        fees = f"coalesce({fees}, {number_sql('average_fee', texts)} * {number_sql('n_trades', texts)})"
    pnl = number_sql("daily_pnl", texts)
    return {
        "address": f"lower({_text(texts, 'address')})",
        "venue": literal(venue.venue),
        "daily_pnl": f"{pnl} + coalesce({fees}, 0)" if venue.days.pnl == "net" else pnl,
        "fees": fees,
        "n_trades": number_sql("n_trades", texts),
        "win_rate": number_sql("win_rate", texts),
        "volume_usd": number_sql("volume_usd", texts),
        "long_ratio": number_sql("long_ratio", texts),
        "day": f"coalesce({', '.join(shapes)})",
    }


def _day_end(venue: VenueMap) -> str:
    following = "cast(v_day + 1 as timestamp)"
    return f"timezone('UTC', timezone({literal(venue.time_zone)}, {following})) as v_day_end_at"


def _rules(dataset: RawDataset, file: Inspected, columns: Columns, texts: dict[str, str]) -> list[Rule]:
    rules = repeated_header(file, columns)
    absent = {name: missing_sql(name) for name in dataset.required if name in texts}
    rules.append(Rule("missing_value", any_of(absent), naming(absent, " is empty")))
    odd = r"not regexp_full_match(v_address, '[^\s[:cntrl:]]{1,128}')"
    shown = "'address is ' || to_json(left(v_address, 60)) || ': it holds blanks or control characters, or is too long'"
    rules.append(Rule("bad_address", f"({odd})", shown))
    numbers = [name for name in texts if name in (*_NUMBERS[dataset.name], "average_fee")]
    values = {"fee": "v_charged", "average_fee": number_sql("average_fee", texts)}
    wrong = {name: f"{values.get(name, f'v_{name}')} is null and not {missing_sql(name)}" for name in numbers}
    rules.append(Rule("wrong_type", any_of(wrong), naming(wrong, ", not a finite number", shown=True)))
    return rules + (_fill_rules() if dataset.name == "trader_fills" else _day_rules())


_NUMBERS = {
    "trader_fills": ("price", "size", "start_position", "closed_pnl", "fee"),
    "trader_days": ("daily_pnl", "n_trades", "win_rate", "volume_usd", "long_ratio", "fees"),
}


def _fill_rules() -> list[Rule]:
    money = {"closed_pnl": "abs(v_closed_pnl)", "fee": "abs(v_fee)", "price * size": "v_price * v_size"}
    large = {name: f"{sql} > {LARGEST_USD!r}" for name, sql in money.items()}
    return [
        Rule("bad_side", "(v_side is null)", "'side is ' || to_json(left(t_side, 60)) || ', neither buy nor sell'"),
        Rule(
            "bad_time",
            "(v_filled_at is null)",
            "'filled_at is ' || to_json(left(t_filled_at, 60)) || ', in none of the formats of the venue'",
        ),
        Rule(
            "no_fill_id", "(v_fill_id is null)", "'no group of columns identifies the fill: ids are absent or rounded'"
        ),
        Rule("nonpositive_price", "(v_price <= 0)", "'price is ' || v_price"),
        Rule("nonpositive_size", "(v_size <= 0)", "'size is ' || v_size"),
        Rule(
            "unknown_fee_token",
            "(v_fee is null)",
            "'the fee is in ' || to_json(left(v_fee_token, 60)) || ', neither dollars nor the coin'",
        ),
        Rule("too_large", any_of(large), naming(large, f" is beyond {LARGEST_USD:,.0f} dollars")),
        Rule(
            "future_date",
            "(v_filled_at > instant.now)",
            "'the fill of ' || v_filled_at || ' UTC lies after this ingestion at ' || instant.now || ' UTC'",
        ),
    ]


def _day_rules() -> list[Rule]:
    shares = {name: f"v_{name} not between 0 and 1" for name in _SHARES}
    large = {
        name: f"abs(v_{name}) > {limit!r}"
        for name, limit in {"daily_pnl": LARGEST_USD, "fees": LARGEST_USD, "volume_usd": 100 * LARGEST_USD}.items()
    }
    return [
        Rule("bad_date", "(v_day is null)", "'date is ' || to_json(left(t_date, 60)) || ', not a date as YYYY-MM-DD'"),
        Rule(
            "bad_count",
            "(v_n_trades < 0 or v_n_trades <> round(v_n_trades) or v_n_trades > 10000000)",
            "'n_trades is ' || v_n_trades || ', not a whole number from 0 to 10,000,000'",
        ),
        Rule("bad_share", any_of(shares), naming(shares, " is not a share from 0 to 1")),
        Rule("negative_volume", "(v_volume_usd < 0)", "'volume_usd is ' || v_volume_usd"),
        Rule("too_large", any_of(large), naming(large, " is too large to be summed exactly")),
        Rule(
            "future_date",
            "(v_day_end_at > instant.now)",
            "'the day ' || v_day || ' ends at ' || v_day_end_at || ' UTC, after this ingestion at ' || instant.now "
            "|| ' UTC'",
        ),
    ]
