"""What is read from a snapshot at a decision."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from tests.execution.conftest import Floor
from tests.execution.trading_home import FIRST, RUN, SYMBOLS, at, change_warehouse
from trademl.errors import ConfigError, DataGateError
from trademl.execution.facts import Facts
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot
from trademl.validation.drift import drift_from_bins, reference_bins


@pytest.fixture
def facts(floor: Floor) -> Iterator[Facts]:
    with open_snapshot(layout_of(floor.home)) as snapshot:
        yield Facts(snapshot.con)


def plain(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def test_sessions(facts: Facts, floor: Floor) -> None:
    """Hours of a session, the next one over a weekend, those that closed in between, the last one decided."""
    friday = next(day for day in floor.days if day.weekday() == 4)
    hours = facts.hours(friday)
    assert hours is not None
    assert (hours.open_at, hours.close_at) == (plain(at(friday, 14, 30)), plain(at(friday, 21)))
    assert facts.hours(friday + timedelta(1)) is None
    assert facts.next_session(friday).date == friday + timedelta(3)
    monday = friday + timedelta(3)
    assert [one.date for one in facts.sessions(friday, plain(at(monday, 20, 59)))] == []
    assert [one.date for one in facts.sessions(friday, plain(at(monday, 21)))] == [monday]
    assert facts.last_decided(plain(at(monday, 21, 14))) == friday
    assert facts.last_decided(plain(at(monday, 21, 15))) == monday
    assert facts.session_after(date(2030, 1, 1)) is None
    with pytest.raises(ConfigError, match="no session after"):
        facts.next_session(date(2030, 1, 1))


def test_a_bar_is_seen_when_it_is_known(facts: Facts, floor: Floor) -> None:
    """Bars are known at 21:10: not a minute before, whoever asks."""
    day = floor.days[0]
    assert facts.bars(day, ["S00"], plain(at(day, 21, 9))) == {}
    assert not facts.has_bars(day, plain(at(day, 21, 9)))
    assert set(facts.bars(day, ["S00", "NONE"], plain(at(day, 21, 10)))) == {"S00"}
    assert facts.has_bars(day, plain(at(day, 21, 10)))


def test_marks_are_the_last_closes(floor: Floor) -> None:
    """Of a symbol that stopped trading the last close there was, months ago too; nothing after the day."""
    day = floor.days[0]
    change_warehouse(
        floor.home,
        f"update silver.equity_bars set close = 77.0 where symbol = 'S01' and date = '{FIRST}'",
        f"delete from silver.equity_bars where symbol = 'S01' and date > '{FIRST}'",
        f"update silver.equity_bars set close = 55.5 where symbol = 'S00' and date = '{day}'",
    )
    with open_snapshot(layout_of(floor.home)) as snapshot:
        found = Facts(snapshot.con).marks(day, ["S00", "S01", "NONE"])
        later = Facts(snapshot.con).marks(FIRST + timedelta(400), ["S01"])
    assert found == {"S00": 55.5, "S01": 77.0}
    assert later == {"S01": 77.0}


def test_targets_are_those_of_the_newest_date(facts: Facts, floor: Floor) -> None:
    """Without a date the newest; volumes are values by prices, volatility is of a session."""
    newest = facts.targets("equities")
    assert (newest.dt, newest.run_id, len(newest.rows)) == (floor.days[2], RUN, len(SYMBOLS))
    first = facts.targets("equities", floor.days[0])
    one = first.rows[0]
    assert one.day_volume == pytest.approx(50e6 / one.price)
    assert one.day_volatility == pytest.approx(0.16 / 252**0.5)


def test_targets_that_are_missing_or_of_another_sleeve_are_refused(facts: Facts) -> None:
    """A date without a decision, a sleeve without daily bars."""
    with pytest.raises(ConfigError, match="no targets"):
        facts.targets("equities", date(2020, 1, 1))
    with pytest.raises(ConfigError, match="cannot be traded"):
        facts.targets("traders")


def test_data_facts_of_a_good_session(facts: Facts, floor: Floor) -> None:
    """GREEN, decided last, labels that ended that day, and a drift that is the index of the scores themselves."""
    day = floor.days[0]
    targets = facts.targets("equities", day)
    found = facts.data(targets, plain(at(day, 22)))
    assert found.coverage == ("GREEN", "")
    assert found.sessions_behind == 0
    assert found.model_age_days == 0
    rows = facts.con.execute(
        "select dt, yhat from preds.oof where run_id = ? and dt < ? order by dt, entity", [RUN, day]
    ).fetchall()
    values = np.array([row[1] for row in rows])
    edges, shares = reference_bins(values)
    assert found.prediction is not None
    assert found.prediction.index == pytest.approx(drift_from_bins(edges, shares, targets.scores))
    by_day = [np.array([row[1] for row in rows if row[0] == one]) for one in {row[0] for row in rows}]
    assert found.prediction.worst == pytest.approx(max(drift_from_bins(edges, shares, one) for one in by_day))
    assert [one.name for one in found.features] == ["momentum_20d_dm"]
    later = facts.data(targets, plain(at(floor.days[1], 21, 15)))
    assert later.sessions_behind == 1


def test_what_comes_after_the_decision_changes_no_fact(floor: Floor) -> None:
    """Poisoned features, coverage and labels after the date: the facts of the date stay."""
    day = floor.days[0]

    def read() -> object:
        with open_snapshot(layout_of(floor.home)) as snapshot:
            facts = Facts(snapshot.con)
            targets = facts.targets("equities", day)
            return facts.data(targets, plain(at(day, 22))), facts.marks(day, SYMBOLS), facts.listed(day)

    before = read()
    change_warehouse(
        floor.home,
        f"update gold.equities_features set momentum_20d_dm = 1e6 where date > '{day}'",
        f"update silver.coverage set status = 'RED' where date > '{day}'",
        f"update silver.equity_bars set close = 1e6, symbol = 'POISON' where date > '{day}'",
    )
    assert read() == before


def test_mixed_targets_are_refused(floor: Floor) -> None:
    """Two models in one decision."""
    from trademl.lake.batches import write_rows

    day = floor.days[3]
    row = {
        "sleeve": "equities", "dt": day, "sector": "Tech", "weight": 0.01, "held_weight": 0.0, "score": 0.1,
        "rank_pct": 0.5, "volatility": 0.2, "price_usd": 50.0, "day_value_usd": 1e6, "cost_usd": 0.0,
        "equity_usd": 1e6, "run_id": None, "horizon": 5, "optimiser": "ranked", "portfolio_hash": "p", "notes": "[]",
        "recorded_at": plain(at(day, 22)),
    }  # fmt: skip
    write_rows(
        layout_of(floor.home),
        "ops.targets",
        [{**row, "symbol": "A", "model_id": "one"}, {**row, "symbol": "B", "model_id": "two"}],
    )
    change_warehouse(floor.home)
    with open_snapshot(layout_of(floor.home)) as snapshot, pytest.raises(DataGateError, match="2 models"):
        Facts(snapshot.con).targets("equities", day)
