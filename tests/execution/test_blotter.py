"""The blotter: what is written is there after any kill, once, and damage is seen."""

import json
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from tests.lake.killing import Act, in_child, killed_before
from trademl.errors import ArtifactError
from trademl.execution.blotter import Adjustment, Blotter, Header, recorded_fills
from trademl.execution.broker import BrokerOrder, Fill, Order, Status
from trademl.execution.orders import PlannedOrder, client_order_id
from trademl.lake.layout import Layout

DT = date(2024, 1, 5)
RUN = "equities-fwd_5d-0123456789ab"
OPEN, CLOSE = datetime(2024, 1, 8, 14, 30), datetime(2024, 1, 8, 21)
NAMES = tuple(client_order_id(RUN, DT, symbol, 0) for symbol in ("A", "B"))
HEADER = Header(
    "paper", "fake", "equities", RUN, RUN, "p", DT, date(2024, 1, 8), OPEN, CLOSE, 1e6, 9e5, {"A": 5.0}, ("a note",)
)
ORDERS = tuple(
    PlannedOrder(Order(name, symbol, "buy", 10), 0, OPEN, None, 50.0)
    for name, symbol in zip(NAMES, ("A", "B"), strict=True)
)


def clock() -> datetime:
    return datetime(2024, 1, 8, 12)


def blotter(root: Path) -> Blotter:
    return Blotter(Layout(root), "paper", now=clock)


def answer(name: str, status: Status = "accepted", filled: float = 0.0) -> BrokerOrder:
    return BrokerOrder(name, f"b-{name}", "A", "buy", 10, filled, 50.0 if filled else None, status, "", OPEN)


def fill(number: int, quantity: float = 4.0, symbol: str = "A") -> Fill:
    return Fill(f"f-{number}", f"b-{NAMES[0]}", symbol, quantity, 50.0, 0.1, OPEN)


def write(root: Path, act: Act = lambda _: None) -> None:
    """Write a session down, as trading does."""
    book = blotter(root)
    with book.lock():
        segment = book.segment(DT, repair=True)
        if segment.header is None:
            segment.plan(HEADER, ORDERS)
        for name in NAMES:
            if segment.orders[name].status == "planned":
                segment.intent(name)
            if segment.orders[name].status == "sending":
                segment.answer(answer(name))
        segment.fill(NAMES[0], fill(1))
        segment.fill(NAMES[0], fill(2, 6.0))
        segment.answer(answer(NAMES[0], "filled", 10.0))
        book.publish(segment)


def test_a_second_reader_finds_everything(tmp_path: Path) -> None:
    """Plan, statuses, fills and adjustments read back as they were written."""
    write(tmp_path)
    book = blotter(tmp_path)
    segment = book.segment(DT)
    segment.adjust(Adjustment("A", 10.0, "split 2 for 1", DT))
    again = blotter(tmp_path).segment(DT)
    assert again.header == HEADER
    assert [one.planned for one in again.orders.values()] == list(ORDERS)
    assert [one.status for one in again.orders.values()] == ["filled", "accepted"]
    assert [event["status"] for event in again.orders[NAMES[0]].events] == ["planned", "sending", "accepted", "filled"]
    assert blotter(tmp_path).positions() == {"A": 20.0}
    assert again.adjustments == [Adjustment("A", 10.0, "split 2 for 1", DT)]
    found = book.segment_of(NAMES[1])
    assert found is segment
    assert book.segment_of("placed by hand") is None


def test_the_same_thing_is_written_once(tmp_path: Path) -> None:
    """A fill, an answer without news, an adjustment and the end of a journal change nothing the second time."""
    write(tmp_path)
    segment = blotter(tmp_path).segment(DT)
    size = segment.path.stat().st_size
    assert segment.fill(NAMES[0], fill(1)) is False
    segment.answer(answer(NAMES[0], "filled", 10.0))
    segment.answer(answer(NAMES[0]))
    assert segment.path.stat().st_size == size
    segment.adjust(Adjustment("A", 1.0, "x", DT))
    segment.close()
    size = segment.path.stat().st_size
    segment.adjust(Adjustment("A", 1.0, "x", DT))
    segment.close()
    assert segment.path.stat().st_size == size


def test_publishing_gives_every_event_and_fill_once(tmp_path: Path) -> None:
    """ops.orders has a row per event, ops.fills one per fill; publishing again adds no row to either."""
    write(tmp_path)
    book = blotter(tmp_path)
    segment = book.segment(DT, repair=True)
    book.publish(segment)
    files = {name: [str(path) for path in Layout(tmp_path).batch_files(f"ops.{name}")] for name in ("orders", "fills")}
    assert {name: len(paths) for name, paths in files.items()} == {"orders": 1, "fills": 1}
    with duckdb.connect() as con:
        rows = con.execute(
            "select symbol, list(status order by event_seq) from read_parquet(?) group by 1 order by 1",
            [files["orders"]],
        ).fetchall()
    assert rows == [("A", ["planned", "sending", "accepted", "filled"]), ("B", ["planned", "sending", "accepted"])]
    assert recorded_fills(Layout(tmp_path), "paper") == {"A": 10.0}
    assert recorded_fills(Layout(tmp_path), "another") == {}


def test_a_line_that_was_cut_short_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    """A reader leaves the torn line alone, a writer cuts it off; what stood before it stays."""
    write(tmp_path)
    path = blotter(tmp_path).segment(DT).path
    whole = path.read_bytes()
    for cut in (1, 9, 40):
        last = whole.splitlines(keepends=True)[-1]
        path.write_bytes(whole[: -len(last)] + last[:-cut])
        assert blotter(tmp_path).segment(DT).orders[NAMES[0]].status == "accepted"
        assert path.stat().st_size == len(whole) - cut
        blotter(tmp_path).segment(DT, repair=True)
        assert path.read_bytes() == whole[: -len(last)]


@pytest.mark.parametrize("damage", ["altered", "removed", "swapped", "appended"])
def test_a_line_that_was_altered_is_an_error(tmp_path: Path, damage: str) -> None:
    """A changed digit, a missing line, two lines in the other order, a foreign line: nothing is read from the rest."""
    write(tmp_path)
    path = blotter(tmp_path).segment(DT).path
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = {
        "altered": [lines[0], lines[1].replace(b'"n":2', b'"n":9'), *lines[2:]],
        "removed": [lines[0], *lines[2:]],
        "swapped": [lines[0], lines[2], lines[1], *lines[3:]],
        "appended": [*lines, b"00000000 {}\n"],
    }[damage]
    path.write_bytes(b"".join(damaged))
    with pytest.raises(ArtifactError, match="damaged or missing"):
        blotter(tmp_path).segment(DT, repair=True)


@pytest.mark.fault
@pytest.mark.slow
def test_a_kill_before_any_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed before each of its steps in turn and run again, the journal tells the same story and publishes it once."""
    (tmp_path / "whole").mkdir()
    undisturbed = killed_before(None, tmp_path / "whole", lambda act: write(tmp_path / "whole", act))
    assert not undisturbed.killed
    wanted = in_child(lambda: told(tmp_path / "whole"))
    assert len(undisturbed.steps) > 20
    for stop in range(1, len(undisturbed.steps) + 1):
        root = tmp_path / str(stop)
        root.mkdir()
        ended = killed_before(stop, root, lambda act, root=root: write(root, act))
        assert ended.killed
        assert not killed_before(None, root, lambda act, root=root: write(root, act)).error
        assert in_child(lambda root=root: told(root)) == wanted


def told(root: Path) -> list[object]:
    """Return what the journal and the published rows say."""
    segment = blotter(root).segment(DT)
    events = {name: [event["status"] for event in one.events] for name, one in segment.orders.items()}
    with duckdb.connect() as con:
        rows = {
            name: con.execute(f"select count(distinct {key}), count(*) from read_parquet(?)", [files]).fetchall()
            for name, key in (("orders", "(client_order_id, event_seq)"), ("fills", "fill_id"))
            if (files := [str(path) for path in Layout(root).batch_files(f"ops.{name}")])
        }
    return json.loads(json.dumps([events, sorted(segment.fills), {name: row[0][0] for name, row in rows.items()}]))


def test_an_account_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    """A path in the account's name would lead out of the lake."""
    with pytest.raises(ArtifactError, match="no account's name"):
        Blotter(Layout(tmp_path), "../elsewhere")
