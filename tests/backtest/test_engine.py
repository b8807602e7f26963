"""The engine: sessions by hand, books that balance whatever is ordered, and a future that cannot be seen."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backtest.markets import flat_market, random_market
from trademl.backtest.books import Account
from trademl.backtest.engine import BacktestConfig, BacktestResult, Holdings, Strategy, run_backtest
from trademl.backtest.market import Market
from trademl.costs.model import CostModel
from trademl.errors import ConfigError

FREE = CostModel(spread_bps=0.0, impact_coefficient=0.0)


def always(*weights: float) -> Strategy:
    """The same weights after every close."""
    return lambda market, holdings: np.array(weights)


def once(*weights: float) -> Strategy:
    """Weights after the first close, and no order after that."""
    return lambda market, holdings: np.array(weights) if len(market.dates) == 1 else None


def balance(result: BacktestResult, account: Account) -> float:
    """What lies in an account at the end."""
    return result.books.balance(account)


def test_a_decision_is_filled_at_the_next_open() -> None:
    """Half of 1,000,000 at a mark of 10 is 50,000 shares; the open is 11, the close 12."""
    market = flat_market(3)
    market.open_price[1:], market.close_price[1:] = 11.0, 12.0
    result = run_backtest(market, once(0.5), costs=FREE)
    assert result.equity.tolist() == [1_000_000, 1_050_000, 1_050_000]
    assert result.cash[1] == 1_000_000 - 550_000
    assert result.fills["session"].tolist() == [1]
    assert result.fills["filled"].tolist() == [50_000]
    assert result.fills["price"].tolist() == [11]


def test_every_cost_is_paid_and_booked_apart() -> None:
    """500,000 USD: a spread of 5 basis points, an impact of 2 % x sqrt(0.5e6 / 1e10), 1 cent a share."""
    result = run_backtest(flat_market(2), once(0.5), costs=CostModel(commission_usd_per_share=0.01))
    assert balance(result, Account.SPREAD) == pytest.approx(250)
    assert balance(result, Account.IMPACT) == pytest.approx(500_000 * 0.02 * (5e5 / 1e10) ** 0.5)
    assert balance(result, Account.COMMISSION) == pytest.approx(500)
    paid = sum(balance(result, one) for one in (Account.SPREAD, Account.IMPACT, Account.COMMISSION))
    assert result.equity[-1] == pytest.approx(1_000_000 - paid)


def test_a_short_position_pays_to_borrow_for_each_night() -> None:
    """500,000 USD short at 50 basis points a year over a weekend: three nights."""
    market = flat_market(3)
    market = replace(market, dates=np.array(["2020-01-02", "2020-01-03", "2020-01-06"], dtype="datetime64[D]"))
    result = run_backtest(market, once(-0.5), costs=replace(FREE, borrow=CostModel().borrow))
    assert balance(result, Account.BORROW) == pytest.approx(500_000 * 0.005 * 3 / 360)


def test_splits_and_dividends_change_nothing_but_their_form() -> None:
    """3 for 2 on an odd number of shares: the fraction is paid in cash; a dividend on the new shares."""
    market = flat_market(4)
    market.split[2] = 1.5
    market.open_price[2:], market.close_price[2:] = 10 / 1.5, 10 / 1.5
    market.dividend[3] = 1.0
    result = run_backtest(market, once(0.50001), costs=FREE, config=BacktestConfig())
    # 50,001 shares become 75,001.5.
    assert result.equity[:3] == pytest.approx([1e6] * 3)
    assert result.cash[2] == pytest.approx(1e6 - 500_010 + 0.5 * 10 / 1.5)
    assert result.equity[3] == pytest.approx(1e6 + 75_001)
    assert -balance(result, Account.DIVIDENDS) == pytest.approx(75_001)


def test_volume_bounds_what_is_filled_and_the_rest_is_cancelled() -> None:
    """A tenth of 30,000 shares."""
    market = flat_market(3)
    market.volume[:] = 30_000
    result = run_backtest(market, once(0.5), costs=FREE)
    assert result.fills["ordered"].tolist() == [50_000]
    assert result.fills["filled"].tolist() == [3_000]
    assert result.gross_usd.tolist() == [0, 30_000, 30_000]


def test_a_halted_symbol_fills_nothing_and_keeps_its_mark() -> None:
    """Without a bar there is no price to trade at."""
    market = flat_market(4)
    market.open_price[2], market.close_price[2], market.volume[2] = np.nan, np.nan, np.nan
    result = run_backtest(
        market, lambda seen, held: np.array([0.5]) if len(seen.dates) == 1 else np.array([0.0]), costs=FREE
    )
    assert result.gross_usd.tolist() == [0, 500_000, 500_000, 0]
    assert result.fills["filled"].tolist() == [50_000, 0, -50_000]


def test_a_delisted_position_is_closed_at_the_configured_return() -> None:
    """With -30 %, after Shumway (1997): 500,000 leave 350,000."""
    market = flat_market(4)
    market.open_price[2:], market.close_price[2:], market.volume[2:] = np.nan, np.nan, np.nan
    market.delisted[3] = True
    result = run_backtest(market, always(0.5), costs=FREE, config=BacktestConfig(delisting_return=-0.3))
    assert result.equity[2:].tolist() == [1_000_000, 850_000]
    assert result.gross_usd[-1] == 0
    assert balance(result, Account.DELISTING) == pytest.approx(150_000)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), whole=st.booleans(), sizing=st.sampled_from(["equity", "capital"]))
def test_the_books_balance_every_day(seed: int, whole: bool, sizing: str) -> None:
    """Random orders in a random market: entries add up to zero, and each day's to what equity gained."""
    random = np.random.default_rng(seed)
    market = random_market(seed)
    config = BacktestConfig(whole_shares=whole, sizing=sizing, delisting_return=-0.3)
    result = run_backtest(
        market, lambda seen, held: random.normal(0, 0.3, 6) if random.random() < 0.7 else None, config=config
    )
    entries = result.books.entries()
    assert entries["amount"].sum() == pytest.approx(0, abs=1e-6)
    owned = np.isin(entries["account"], [Account.CASH, Account.POSITIONS])
    by_day = np.zeros(len(market.dates))
    np.add.at(by_day, entries["session"][owned], entries["amount"][owned])
    assert np.cumsum(by_day) == pytest.approx(result.equity, abs=1e-6)
    assert np.all(np.abs(result.fills["filled"]) <= np.abs(result.fills["ordered"]))
    if whole:
        assert np.all(result.fills["filled"] == np.rint(result.fills["filled"]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 38))
def test_no_later_bar_changes_a_decision(seed: int, cut: int) -> None:
    """Garbage after a session: the same orders up to it, whatever a strategy looks at."""

    def curious(seen: Market, held: Holdings) -> np.ndarray:
        last = np.nan_to_num(seen.close_price).sum() + np.nan_to_num(seen.volume).sum() + seen.dividend.sum()
        return np.sin(np.arange(6) + last + held.equity) / 6

    market = random_market(seed)
    poisoned = random_market(seed + 1)
    mixed = replace(
        market,
        **{
            name: np.concatenate([getattr(market, name)[: cut + 1], getattr(poisoned, name)[cut + 1 :]])
            for name in ("open_price", "close_price", "volume", "split", "dividend", "delisted")
        },
    )
    one, other = run_backtest(market, curious), run_backtest(mixed, curious)
    assert one.equity[: cut + 1].tolist() == other.equity[: cut + 1].tolist()
    upto = one.fills["session"] <= cut
    assert one.fills["ordered"][upto].tolist() == other.fills["ordered"][other.fills["session"] <= cut].tolist()


def test_weights_that_make_no_sense_are_refused() -> None:
    """With the date and the number."""
    with pytest.raises(ConfigError, match=r"weights of shape \(2,\) on 2020-01-06"):
        run_backtest(flat_market(2), always(0.1, 0.1))
    with pytest.raises(ConfigError, match="1 of them not finite"):
        run_backtest(flat_market(2), always(np.nan))


def test_small_changes_are_left_and_small_positions_closed() -> None:
    """With 1,000 USD at least: 900 less are left, 1,100 less are sold, and what remains of 500 goes when it is to."""
    wanted = iter([0.01, 0.0091, 0.008, 0.0005, 0.0])
    rules = BacktestConfig(sizing="capital", min_order_usd=1_000)
    result = run_backtest(flat_market(6), lambda seen, held: np.array([next(wanted, 0.0)]), costs=FREE, config=rules)
    assert result.gross_usd.tolist() == [0, 10_000, 10_000, 8_000, 500, 0]


def test_targets_are_cut_to_whole_shares_and_not_orders() -> None:
    """10.7 shares are 10, and 9.5 are 9: what is held does not depend on what was held before."""
    wanted = iter([0.107, 0.095])
    rules = BacktestConfig(capital_usd=1_000, sizing="capital")
    result = run_backtest(flat_market(3), lambda seen, held: np.array([next(wanted, 0.0)]), costs=FREE, config=rules)
    assert result.gross_usd.tolist() == [0, 100, 90]


def test_the_open_is_an_auction() -> None:
    """Its slippage is paid on every fill and booked apart."""
    result = run_backtest(flat_market(2), once(0.5), costs=replace(FREE, auction_bps=2.0))
    assert balance(result, Account.AUCTION) == pytest.approx(100)
    assert result.fills["auction_usd"].tolist() == pytest.approx([100])
    assert result.balances[:, Account.AUCTION].tolist() == pytest.approx([0, 100])


def test_without_a_cost_to_tell_nothing_is_ordered() -> None:
    """A symbol whose traded value or volatility is not known."""
    market = flat_market(3, symbols=3)
    market.day_value[:, 1], market.volatility[:, 2] = np.nan, np.nan
    result = run_backtest(market, always(0.1, 0.1, 0.1), costs=FREE)
    assert result.fills["symbol"].tolist() == [0]
