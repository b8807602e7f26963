"""Market impact: the figures that its authors print, the law's shape, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.costs.impact import almgren_impact, power_law_impact
from trademl.errors import ConfigError


def test_the_paper_s_two_stocks() -> None:
    """Almgren et al. (2005), table 3: IBM and DRI, a tenth of a day's volume in 0.1, 0.2 and 0.5 days; basis points."""
    ibm = almgren_impact(656_100, 6_561_000, 1_728_000_000, 0.0157, [0.1, 0.2, 0.5])
    assert np.round(ibm.permanent * 1e4) == pytest.approx(20)
    assert np.round(ibm.temporary * 1e4).tolist() == [22, 15, 8]
    assert np.round(ibm.cost * 1e4).tolist() == [32, 25, 18]
    dri = almgren_impact(192_900, 1_929_000, 168_000_000, 0.0226, [0.1, 0.2, 0.5])
    assert np.round(dri.permanent * 1e4) == pytest.approx(22)
    assert np.round(dri.temporary * 1e4).tolist() == [32, 21, 12]
    assert np.round(dri.cost * 1e4).tolist() == [43, 32, 23]


@given(size=st.floats(1, 1e9), volatility=st.floats(0, 0.2))
def test_a_sale_pays_what_a_purchase_pays(size: float, volatility: float) -> None:
    """With the other sign."""
    buy = almgren_impact(size, 1e6, 1e8, volatility, 1)
    sell = almgren_impact(-size, 1e6, 1e8, volatility, 1)
    assert float(sell.cost) == -float(buy.cost)


@given(size=st.floats(0, 1e9), factor=st.floats(1, 16))
def test_the_power_law_is_one(size: float, factor: float) -> None:
    """Four times the order costs twice as much of its price."""
    small, large = power_law_impact([size, size * factor], 1e6, 0.02)
    assert large == pytest.approx(small * factor**0.5)


def test_the_whole_day_s_volume_costs_a_day_s_volatility() -> None:
    """The coefficient 1 means just that."""
    assert float(power_law_impact(5e6, 5e6, 0.02)) == pytest.approx(0.02)
    assert float(power_law_impact(5e6, 5e6, 0.02, coefficient=0.5, exponent=1)) == pytest.approx(0.01)


def test_what_makes_no_sense_is_refused() -> None:
    """With the argument's name."""
    with pytest.raises(ConfigError, match="day_volume_shares has 1"):
        almgren_impact(1, [0, 5], 10, 0.1, 1)
    with pytest.raises(ConfigError, match="day_volatility has 1"):
        power_law_impact(1, 1, np.nan)
