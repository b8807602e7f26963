"""Daily bars from Yahoo Finance through yfinance, turned back into raw prices."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from trademl.errors import IngestError, MissingExtra
from trademl.warehouse.sources.base import Bar, Fetched, number

_DECIMALS = 4
"""Yahoo stores adjusted prices in single precision; US prices are quoted in at most 4 decimals."""


class YahooSource:
    """Yahoo Finance's chart endpoint.

    Yahoo divides every price and dividend by the later splits. Here they are multiplied back (and volumes divided),
    with all splits to this day, so that a row is what was traded on its date and a later split does not rewrite it.

    Args:
        session: an HTTP session for yfinance, for proxies and tests.
        attempts: how often a request that Yahoo limits (429) is tried.
        wait: seconds before the second try; doubled for each further one.
        sleep: what waits.
    """

    def __init__(
        self, session: Any = None, attempts: int = 4, wait: float = 2.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.session = session
        self.attempts = attempts
        self.wait = wait
        self.sleep = sleep

    @property
    def name(self) -> str:
        return "yahoo"

    def fetch(self, symbols: tuple[str, ...], start: date, end: date) -> Fetched:
        """Return raw bars from ``start`` to ``end``.

        Raises:
            IngestError: Yahoo limits, refuses, or answers with something else than bars.
            MissingExtra: yfinance is not installed.
        """
        bars: list[Bar] = []
        for symbol in symbols:
            frame = self._history(symbol, start)
            if frame is not None:
                bars += _raw_bars(symbol, frame, start, end)
        return Fetched(tuple(bars))

    def _history(self, symbol: str, start: date) -> Any:
        """Return yfinance's table from ``start`` to today, or None when Yahoo does not know the symbol."""
        try:
            import yfinance
            from yfinance.exceptions import YFException, YFRateLimitError, YFTickerMissingError
        except ImportError as error:
            raise MissingExtra("yfinance", "sources") from error
        for attempt in range(1, self.attempts + 1):
            try:
                with _raising(yfinance):
                    ticker = yfinance.Ticker(symbol, session=self.session)
                    return ticker.history(start=start, interval="1d", auto_adjust=False, actions=True)
            except YFRateLimitError as error:
                if attempt == self.attempts:
                    raise IngestError(
                        f"Yahoo limits requests (HTTP status 429): {symbol} failed {attempt} times",
                        remedy="wait an hour, or ask for fewer symbols at once",
                    ) from error
                self.sleep(self.wait * 2 ** (attempt - 1))
            except YFTickerMissingError:
                return None
            # yfinance passes on whatever its HTTP library raises, and lookup errors on answers of another shape.
            except (YFException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                if getattr(getattr(error, "response", None), "status_code", None) == 404:
                    return None
                shown = " ".join(str(error).split())[:200]
                raise IngestError(
                    f"Yahoo did not answer with bars of {symbol} ({type(error).__name__}: {shown})",
                    remedy="try again later; if it stays, check for a newer yfinance",
                ) from error
        return None


@contextmanager
def _raising(yfinance: Any) -> Iterator[None]:
    """Let yfinance raise: by default it logs an error and returns an empty table."""
    before = yfinance.config.debug.hide_exceptions
    yfinance.config.debug.hide_exceptions = False
    try:
        with warnings.catch_warnings():
            # yfinance 1.7 calls pandas in ways that pandas 3.1 deprecates; that is for them to mend.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        yfinance.config.debug.hide_exceptions = before


def _raw_bars(symbol: str, frame: Any, start: date, end: date) -> list[Bar]:
    """Undo the split adjustment, latest date first: ``later`` is the product of the splits after the row's date."""
    bars = []
    later = 1.0
    for stamp, row in zip(reversed(frame.index), reversed(frame.to_dict("records")), strict=True):
        day = stamp.date()
        split = number(row.get("Stock Splits")) or 1.0
        if start <= day <= end:
            volume = number(row.get("Volume"))
            dividend = _price(row.get("Dividends"), later) or 0.0
            bars.append(
                Bar(
                    symbol,
                    day,
                    open=_price(row.get("Open"), later),
                    high=_price(row.get("High"), later),
                    low=_price(row.get("Low"), later),
                    close=_price(row.get("Close"), later),
                    volume=None if volume is None else float(round(volume / later)),
                    dividend_amount=dividend,
                    split_coefficient=split,
                )
            )
        later *= split
    return bars


def _price(value: object, factor: float) -> float | None:
    price = number(value)
    return None if price is None or price != price else round(price * factor, _DECIMALS)
