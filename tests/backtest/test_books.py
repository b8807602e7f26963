"""Double entry: what goes out of one account comes into another, and books that do not fit are refused."""

import numpy as np
import pytest

from trademl.backtest.books import Account, Books, Total
from trademl.errors import TrademlError

NOBODY = np.array([-1], dtype=np.int32)


def test_a_transfer_is_two_entries() -> None:
    """Zeros are none."""
    books = Books()
    books.transfer(3, Account.CAPITAL, Account.CASH, np.array([100.0, 0.0]), np.array([-1, 0], dtype=np.int32))
    entries = books.entries()
    assert entries["amount"].tolist() == [100, -100]
    assert entries["account"].tolist() == [Account.CASH, Account.CAPITAL]
    assert entries["session"].tolist() == [3, 3]
    assert books.balance(Account.CASH) == 100


def test_books_that_do_not_fit_are_refused() -> None:
    """With both amounts."""
    books = Books()
    books.transfer(0, Account.CAPITAL, Account.CASH, np.array([100.0]), NOBODY)
    books.check(100.0, 0.0)
    with pytest.raises(TrademlError, match=r"100\.0 USD in cash, and there are 99\.99"):
        books.check(99.99, 0.0)
    with pytest.raises(TrademlError, match="positions"):
        books.check(100.0, 1.0)


def test_empty_books_have_no_entries() -> None:
    """But all columns."""
    assert {name: len(column) for name, column in Books().entries().items()} == {
        "session": 0,
        "account": 0,
        "symbol": 0,
        "amount": 0,
    }


def test_a_total_keeps_what_rounding_takes_away() -> None:
    """A thousand million, a million cents one by one, and out again; a plain sum is off by more than a millionth."""
    total, plain = Total(), 0.0
    for amount in [1e9, *([0.01] * 1_000_000), -1e9]:
        total.add(amount)
        plain += amount
    assert total.value == pytest.approx(10_000, abs=1e-9)
    assert abs(plain - 10_000) > 1e-6
