"""The market: what does not fit is refused, and a view ends with its session."""

from dataclasses import replace

import numpy as np
import pytest

from tests.backtest.markets import flat_market
from trademl.errors import ConfigError


def test_a_view_ends_with_its_session() -> None:
    """And shares the memory of the whole."""
    market = flat_market(5, symbols=2)
    view = market.until(2)
    assert len(view.dates) == len(view.close_price) == 3
    assert np.shares_memory(view.close_price, market.close_price)
    assert len(market.close_price) == 5


def test_what_does_not_fit_is_refused() -> None:
    """With name and shape."""
    market = flat_market(3, symbols=2)
    with pytest.raises(ConfigError, match=r"volume has the shape \(2, 2\)"):
        replace(market, volume=np.ones((2, 2)))
    with pytest.raises(ConfigError, match="a symbol is there twice"):
        replace(market, symbols=("A", "A"))
    with pytest.raises(ConfigError, match="dates do not ascend"):
        replace(market, dates=market.dates[::-1])
    with pytest.raises(ConfigError, match="a split is not above 0"):
        replace(market, split=np.zeros((3, 2)))
    with pytest.raises(ConfigError, match="a dividend"):
        replace(market, dividend=np.full((3, 2), np.nan))
