"""Double-entry books: every event moves amounts between accounts that add up to zero.

``cash`` and ``positions`` are what is owned; ``capital``, gains and costs are where it came from, with the opposite
sign. So equity is known twice: as cash and positions, and as the negative sum of everything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import TrademlError

FloatArray = NDArray[np.float64]

TOLERANCE = 1e-6
"""USD by which the two sides may differ, for books of up to 1e9 USD."""


class Account(IntEnum):
    """Where amounts lie."""

    CASH = 0
    POSITIONS = 1
    CAPITAL = 2
    PRICE_GAIN = 3
    DIVIDENDS = 4
    DELISTING = 5
    COMMISSION = 6
    SPREAD = 7
    IMPACT = 8
    AUCTION = 9
    BORROW = 10


@dataclass
class Total:
    """A running sum that keeps what each addition rounds off [Neumaier 1974], so that millions of them lose nothing."""

    sum: float = 0.0
    carry: float = 0.0

    def add(self, amount: float) -> None:
        """Add an amount."""
        found = self.sum + amount
        # The larger of the two is rounded; what is lost is exact.
        larger, smaller = (self.sum, amount) if abs(self.sum) >= abs(amount) else (amount, self.sum)
        self.carry += (larger - found) + smaller
        self.sum = found

    @property
    def value(self) -> float:
        return self.sum + self.carry


OWNED = (Account.CASH, Account.POSITIONS)


@dataclass
class Books:
    """Entries in the order in which they were made.

    Each has a session, an account, a symbol (its number, -1 for none) and an amount in USD.
    """

    _session: list[NDArray[np.int32]] = field(default_factory=list)
    _account: list[NDArray[np.int8]] = field(default_factory=list)
    _symbol: list[NDArray[np.int32]] = field(default_factory=list)
    _amount: list[FloatArray] = field(default_factory=list)
    _balance: "list[Total]" = field(default_factory=lambda: [Total() for _ in Account])

    def transfer(
        self, session: int, source: Account, target: Account, amount: FloatArray, symbol: NDArray[np.int32]
    ) -> None:
        """Move amounts, one for each symbol, out of one account into another; zeros are not recorded."""
        moved = amount != 0
        if not bool(moved.any()):
            return
        given, whose = amount[moved], symbol[moved]
        for account, signed in ((target, given), (source, -given)):
            self._session.append(np.full(len(given), session, dtype=np.int32))
            self._account.append(np.full(len(given), account, dtype=np.int8))
            self._symbol.append(whose)
            self._amount.append(signed)
            self._balance[account].add(float(signed.sum()))

    def balance(self, account: Account) -> float:
        """Return what lies in an account now."""
        return self._balance[account].value

    def balances(self) -> FloatArray:
        """Return what lies in every account now, in the order of :class:`Account`."""
        return np.array([total.value for total in self._balance])

    def entries(self) -> dict[str, NDArray[Any]]:
        """Return all entries as columns."""
        return {
            "session": _joined(self._session, np.int32),
            "account": _joined(self._account, np.int8),
            "symbol": _joined(self._symbol, np.int32),
            "amount": _joined(self._amount, np.float64),
        }

    def check(self, cash: float, position_value: float) -> None:
        """Compare the books with what is really there.

        Raises:
            TrademlError: cash, positions, or the sum of all accounts differ by more than :data:`TOLERANCE`.
        """
        for what, booked, found in (
            ("cash", self.balance(Account.CASH), cash),
            ("positions", self.balance(Account.POSITIONS), position_value),
            ("all accounts", fsum(part for total in self._balance for part in (total.sum, total.carry)), 0.0),
        ):
            if not abs(booked - found) <= TOLERANCE * max(1.0, abs(found) / 1e9):
                raise TrademlError(
                    f"the books have {booked!r} USD in {what}, and there are {found!r}",
                    remedy="report this: a backtest whose books do not balance has no result",
                )


def _joined(parts: Sequence[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.array([], dtype=kind)
