"""Caps and bins fitted on past dates, and caps for infinite values: the macros' SQL against loops."""

import random
from collections.abc import Sequence
from datetime import date
from math import inf, isinf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import cross_section as oracle
from tests.warehouse.cross_sections import (
    FEATURES,
    Row,
    answers,
    assert_close,
    bits,
    cross_sections,
    database,
    day,
    random_panel,
    rendered,
    values_of,
)
from tests.warehouse.macro_rendering import MacroError

CAPS = """
with daily as (
    select date, {{ cs_daily_caps('x', 0.1, 0.8) }} from universe group by date
),
fitted as (
    select date, {{ cs_past_caps('x', sessions, at_least) }} from daily
)
select universe.date, universe.symbol, {{ cs_winsorize('universe.x', 'fitted') }} as value
from universe inner join fitted on universe.date = fitted.date
"""
BINS = """
with daily as (
    select date, {{ cs_daily_edges('x', bins) }} from universe group by date
),
fitted as (
    select date, {{ cs_past_edges('x', bins, sessions, at_least) }} from daily
)
select universe.date, universe.symbol, {{ cs_bin('universe.x', cs_edge_columns('x', bins, 'fitted')) }} as value
from universe inner join fitted on universe.date = fitted.date
"""
INFINITE = """
with caps as (
    {{ cs_expanding_caps('universe', 'x', 0.95, 10) }}
)
select universe.date, universe.symbol, {{ cs_cap_infinite('universe.x', 'caps') }} as value
from universe inner join caps on universe.date = caps.date
"""


def by_dates(rows: Sequence[Row]) -> tuple[list[date], list[list[Row]]]:
    """The dates, and the rows of each."""
    found = cross_sections(rows)
    return list(found), list(found.values())


def past_caps(rows: Sequence[Row], sessions: int, at_least: int) -> dict[tuple[date, str], float | None]:
    """Values clipped at the medians of past quantiles 0.1 and 0.8, in loops."""
    days, members = by_dates(rows)
    daily = [oracle.quantile_caps(values_of(inside, "x"), 0.1, 0.8) for inside in members]
    lows = oracle.past_medians([low for low, _ in daily], sessions, at_least)
    highs = oracle.past_medians([high for _, high in daily], sessions, at_least)
    return {
        (when, row["symbol"]): value
        for when, inside, low, high in zip(days, members, lows, highs, strict=True)
        for row, value in zip(inside, oracle.clipped(values_of(inside, "x"), (low, high)), strict=True)
    }


@pytest.mark.parametrize("sessions, at_least", [(1, 1), (3, 3), (4, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_past_caps_equal_a_loop(seed: int, sessions: int, at_least: int) -> None:
    """Also with a date on which every value is missing, which does not count."""
    panel = random_panel(seed)
    found = answers(panel, CAPS, sessions=sessions, at_least=at_least)
    assert_close(found, past_caps(panel, sessions, at_least), 1e-14)


@pytest.mark.parametrize("bins", [2, 5, 7])
@pytest.mark.parametrize("seed", range(3))
def test_past_bins_equal_a_loop(seed: int, bins: int) -> None:
    """The number of the bin between the medians of past quantiles."""
    panel = random_panel(seed)
    days, members = by_dates(panel)
    fitted = [
        oracle.past_medians([oracle.quantile_caps(values_of(m, "x"), edge / bins, 1)[0] for m in members], 3, 2)
        for edge in range(1, bins)
    ]
    expected: dict[tuple[date, str], Any] = {}
    for number, (when, inside) in enumerate(zip(days, members, strict=True)):
        found = oracle.bins(values_of(inside, "x"), [edge[number] for edge in fitted])
        expected.update({(when, row["symbol"]): value for row, value in zip(inside, found, strict=True)})
    assert answers(panel, BINS, bins=bins, sessions=3, at_least=2) == expected


@pytest.mark.parametrize("template", [CAPS, BINS, INFINITE])
def test_later_dates_change_nothing(template: str) -> None:
    """Rows of the first dates are the same, whether or not later dates are there: caps and bins know only the past."""
    panel = random_panel(11)
    names = {"sessions": 3, "at_least": 2, "bins": 4}
    later = answers(panel, template, **names)
    for cut in range(1, 12):
        early = answers([row for row in panel if row["date"] < day(cut)], template, **names)
        assert early == {key: value for key, value in later.items() if key[0] < day(cut)}


def test_a_date_does_not_fit_its_own_caps_and_bins() -> None:
    """A panel that is a thousand times as large on its last date keeps that date's caps and edges."""
    panel = random_panel(12)
    last = max(row["date"] for row in panel)
    moved = [
        {**row, "x": row["x"] * 1000 if row["date"] == last and row["x"] is not None else row["x"]} for row in panel
    ]
    fitted = f"""
        with daily as (
            select date, {{{{ cs_daily_caps('x', 0.1, 0.8) }}}}, {{{{ cs_daily_edges('x', 4) }}}}
            from universe group by date
        ),
        fitted as (
            select date, {{{{ cs_past_caps('x', 3) }}}}, {{{{ cs_past_edges('x', 4, 3) }}}} from daily
        )
        select * from fitted where date = '{last}'
    """
    before, after = (database(rows).execute(rendered(fitted)).fetchall() for rows in (panel, moved))
    assert before == after
    assert len(before[0]) == 6
    assert None not in before[0]


@given(
    dates=st.lists(st.lists(st.one_of(st.none(), st.floats(-9, 9, width=32)), min_size=1, max_size=5), max_size=7),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_row_order_and_threads_leave_no_trace(dates: list[list[float | None]], seed: int) -> None:
    """A shuffled table, on two threads, has the same bits."""
    panel = [
        {"date": day(index), "symbol": f"S{n}", "sector_group": "", **dict.fromkeys(FEATURES), "x": value}
        for index, values in enumerate(dates)
        for n, value in enumerate(values)
    ]
    shuffled = random.Random(seed).sample(panel, len(panel))
    for template in (CAPS, BINS, INFINITE):
        sql = rendered(template, sessions=2, at_least=1, bins=3)
        ordered = f"select * from ({sql}) order by date, symbol"
        assert bits(database(panel), ordered) == bits(database(shuffled, threads=2), ordered)


@pytest.mark.parametrize("seed", range(3))
def test_infinite_values_are_capped_at_what_was_known(seed: int) -> None:
    """At the 95th percentile of all finite values so far, at least 10, NaN too; missing stays missing."""
    draw = random.Random(seed)
    panel = [
        {**row, "x": draw.choice([row["x"], row["x"], inf, -inf, nan]) if row["date"] != day(0) else inf}
        for row in random_panel(seed)
    ]
    days, members = by_dates(panel)
    caps = oracle.expanding_caps([values_of(inside, "x") for inside in members], 0.95, 10)
    expected = {
        (when, row["symbol"]): cap if row["x"] is not None and (isinf(row["x"]) or row["x"] != row["x"]) else row["x"]
        for when, inside, cap in zip(days, members, caps, strict=True)
        for row in inside
    }
    assert caps[0] == 10
    assert caps[-1] > 10
    assert_close(answers(panel, INFINITE), expected, 1e-14)


def test_a_value_on_an_edge_is_in_the_lower_bin() -> None:
    """As in pandas.cut: yesterday's median is 2, so 2 is in bin 1 and 3 in bin 2."""
    panel = [
        {"date": day(index), "symbol": f"S{n}", "sector_group": "", **dict.fromkeys(FEATURES), "x": float(n)}
        for index in range(2)
        for n in range(5)
    ]
    found = answers(panel, BINS, bins=2, sessions=1, at_least=1)
    assert [found[day(1), f"S{n}"] for n in range(5)] == [1, 1, 1, 2, 2]
    assert {value for (when, _), value in found.items() if when == day(0)} == {None}


@pytest.mark.parametrize(
    "template, words",
    [
        ("{{ cs_past_caps('x', 0) }}", "sessions is 0"),
        ("{{ cs_past_caps('x', -5) }}", "would read the future"),
        ("{{ cs_past_caps('x', 5, 6) }}", "at_least is 6"),
        ("{{ cs_daily_caps('x', 0.8, 0.1) }}", "lower, upper is 0.8, 0.1"),
        ("{{ cs_daily_edges('x', 1) }}", "bins is 1"),
        ("{{ cs_bin('x', []) }}", "edges is empty"),
    ],
)
def test_a_wrong_argument_is_refused_while_dbt_parses(template: str, words: str) -> None:
    """With what was given, and a remedy."""
    with pytest.raises(MacroError, match=words):
        rendered(template)
