"""Daily bars, splits and dividends from Alpaca through alpaca-py; the keys come from the environment only."""

import os
from collections import defaultdict
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from trademl.errors import ConfigError, IngestError, MissingExtra
from trademl.warehouse.sources.base import Bar, Fetched, number

KEY_ID = "APCA_API_KEY_ID"
SECRET_KEY = "APCA_API_SECRET_KEY"
_NEW_YORK = ZoneInfo("America/New_York")
_SYMBOLS_A_REQUEST = 100
_SPLITS = ("forward_splits", "reverse_splits")


class AlpacaSource:
    """Alpaca's historical data API.

    Bars are raw (``adjustment=raw``). Splits and cash dividends come from the corporate actions endpoint and sit on the
    bar of their ex-date. alpaca-py pages, and waits and retries on 429 and 504.

    Args:
        feed: ``iex`` (free, one exchange's volume) or ``sip`` (all exchanges).
        url: another address of the API, for tests and proxies.
    """

    def __init__(self, feed: str = "iex", url: str | None = None) -> None:
        self.feed = feed
        self.url = url

    @property
    def name(self) -> str:
        return "alpaca"

    def fetch(self, symbols: tuple[str, ...], start: date, end: date) -> Fetched:
        """Return raw bars from ``start`` to ``end``.

        Raises:
            ConfigError: a key is not in the environment, or there is no such feed.
            IngestError: Alpaca refused, cannot be reached, or answered with something else than bars.
            MissingExtra: alpaca-py is not installed.
        """
        key, secret = _keys()
        try:
            from alpaca.common.exceptions import APIError
            from requests.exceptions import RequestException
        except ImportError as error:
            raise MissingExtra("alpaca-py", "sources") from error
        bars: list[Bar] = []
        try:
            for first in range(0, len(symbols), _SYMBOLS_A_REQUEST):
                some = list(symbols[first : first + _SYMBOLS_A_REQUEST])
                actions = self._actions(key, secret, some, start, end)
                bars += _bars(self._raw_bars(key, secret, some, start, end), actions, start, end)
        except APIError as error:
            status = error.status_code
            remedy = {
                401: f"check {KEY_ID} and {SECRET_KEY}",
                403: f"check {KEY_ID} and {SECRET_KEY}, and that the account may use --feed {self.feed} (iex is free)",
                429: "wait a minute and ask for fewer symbols at once",
            }.get(status, "check the symbols, and try again later")
            raise IngestError(f"Alpaca refused with HTTP status {status}: {_short(error)}", remedy=remedy) from error
        except RequestException as error:
            raise IngestError(f"Alpaca did not answer properly: {_short(error)}", remedy="try again later") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise IngestError(
                f"Alpaca answered with something else than bars ({type(error).__name__}: {_short(error)})",
                remedy="try again later; if it stays, check for a newer alpaca-py",
            ) from error
        return Fetched(tuple(bars))

    def _raw_bars(self, key: str, secret: str, symbols: list[str], start: date, end: date) -> Any:
        from alpaca.data.enums import Adjustment, DataFeed
        from alpaca.data.historical import StockHistoricalDataClient
        from alpaca.data.requests import StockBarsRequest
        from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

        feeds = {feed.value: feed for feed in DataFeed}
        if self.feed not in feeds:
            remedy = f"give one of {', '.join(sorted(feeds))}"
            raise ConfigError(f"--feed {self.feed!r} is not a feed of Alpaca", remedy=remedy)
        client = StockHistoricalDataClient(key, secret, raw_data=True, url_override=self.url)
        request = StockBarsRequest(
            symbol_or_symbols=symbols,
            timeframe=TimeFrame(1, TimeFrameUnit.Day),
            start=_midnight(start),
            end=datetime.combine(end, time(23, 59, 59), _NEW_YORK).astimezone(UTC),
            adjustment=Adjustment.RAW,
            feed=feeds[self.feed],
        )
        return client.get_stock_bars(request)

    def _actions(
        self, key: str, secret: str, symbols: list[str], start: date, end: date
    ) -> tuple[dict[tuple[str, date], float], dict[tuple[str, date], float]]:
        """Return split coefficients and cash dividends by symbol and ex-date."""
        from alpaca.data.enums import CorporateActionsType
        from alpaca.data.historical.corporate_actions import CorporateActionsClient
        from alpaca.data.requests import CorporateActionsRequest

        client = CorporateActionsClient(key, secret, raw_data=True, url_override=self.url)
        kinds = [
            CorporateActionsType.FORWARD_SPLIT,
            CorporateActionsType.REVERSE_SPLIT,
            CorporateActionsType.CASH_DIVIDEND,
        ]
        request = CorporateActionsRequest(symbols=symbols, types=kinds, start=start, end=end)
        answer: Any = client.get_corporate_actions(request)
        splits: dict[tuple[str, date], float] = defaultdict(lambda: 1.0)
        dividends: dict[tuple[str, date], float] = defaultdict(float)
        for kind in _SPLITS:
            for action in answer.get(kind, ()):
                ratio = float(action["new_rate"]) / float(action["old_rate"])
                splits[action["symbol"], date.fromisoformat(action["ex_date"])] *= ratio
        for action in answer.get("cash_dividends", ()):
            dividends[action["symbol"], date.fromisoformat(action["ex_date"])] += float(action["rate"])
        return dict(splits), dict(dividends)


def _keys() -> tuple[str, str]:
    missing = [name for name in (KEY_ID, SECRET_KEY) if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} not set in the environment",
            remedy=f"export {KEY_ID} and {SECRET_KEY}; trademl reads keys from nowhere else",
        )
    return os.environ[KEY_ID], os.environ[SECRET_KEY]


def _bars(
    answer: Any,
    actions: tuple[dict[tuple[str, date], float], dict[tuple[str, date], float]],
    start: date,
    end: date,
) -> list[Bar]:
    splits, dividends = actions
    bars = []
    for symbol, rows in answer.items():
        for row in rows:
            day = datetime.fromisoformat(row["t"]).astimezone(_NEW_YORK).date()
            if start <= day <= end:
                bars.append(
                    Bar(
                        symbol,
                        day,
                        open=number(row.get("o")),
                        high=number(row.get("h")),
                        low=number(row.get("l")),
                        close=number(row.get("c")),
                        volume=number(row.get("v")),
                        dividend_amount=dividends.get((symbol, day), 0.0),
                        split_coefficient=splits.get((symbol, day), 1.0),
                    )
                )
    return bars


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), _NEW_YORK).astimezone(UTC)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
