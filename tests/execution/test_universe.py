"""Universes: each rule by a symbol that breaks it, what was known at the close, and files that stay."""

import json
from datetime import timedelta

import pytest

from tests.execution.priced_home import MONDAY, NOW, THURSDAY, TUESDAY, WEDNESDAY, write_warehouse
from trademl.config.home import Home
from trademl.errors import DataGateError
from trademl.execution.universe import Judged, Universe, as_document, build_universe, judge, read_universe
from trademl.lake.layout import layout_of
from trademl.portfolio.config import UniverseConfig

RULES = UniverseConfig(min_price_usd=5, min_day_value_usd=5e6, min_history_sessions=2, min_present=0.6, max_names=2)


def made(home: Home, settings: UniverseConfig = RULES, **other: object) -> Universe:
    return build_universe(home, None, settings, now=lambda: NOW, **other)  # type: ignore[arg-type]


def reasons(universe: Universe) -> dict[str, tuple[str, ...]]:
    return {one.symbol: one.reasons for one in universe.judged}


def test_every_rule_names_its_reason(home: Home) -> None:
    """A and B are the most liquid members; C is beyond two names, D and G no members, E too cheap, Z never landed."""
    write_warehouse(home)
    found = made(home)
    assert found.symbols == ("A", "B")
    assert [one.symbol for one in found.judged] == ["A", "B", "C", "D", "E", "G", "Z"]
    assert reasons(found) == {
        "A": (),
        "B": (),
        "C": ("max_names: liquidity rank 3, beyond 2",),
        "D": ("members_only: not a member on the session",),
        "E": ("min_price_usd: 4.00 USD, below 5", "min_day_value_usd: 1,000,000 USD, below 5,000,000"),
        "G": ("members_only: not a member on the session",),
        "Z": ("no bar within the window",),
    }
    assert found.judged[4].broken == ("min_price_usd", "min_day_value_usd")
    assert [one.liquidity_rank for one in found.judged] == [1, 2, 3, None, None, None, None]


def test_absent_sessions_count_as_nothing_traded(home: Home) -> None:
    """A without two of its three bars: median 0, a third of the window, one session of history, and no bar today."""
    write_warehouse(home, "delete from silver.equity_bars where symbol = 'A' and date > date '2024-01-08'")
    assert reasons(made(home))["A"] == (
        "no bar on the session",
        "min_day_value_usd: 0 USD, below 5,000,000",
        "min_history_sessions: 1, below 2",
        "min_present: bars on 33.3%, below 60.0%",
    )


def test_a_listing_that_ended_gives_no_history(home: Home) -> None:
    """After ten absent sessions a symbol begins again, whatever it was before."""
    long_ago = (
        "insert into silver.equity_bars select 'A', date '2023-12-01', {index}, 'tech', 100, 4e7, 1, "
        "timestamp '2023-12-01 21:00:00'"
    )
    write_warehouse(home, long_ago.format(index=-10))
    assert next(one for one in made(home).judged if one.symbol == "A").history_sessions == 4
    write_warehouse(home, long_ago.format(index=-11))
    assert next(one for one in made(home).judged if one.symbol == "A").history_sessions == 3


def test_what_became_known_later_does_not_count(home: Home) -> None:
    """A bar that was corrected on Thursday counts as absent on Wednesday; Thursday's own bars change nothing."""
    write_warehouse(
        home,
        "update silver.equity_bars set close = 1, known_at = timestamp '2024-01-11 21:00:00' "
        "where symbol = 'A' and date = date '2024-01-10'",
        "insert into silver.equity_bars select symbol, date '2024-01-11', 3, sector, close, 1e12, 1, "
        "timestamp '2024-01-11 21:00:00' from silver.equity_bars where date = date '2024-01-10'",
    )
    found = build_universe(home, WEDNESDAY, RULES, now=lambda: NOW)
    assert reasons(found)["A"] == ("no bar on the session",)
    assert found.symbols == ("B", "C")


def test_a_universe_is_a_file_that_stays(home: Home) -> None:
    """Making it again writes nothing, another one is another file, and the newest up to a date is read."""
    write_warehouse(home)
    assert made(home).written
    assert not build_universe(home, None, RULES, now=lambda: NOW + timedelta(hours=1)).written
    first = layout_of(home).batch_files("ops.universe")
    assert len(first) == 1
    assert read_universe(home, THURSDAY) == (WEDNESDAY, frozenset("AB"))
    narrow = RULES.model_copy(update={"max_names": 1})
    assert build_universe(home, None, narrow, now=lambda: NOW + timedelta(hours=2)).written
    assert layout_of(home).batch_files("ops.universe")[:1] == first
    assert read_universe(home, WEDNESDAY) == (WEDNESDAY, frozenset("A"))
    build_universe(home, MONDAY, RULES.model_copy(update={"min_history_sessions": 0}), now=lambda: NOW)
    assert read_universe(home, TUESDAY)[0] == MONDAY


def test_a_dry_run_writes_nothing(home: Home) -> None:
    """And there is no universe to read."""
    write_warehouse(home)
    assert made(home, write=False).symbols == ("A", "B")
    with pytest.raises(DataGateError, match=r"(?s)no universe of 2024-01-10 or before.*trademl universe build"):
        read_universe(home, WEDNESDAY)


def test_a_day_without_bars_is_no_session(home: Home) -> None:
    """The message names the one before."""
    write_warehouse(home)
    with pytest.raises(DataGateError, match=r"no symbol has a bar on 2024-01-11; .* is 2024-01-10"):
        build_universe(home, THURSDAY, RULES)


def test_ties_in_liquidity_go_by_name() -> None:
    """The order of the facts does not matter."""
    facts = [Judged(symbol, None, True, 10.0, 1e7, 500, 1.0, (), None) for symbol in "CAB"]
    ranked = judge(facts, UniverseConfig(max_names=2))
    assert [(one.symbol, one.is_included) for one in ranked] == [("A", True), ("B", True), ("C", False)]
    assert judge(facts[::-1], UniverseConfig(max_names=2)) == ranked


def test_the_document_holds_every_verdict(home: Home) -> None:
    """As JSON."""
    write_warehouse(home)
    document = json.loads(json.dumps(as_document(made(home))))
    assert (document["dt"], document["included"], len(document["symbols"])) == ("2024-01-10", 2, 7)
    assert document["symbols"][2]["reasons"] == ["max_names: liquidity rank 3, beyond 2"]
    assert document["settings"]["max_names"] == 2
