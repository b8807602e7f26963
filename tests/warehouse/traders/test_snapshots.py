"""Snapshots and labels against the oracle, in silence, after death and return, and with rows that came late."""

import random
from collections.abc import Mapping
from datetime import date, timedelta
from math import isinf
from typing import Any

import pytest

from tests.oracles import traders as oracle
from tests.warehouse.traders.project import GOLD, SILVER, START, Row, account_day, built, day, midnight, table

SNAPSHOTS = (*SILVER, "gld_ml_feature_snapshots")
LABELS = (*SNAPSHOTS, "gld_traders_labels")
Record = list[dict[str, float | None]]


def record(seed: int, length: int, chance: float) -> Record:
    """Random days with fills; the first day has some, and no silence lasts longer than 60 days."""
    draw = random.Random(seed)
    found: Record = []
    last = -1
    for number in range(length):
        if number and draw.random() > chance and number - last < 60:
            continue
        last = number
        n = draw.randint(1, 40)
        found.append(
            {
                "day": number,
                "pnl": draw.choice([0.0, round(draw.gauss(5, 400), 6), round(abs(draw.gauss(0, 50)), 6)]),
                "n_trades": n,
                "n_wins": draw.randint(0, n),
                "n_long": draw.randint(0, n),
                "volume": round(draw.uniform(10, 90000), 6),
            }
        )
    return found


def rows_of(address: str, days: Record) -> list[Row]:
    """The record as landed account-days."""
    return [
        account_day(
            address,
            int(item["day"] or 0),
            float(item["pnl"] or 0),
            int(item["n_trades"] or 0),
            win_rate=float(item["n_wins"] or 0) / float(item["n_trades"] or 1),
            long_ratio=float(item["n_long"] or 0) / float(item["n_trades"] or 1),
            volume_usd=item["volume"],
        )
        for item in days
    ]


def assert_same(found: Mapping[str, Any], expected: Mapping[str, float | None], at: object) -> None:
    """Every feature is equal to 1e-9 of its size, missing where it is missing and infinite where it is."""
    for name, value in expected.items():
        got = found[name]
        if value is None or isinf(value):
            assert got == value, (at, name)
        else:
            assert got == pytest.approx(value, rel=1e-9, abs=1e-9), (at, name)


@pytest.mark.parametrize("seed, length, chance", [(1, 1, 1.0), (2, 40, 0.9), (3, 230, 0.5), (4, 230, 0.05)])
def test_snapshots_equal_the_oracle(seed: int, length: int, chance: float) -> None:
    """All 18 features of every day, idle days included; columns in the seed's order."""
    days = record(seed, length, chance)
    # A second trader keeps the record going to the last day.
    con = built(
        days=[*rows_of("a", days), account_day("z", 0, 1.0), account_day("z", length + 3, 1.0)], models=SNAPSHOTS
    )
    found = {at: row for (address, at), row in table(con, "gld_ml_feature_snapshots").items() if address == "a"}
    assert list(next(iter(found.values())))[1:-2] == oracle.FEATURE_COLUMNS
    last = int(days[-1]["day"] or 0)
    assert sorted(found) == [day(number) for number in range(min(last + 90, length + 3) + 1)]
    for at, row in found.items():
        assert_same(row, oracle.snapshots_of(days, (at - START).days), at)


def test_a_silent_trader_ends_and_one_that_comes_back_begins_anew() -> None:
    """91 days of silence are bridged; after more the record stops on the 90th day, and starts again with age 1."""
    con = built(
        days=[account_day("a", 0, 5.0), account_day("a", 91, 7.0), account_day("b", 0, 5.0), account_day("b", 92, 7.0)],
        models=SNAPSHOTS,
    )
    rows = table(con, "gld_ml_feature_snapshots")
    assert [at for address, at in rows if address == "a"] == [day(number) for number in range(93)]
    assert ("b", day(91)) not in rows
    assert ("b", day(90)) in rows
    assert rows["b", day(92)]["pnl_volatility"] is None
    assert rows["a", day(91)]["pnl_volatility"] == pytest.approx(7 / 90**0.5)
    assert rows["b", day(90)]["trade_count"] == 0
    assert rows["b", day(90)]["win_rate"] is None


def late_panel() -> list[Row]:
    """Three traders; for one a day is corrected, one comes late, and both count from day 30 or 40 on."""
    rows = [*rows_of("a", record(5, 60, 0.6)), *rows_of("b", record(6, 60, 0.6)), *rows_of("c", record(7, 60, 0.9))]
    late = account_day("a", 20, -900.0, 3, known_at=midnight(31), ingested_at=midnight(31))
    rows = [row for row in rows if not (row["address"] == "a" and row["date"] == late["date"])]
    wrong = next(row for row in rows if row["address"] == "b" and row["date"] >= day(12))
    corrected = wrong | {"daily_pnl": 4321.0, "known_at": midnight(40) + timedelta(hours=2)}
    return [*rows, late, corrected | {"ingested_at": corrected["known_at"]}]


def known_by(rows: list[Row], number: int) -> list[Row]:
    """The rows that were known when day ``number`` ended."""
    return [row for row in rows if row["known_at"] <= midnight(number + 1)]


def test_no_snapshot_depends_on_what_came_later() -> None:
    """Built from what was known at the end of any day, its snapshots are those of the whole build, bit for bit."""
    rows = late_panel()
    whole = table(built(days=rows, models=SNAPSHOTS), "gld_ml_feature_snapshots")
    for number in (10, 19, 20, 29, 30, 31, 39, 40, 45, 59):
        then = table(built(days=known_by(rows, number), models=SNAPSHOTS), "gld_ml_feature_snapshots")
        earlier = {key: row for key, row in whole.items() if key[1] <= max(at for _, at in then)}
        assert then == earlier, number


def test_a_late_row_changes_snapshots_from_its_effective_date_on() -> None:
    """Known at the very end of day 30, the late day counts on day 30; the correction at 2 o'clock of day 40 on 40."""
    rows = late_panel()
    whole = table(built(days=rows, models=SNAPSHOTS), "gld_ml_feature_snapshots")
    without = [row for row in rows if row["known_at"] <= row["day_end_at"]]
    plain = table(built(days=without, models=SNAPSHOTS), "gld_ml_feature_snapshots")
    changed = {key for key in whole if whole[key] != plain.get(key)}
    assert min(at for address, at in changed if address == "a") == day(30)
    assert min(at for address, at in changed if address == "b") == day(40)
    assert not [key for key in changed if key[0] == "c"]


def test_labels_are_the_next_seven_days_as_known_at_their_end() -> None:
    """A day that came late counts in labels that end from its effective date on; pending ones have no value."""
    rows = late_panel()
    con = built(days=rows, models=LABELS)
    labels = table(con, "gld_traders_labels")
    for (address, at), row in labels.items():
        number = (at - START).days
        assert row["label_end_date"] == at + timedelta(days=7)
        if number + 7 > 59:
            assert row["forward_pnl_7d"] is None
            assert row["target_dm"] is None
            continue
        known = known_by([item for item in rows if item["address"] == address], number + 7)
        latest: dict[date, float] = {}
        for item in sorted(known, key=lambda item: item["known_at"]):
            latest[item["date"]] = item["daily_pnl"] - (item["fees"] or 0)
        expected = sum(pnl for when, pnl in latest.items() if at < when <= at + timedelta(days=7))
        assert row["forward_pnl_7d"] == pytest.approx(expected, abs=1e-9), (address, at)


def test_targets_equal_the_oracle() -> None:
    """Winsorised with the limits of all dates so far, and demeaned per date."""
    con = built(days=late_panel(), models=LABELS)
    labels = table(con, "gld_traders_labels")
    expected = oracle.targets({(str(a), at): row["forward_pnl_7d"] for (a, at), row in labels.items()})
    found = {key: row["target_dm"] for key, row in labels.items() if row["target_dm"] is not None}
    assert found == pytest.approx(expected, abs=1e-9)


def test_labels_of_a_trader_that_vanishes_go_on() -> None:
    """A trader without fills makes 0, to the end of the record: who vanishes is not left out."""
    con = built(days=[account_day("a", 0, 5.0), account_day("z", 0, 1.0), account_day("z", 95, 1.0)], models=LABELS)
    labels = {
        at: row["forward_pnl_7d"] for (address, at), row in table(con, "gld_traders_labels").items() if address == "a"
    }
    assert labels[day(88)] == 0.0
    assert labels[day(89)] is None
    assert max(labels) == day(90)


def test_every_model_is_a_typed_empty_table_before_anything_lands() -> None:
    """No rows, no error."""
    con = built(models=(*SILVER, *GOLD))
    for model in (*SILVER, *GOLD):
        assert con.execute(f"select count(*) from {model}").fetchall() == [(0,)], model


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_change_no_bit(threads: int) -> None:
    """Every gold table of 300 traders has the same rows, bit for bit, for any number of threads."""
    rows = [row for number in range(300) for row in rows_of(f"0x{number:03d}", record(number, 60, 0.7))]
    hashes = []
    for count in (2, threads):
        con = built(days=rows, threads=count)
        hashes.append(
            {
                model: con.execute(f"select sum(hash(t)::hugeint), count(*) from {model} as t").fetchall()
                for model in GOLD
            }
        )
    assert hashes[0] == hashes[1]
