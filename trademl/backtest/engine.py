"""The event-driven engine: decide after the close, fill at the next open, mark at the close, session after session.

A session runs in this order. Splits change shares, pending targets and cash in lieu of fractions; dividends are paid on
what was held; borrowed shares cost for the nights since the last session. What leads from what is held to the targets
of the last close is filled at the open, up to a share of the session's volume; what is not filled is cancelled, and a
symbol without a bar fills nothing.
Positions are marked at the close, or at the last one there was. What is known to be delisted is closed at its mark and
the configured delisting return. Then the strategy sees everything up to this close, and names weights. No random
number is drawn, and no bar after the decision can be seen: the strategy gets arrays that end with the session.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl.backtest.books import Account, Books, Total
from trademl.backtest.market import Market
from trademl.config.reading import Section
from trademl.costs.model import CostModel
from trademl.errors import ConfigError

FloatArray = NDArray[np.float64]


class BacktestConfig(Section):
    """The rules of a backtest.

    Attributes:
        capital_usd: at the start.
        sizing: ``equity``: weights are shares of the equity at the close; ``capital``: of the capital at the start.
        whole_shares: whether targets are cut to whole shares, towards zero.
        max_participation: share of a session's volume that an order may be; None: orders are filled whole.
        min_order_usd: smaller changes of a position are left; one that is to be closed is closed.
        delisting_return: of a position whose listing ends, on its last mark; Shumway (1997) found -0.3 on average for
            delistings for performance reasons.
    """

    capital_usd: float = Field(default=1_000_000.0, gt=0)
    sizing: Literal["equity", "capital"] = "equity"
    whole_shares: bool = True
    max_participation: float | None = Field(default=0.1, gt=0, le=1)
    min_order_usd: float = Field(default=0.0, ge=0)
    delisting_return: float = Field(default=0.0, ge=-1, le=1)

    @property
    def is_set_based(self) -> bool:
        """Whether what is held depends on known weights alone, so that the SQL backtest has the same rules."""
        return self.sizing == "capital" and self.max_participation is None and self.min_order_usd == 0


@dataclass(frozen=True)
class Holdings:
    """What a strategy sees of its own book at a close: shares, marks (USD a share), cash and equity in USD."""

    shares: FloatArray
    marks: FloatArray
    cash: float
    equity: float

    @property
    def weights(self) -> FloatArray:
        """Positions as shares of equity."""
        return self.shares * np.nan_to_num(self.marks) / self.equity


_COSTS = ("commission_usd", "spread_usd", "impact_usd", "auction_usd")
_COST_ACCOUNTS = (Account.COMMISSION, Account.SPREAD, Account.IMPACT, Account.AUCTION)

Strategy = Callable[[Market, Holdings], FloatArray | None]
"""Weights for each symbol, decided after the last close of the market that it is given; None: no orders."""


@dataclass(frozen=True)
class BacktestResult:
    """Day by day, arrays of one entry per session, and the books they come from.

    ``traded_usd`` is the value bought and sold, ``gross_usd`` and ``net_usd`` the exposure at the close; ``fills`` are
    columns session, symbol, ordered, filled, price (NaN where nothing was filled) and the four costs in USD.
    ``balances`` has the books' accounts at each close, shape (sessions, accounts).
    """

    dates: NDArray[np.datetime64]
    equity: FloatArray
    cash: FloatArray
    gross_usd: FloatArray
    net_usd: FloatArray
    traded_usd: FloatArray
    fills: dict[str, NDArray[Any]]
    balances: FloatArray
    books: Books

    @property
    def returns(self) -> FloatArray:
        """The return of each session after the first."""
        return np.asarray(self.equity[1:] / self.equity[:-1] - 1, dtype=np.float64)


def run_backtest(
    market: Market, strategy: Strategy, *, costs: CostModel | None = None, config: BacktestConfig | None = None
) -> BacktestResult:
    """Run a strategy through a market.

    Raises:
        ConfigError: the strategy names a weight that is not finite, or one for each symbol is missing.
        TrademlError: the books of a session do not balance.
    """
    return _Run(market, strategy, costs or CostModel(), config or BacktestConfig()).run()


class _Run:
    def __init__(self, market: Market, strategy: Strategy, costs: CostModel, config: BacktestConfig) -> None:
        count = len(market.symbols)
        self.market, self.strategy, self.costs, self.config = market, strategy, costs, config
        self.books = Books()
        self.everyone = np.arange(count, dtype=np.int32)
        # NaN: nothing is wanted, and what is held stays.
        self.shares, self.targets = np.zeros(count), np.full(count, np.nan)
        self.marks = np.full(count, np.nan)
        self.cash = Total()
        self.traded = 0.0
        self.fills: list[tuple[NDArray[Any], ...]] = []

    def run(self) -> BacktestResult:
        sessions = len(self.market.dates)
        equity, cash, gross, net, traded = (np.zeros(sessions) for _ in range(5))
        balances = np.zeros((sessions, len(Account)))
        self._move(0, Account.CAPITAL, np.array([self.config.capital_usd]), np.array([-1], dtype=np.int32))
        for session in range(sessions):
            self.traded = 0.0
            if session:
                self._borrow(session)
            self._corporate_actions(session)
            self._fill(session)
            self._mark(session)
            self._delist(session)
            values = self.shares * np.nan_to_num(self.marks)
            held = self.cash.value
            self.books.check(held, float(values.sum()))
            equity[session], cash[session] = held + values.sum(), held
            gross[session], net[session] = np.abs(values).sum(), values.sum()
            traded[session] = self.traded
            balances[session] = self.books.balances()
            self._decide(session, float(equity[session]))
        names = ("session", "symbol", "ordered", "filled", "price", *_COSTS)
        columns = {
            name: np.concatenate([one[at] for one in self.fills]) if self.fills else np.array([])
            for at, name in enumerate(names)
        }
        return BacktestResult(self.market.dates, equity, cash, gross, net, traded, columns, balances, self.books)

    def _move(self, session: int, source: Account, amount: FloatArray, symbol: NDArray[np.int32]) -> None:
        """Take cash in from an account; negative amounts are paid into it."""
        self.books.transfer(session, source, Account.CASH, amount, symbol)
        self.cash.add(float(amount.sum()))

    def _revalue(self, session: int, marks: FloatArray, source: Account) -> None:
        """Take new marks, what positions gain by them coming from an account."""
        held = self.shares != 0
        gain = np.where(held, self.shares * (marks - self.marks), 0.0)
        self.books.transfer(session, source, Account.POSITIONS, gain, self.everyone)
        self.marks = marks

    def _sell(self, session: int, sold: FloatArray, price: FloatArray) -> None:
        """Turn shares into cash at a price that is their mark; negative amounts are bought."""
        value = np.where(sold != 0, sold * price, 0.0)
        self.books.transfer(session, Account.POSITIONS, Account.CASH, value, self.everyone)
        self.cash.add(float(value.sum()))
        self.shares = self.shares - sold

    def _borrow(self, session: int) -> None:
        nights = int((self.market.dates[session] - self.market.dates[session - 1]) / np.timedelta64(1, "D"))
        values = self.shares * np.nan_to_num(self.marks)
        cost = self.costs.borrow_cost_usd(values, self.market.day_value[session - 1], nights)
        self._move(session, Account.BORROW, -cost, self.everyone)

    def _corporate_actions(self, session: int) -> None:
        split, dividend = self.market.split[session], self.market.dividend[session]
        if bool((split != 1).any()):
            self.shares = self.shares * split
            self.marks = self.marks / split
            self.targets = _whole(self.targets * split) if self.config.whole_shares else self.targets * split
            if self.config.whole_shares:
                self._sell(session, np.where(split != 1, self.shares - _whole(self.shares), 0.0), self.marks)
        if bool((dividend != 0).any()):
            self._move(session, Account.DIVIDENDS, self.shares * dividend, self.everyone)

    def _fill(self, session: int) -> None:
        wished, self.targets = self.targets, np.full(len(self.shares), np.nan)
        wanted = np.where(np.isfinite(wished), wished - self.shares, 0.0)
        asked = wanted != 0
        if not bool(asked.any()):
            return
        price, volume = self.market.open_price[session], np.nan_to_num(self.market.volume[session])
        filled = self._within_volume(wanted, np.where(np.isfinite(price), volume, 0.0))
        traded = filled != 0
        # Marked at the open first, so that what is traded and what was held gain from the same prices.
        self._revalue(session, np.where(np.isfinite(price), price, self.marks), Account.PRICE_GAIN)
        self._sell(session, -filled, self.marks)
        # What is filled whole is the target itself, without what a subtraction leaves over.
        self.shares = np.where(asked & (filled == wanted), wished, self.shares)
        value = np.where(traded, filled * np.nan_to_num(price), 0.0)
        # The opening price is that of an auction.
        parts = self.costs.trade_costs(
            value,
            self.market.day_value[session - 1],
            self.market.volatility[session - 1],
            shares=filled,
            in_auction=True,
        )
        costs = [getattr(parts, name) for name in _COSTS]
        for account, cost in zip(_COST_ACCOUNTS, costs, strict=True):
            self._move(session, account, -cost, self.everyone)
        self.traded = float(np.abs(value).sum())
        self.fills.append(
            (
                np.full(int(asked.sum()), session, dtype=np.int32),
                self.everyone[asked],
                wanted[asked],
                filled[asked],
                np.where(traded, price, np.nan)[asked],
                *(cost[asked] for cost in costs),
            )
        )

    def _within_volume(self, wanted: FloatArray, volume: FloatArray) -> FloatArray:
        if self.config.max_participation is None:
            return np.where(volume > 0, wanted, 0.0)
        room = volume * self.config.max_participation
        if self.config.whole_shares:
            room = np.floor(room)
        return np.clip(wanted, -room, room)

    def _mark(self, session: int) -> None:
        close = self.market.close_price[session]
        self._revalue(session, np.where(np.isfinite(close), close, self.marks), Account.PRICE_GAIN)

    def _delist(self, session: int) -> None:
        ended = self.market.delisted[session] & (self.shares != 0)
        if bool(ended.any()):
            last = np.where(ended, self.marks * (1 + self.config.delisting_return), self.marks)
            self._revalue(session, last, Account.DELISTING)
            self._sell(session, np.where(ended, self.shares, 0.0), self.marks)

    def _decide(self, session: int, equity: float) -> None:
        holdings = Holdings(self.shares.copy(), self.marks.copy(), self.cash.value, equity)
        weights = self.strategy(self.market.until(session), holdings)
        if weights is None:
            return
        if weights.shape != self.shares.shape or not bool(np.isfinite(weights).all()):
            raise ConfigError(
                f"the strategy gave weights of shape {weights.shape} on {self.market.dates[session]}, "
                f"{int((~np.isfinite(weights)).sum())} of them not finite; there are {len(self.shares)} symbols",
                remedy="give one finite weight for each symbol, 0 for none",
            )
        base = equity if self.config.sizing == "equity" else self.config.capital_usd
        # What never had a price, has ended, or whose cost nobody can tell, cannot be ordered.
        priced = np.isfinite(self.marks) & (self.marks > 0) & ~self.market.delisted[session]
        priced &= (self.market.day_value[session] > 0) & np.isfinite(self.market.volatility[session])
        wanted = np.where(priced, weights * base / np.where(priced, self.marks, 1.0), np.nan)
        targets = _whole(wanted) if self.config.whole_shares else wanted
        change = np.abs(targets - self.shares) * np.nan_to_num(self.marks)
        self.targets = np.where((change < self.config.min_order_usd) & (targets != 0), np.nan, targets)


def _whole(shares: FloatArray) -> FloatArray:
    """Return whole shares, towards zero; a millionth short of a share is one, for division leaves such."""
    return np.asarray(np.sign(shares) * np.floor(np.abs(shares) + 1e-6), dtype=np.float64)
