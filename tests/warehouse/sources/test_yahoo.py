"""Bars from Yahoo, against a server on this machine that answers as the chart endpoint does."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.warehouse.ingest.desk import NOW, Desk
from tests.warehouse.sources.vendor import Answer, Query, vendor
from trademl.errors import IngestError, MissingExtra
from trademl.warehouse.sources import ingest_bars
from trademl.warehouse.sources.yahoo import YahooSource

yfinance = pytest.importorskip("yfinance", reason="yfinance is not installed")
requests = pytest.importorskip("requests", reason="requests is not installed")

START, END = date(2026, 11, 16), date(2026, 11, 17)
DAYS = (16, 17, 18)


def seconds(day: int) -> int:
    """Return the epoch seconds of 9:30 in New York."""
    return int(datetime(2026, 11, day, 14, 30, tzinfo=UTC).timestamp())


def chart() -> dict[str, Any]:
    """Return a chart with a 4-for-1 split on the 18th: earlier prices and dividends come divided by 4."""
    closes = [10.0, 10.5, 11.0]
    quote = {
        "open": closes,
        "high": [close + 0.25 for close in closes],
        "low": [close - 0.25 for close in closes],
        "close": closes,
        "volume": [4000, 4400, 5000],
    }
    meta = {
        "currency": "USD",
        "symbol": "AAA",
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": "America/New_York",
        "timezone": "EST",
        "gmtoffset": -18000,
        "regularMarketTime": seconds(18),
        "firstTradeDate": 0,
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "max"],
        "currentTradingPeriod": {
            name: {"timezone": "EST", "start": seconds(18), "end": seconds(18) + 23400, "gmtoffset": -18000}
            for name in ("pre", "regular", "post")
        },
    }
    events = {
        "splits": {
            str(seconds(18)): {"date": seconds(18), "numerator": 4, "denominator": 1, "splitRatio": "4:1"},
        },
        "dividends": {str(seconds(17)): {"date": seconds(17), "amount": 0.25}},
    }
    result = {
        "meta": meta,
        "timestamp": [seconds(day) for day in DAYS],
        "events": events,
        "indicators": {"quote": [quote], "adjclose": [{"adjclose": closes}]},
    }
    return {"chart": {"result": [result], "error": None}}


UNKNOWN: Answer = (404, {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}})


def answer(path: str, query: Query) -> Answer:
    """Answer for AAA; every other symbol is unknown, and there is no cookie or crumb."""
    return (200, chart()) if path.endswith("/chart/AAA") else UNKNOWN


class LocalSession(requests.Session):  # type: ignore[misc,name-defined]
    """A session that sends every request to the server of the test, whatever host it names."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("impersonate", None)
        parts = urlsplit(url)
        return super().request(method, self.url + parts.path, *args, **kwargs)


@pytest.fixture(autouse=True)
def fresh_yfinance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """yfinance keeps answers and time zones; each test starts without."""
    yfinance.set_tz_cache_location(str(tmp_path / "yfinance"))
    from yfinance.data import YfData

    YfData.cache_get.cache_clear()


def source(url: str, waits: list[float] | None = None) -> YahooSource:
    return YahooSource(LocalSession(url), attempts=3, sleep=(waits if waits is not None else []).append)


def test_split_adjusted_prices_become_what_was_traded(desk: Desk) -> None:
    """Before the split of the 18th a share cost 4 times what Yahoo says; volumes and dividends follow."""
    with vendor(answer) as server:
        report = ingest_bars(desk.home, source(server.url), ["AAA", "ZZZ"], START, END, now=lambda: NOW)
    assert (report.rows_in, report.landed) == (2, 2)
    assert report.notes == ("no bar of ZZZ from 2026-11-16 to 2026-11-17",)
    columns = "date, open, high, low, close, volume, dividend_amount, split_coefficient, source"
    assert desk.rows(f"select {columns} from landed order by date") == [
        (date(2026, 11, 16), 40.0, 41.0, 39.0, 40.0, 1000.0, 0.0, 1.0, "yahoo"),
        (date(2026, 11, 17), 42.0, 43.0, 41.0, 42.0, 1100.0, 1.0, 1.0, "yahoo"),
    ]


def test_the_split_sits_on_its_own_date() -> None:
    """The bar of the 18th has the new price and the coefficient 4."""
    with vendor(answer) as server:
        bars = source(server.url).fetch(("AAA",), date(2026, 11, 18), date(2026, 11, 18)).bars
    assert [(bar.close, bar.volume, bar.split_coefficient) for bar in bars] == [(11.0, 5000.0, 4.0)]


def test_a_limited_request_is_tried_again_with_growing_pauses() -> None:
    """Yahoo answers 429 twice; the third try succeeds."""
    refused: list[str] = []

    def limited(path: str, query: Query) -> Answer:
        if "/chart/" in path and len(refused) < 4:
            refused.append(path)
            return 429, "Too Many Requests"
        return answer(path, query)

    waits: list[float] = []
    with vendor(limited) as server:
        assert len(source(server.url, waits).fetch(("AAA",), START, END).bars) == 2
    assert waits == [2.0, 4.0]


@pytest.mark.parametrize(
    "reply, said",
    [
        ((429, "Too Many Requests"), r"limits requests \(HTTP status 429\): AAA failed 3 times"),
        ((403, "<html>Forbidden</html>"), "did not answer with bars of AAA"),
        ((200, '{"chart": {"result": [{"meta'), "did not answer with bars of AAA"),
    ],
)
def test_a_vendor_that_fails_is_a_message_and_nothing_lands(desk: Desk, reply: Answer, said: str) -> None:
    """Refusals and malformed answers are no tracebacks, and no empty success either."""
    with vendor(lambda path, query: reply) as server, pytest.raises(IngestError, match=said):
        ingest_bars(desk.home, source(server.url), ["AAA"], START, END, now=lambda: NOW)
    assert not desk.batches()


def test_symbols_that_yahoo_does_not_know_are_an_error_when_there_is_no_other(desk: Desk) -> None:
    """The message names them."""
    with vendor(answer) as server, pytest.raises(IngestError, match="yahoo has no bar of ZZZ"):
        ingest_bars(desk.home, source(server.url), ["ZZZ"], START, END, now=lambda: NOW)


def test_without_yfinance_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is the pip command."""
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(MissingExtra, match=r"trademl\[sources\]"):
        YahooSource().fetch(("AAA",), START, END)
