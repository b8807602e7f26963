"""Bars from Alpaca, against a server on this machine that answers as Alpaca documents."""

from datetime import date, datetime

import pytest

from tests.warehouse.ingest.desk import NOW, Desk
from tests.warehouse.sources.vendor import Answer, Query, vendor
from trademl.errors import ConfigError, IngestError, MissingExtra
from trademl.warehouse.sources import ingest_bars
from trademl.warehouse.sources.alpaca import AlpacaSource

alpaca = pytest.importorskip("alpaca.data", reason="alpaca-py is not installed")

START, END = date(2026, 11, 16), date(2026, 11, 18)


def bar(day: int, close: float) -> dict[str, object]:
    """Return a bar as Alpaca sends it: a session starts at midnight in New York."""
    return {
        "t": f"2026-11-{day}T05:00:00Z",
        "o": close,
        "h": close + 1,
        "l": close - 1,
        "c": close,
        "v": 1000,
        "n": 3,
        "vw": 1,
    }


ACTIONS = {
    "corporate_actions": {
        "forward_splits": [{"symbol": "AAA", "ex_date": "2026-11-17", "new_rate": 4, "old_rate": 1}],
        "cash_dividends": [{"symbol": "BBB", "ex_date": "2026-11-18", "rate": 0.25}],
    },
    "next_page_token": None,
}


def pages(path: str, query: Query) -> Answer:
    """Answer with two pages of bars: AAA's last bar is on the second."""
    if "corporate-actions" in path:
        return 200, ACTIONS
    if "page_token" not in query:
        return 200, {"bars": {"AAA": [bar(16, 40), bar(17, 10)]}, "next_page_token": "two"}
    return 200, {"bars": {"AAA": [bar(18, 11)], "BBB": [bar(18, 20)]}, "next_page_token": None}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys as a user exports them; alpaca-py's pause before a retry takes no time."""
    monkeypatch.setenv("APCA_API_KEY_ID", "key")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "secret")
    monkeypatch.setattr("alpaca.common.rest.time.sleep", lambda seconds: None)


def test_pages_splits_and_dividends_become_raw_bars(desk: Desk) -> None:
    """All pages land; the split and the dividend sit on their ex-dates; a symbol without bars is noted."""
    with vendor(pages) as server:
        report = ingest_bars(
            desk.home, AlpacaSource(url=server.url), ["AAA", "BBB", "ZZZ"], START, END, now=lambda: NOW
        )
    assert (report.rows_in, report.landed) == (4, 4)
    assert report.notes == ("no bar of ZZZ from 2026-11-16 to 2026-11-18",)
    columns = "symbol, date, close, split_coefficient, dividend_amount, source, known_at"
    assert desk.rows(f"select {columns} from landed order by symbol, date") == [
        ("AAA", date(2026, 11, 16), 40.0, 1.0, 0.0, "alpaca", datetime(2026, 11, 16, 21, 15)),
        ("AAA", date(2026, 11, 17), 10.0, 4.0, 0.0, "alpaca", datetime(2026, 11, 17, 21, 15)),
        ("AAA", date(2026, 11, 18), 11.0, 1.0, 0.0, "alpaca", datetime(2026, 11, 18, 21, 15)),
        ("BBB", date(2026, 11, 18), 20.0, 1.0, 0.25, "alpaca", datetime(2026, 11, 18, 21, 15)),
    ]
    (first, _) = [query for path, query in server.requests if path == "/v2/stocks/bars"]
    assert (first["adjustment"], first["feed"], first["timeframe"]) == ("raw", "iex", "1Day")


def test_fetching_the_same_bars_again_changes_nothing(desk: Desk) -> None:
    """An API answer is a file like any other."""
    with vendor(pages) as server:
        source = AlpacaSource(url=server.url)
        for batch in (True, False):
            report = ingest_bars(desk.home, source, ["AAA", "BBB"], START, END, now=lambda: NOW)
            assert (report.batch_id is not None) is batch
    assert desk.rows("select count(*) from landed") == [(4,)]


def test_a_limited_request_is_tried_again(desk: Desk) -> None:
    """Two answers 429, then bars: nobody notices but the server."""
    refusals = [429, 429]

    def limited(path: str, query: Query) -> Answer:
        return (refusals.pop(), {"message": "too many requests"}) if refusals else pages(path, query)

    with vendor(limited) as server:
        report = ingest_bars(desk.home, AlpacaSource(url=server.url), ["AAA"], START, END, now=lambda: NOW)
    assert (report.landed, refusals) == (4, [])


@pytest.mark.parametrize(
    "answer, said, remedy",
    [
        ((403, {"message": "forbidden"}), "HTTP status 403", "the account may use --feed iex"),
        ((401, "no"), "HTTP status 401", "check APCA_API_KEY_ID"),
        ((429, {"message": "slow down"}), "HTTP status 429", "wait a minute"),
        ((200, '{"bars": {"AAA": [{'), "did not answer properly", "try again later"),
        ((200, {"candles": []}), "something else than bars", "newer alpaca-py"),
        ((200, {"bars": {"AAA": [{"o": 1}]}, "next_page_token": None}), "something else than bars", "newer alpaca-py"),
    ],
)
def test_a_vendor_that_fails_is_a_message_and_nothing_lands(desk: Desk, answer: Answer, said: str, remedy: str) -> None:
    """Refusals and malformed answers name what came and what to do."""

    def failing(path: str, query: Query) -> Answer:
        return (200, ACTIONS) if "corporate-actions" in path else answer

    with vendor(failing) as server, pytest.raises(IngestError, match=said) as caught:
        ingest_bars(desk.home, AlpacaSource(url=server.url), ["AAA"], START, END, now=lambda: NOW)
    assert remedy in caught.value.remedy
    assert not desk.batches()


def test_no_bars_at_all_is_an_error(desk: Desk) -> None:
    """An unknown symbol gets an empty answer: the message names symbols and dates."""
    empty: Answer = (200, {"bars": {}, "next_page_token": None})

    def nothing(path: str, query: Query) -> Answer:
        return (200, ACTIONS) if "corporate-actions" in path else empty

    with vendor(nothing) as server, pytest.raises(IngestError, match="no bar of ZZZ from 2026-11-16 to 2026-11-18"):
        ingest_bars(desk.home, AlpacaSource(url=server.url), ["ZZZ"], START, END, now=lambda: NOW)


def test_an_unreachable_vendor_is_a_message(desk: Desk) -> None:
    """No connection, no traceback."""
    with pytest.raises(IngestError, match="did not answer properly"):
        AlpacaSource(url="http://127.0.0.1:9").fetch(("AAA",), START, END)


def test_missing_keys_and_an_unknown_feed_are_usage_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both name what to set."""
    with vendor(pages) as server, pytest.raises(ConfigError, match="is not a feed"):
        AlpacaSource("nope", url=server.url).fetch(("AAA",), START, END)
    monkeypatch.delenv("APCA_API_SECRET_KEY")
    with pytest.raises(ConfigError, match="APCA_API_SECRET_KEY not set"):
        AlpacaSource().fetch(("AAA",), START, END)


def test_without_alpaca_py_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is the pip command."""
    monkeypatch.setitem(__import__("sys").modules, "alpaca.common.exceptions", None)
    with pytest.raises(MissingExtra, match=r"trademl\[sources\]"):
        AlpacaSource().fetch(("AAA",), START, END)
