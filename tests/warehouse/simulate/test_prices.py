import csv
import json
from pathlib import Path

import numpy as np

from tests.warehouse.simulate.conftest import MARKET
from tests.warehouse.simulate.panel import read_panel
from trademl.warehouse.simulate.market import draw_listings, draw_noise
from trademl.warehouse.simulate.prices import make_bars


def test_every_bar_is_consistent_and_on_the_tick(market: Path) -> None:
    """high >= max(open, close) >= min(open, close) >= low > 0, prices in whole cents, volumes whole and positive."""
    panel = read_panel(market)
    have = np.isfinite(panel["close"])
    values = {name: panel[name][have] for name in panel.fields}
    assert (values["high"] >= np.maximum(values["open"], values["close"])).all()
    assert (values["low"] <= np.minimum(values["open"], values["close"])).all()
    assert (values["low"] > 0).all()
    for name in ("open", "high", "low", "close", "dividend_amount"):
        assert (values[name] == np.round(values[name], 2)).all()
    assert (values["volume"] == np.round(values["volume"])).all()
    assert values["volume"].min() >= 100


def test_raw_prices_splits_and_dividends_give_the_simulated_total_return() -> None:
    """(close * split + dividend) / previous close is the drawn return, to a tick or two of the price."""
    listings = draw_listings(MARKET)
    noise = draw_noise(MARKET, listings)
    bars = make_bars(MARKET, listings, noise, noise.intraday)
    alive = listings.alive(MARKET.sessions)
    both = alive[1:] & alive[:-1]
    total = np.log((bars.close[1:] * bars.split[1:] + bars.dividend[1:]) / bars.close[:-1])
    drawn = (noise.gap + noise.intraday)[1:]
    # rounding to cents moves a return by a tick of the cheaper price; a dividend levers the intraday part a little
    allowed = 0.03 / np.minimum(bars.close[1:], bars.close[:-1]) + 0.02 * np.abs(noise.intraday[1:]) * (
        bars.dividend[1:] > 0
    )
    assert (np.abs(total - drawn) <= allowed)[both].all()


def test_a_split_halves_the_price_and_not_the_return(market: Path) -> None:
    """Splits are 2 or 3 for 1 above 150 and 1 for 10 below 4; no return shows them."""
    panel = read_panel(market)
    splits = json.loads((market / "truth.json").read_text())["splits"]
    assert len(splits) >= 3
    for split in splits:
        row = np.searchsorted(panel.dates, np.datetime64(split["date"]))
        symbol = np.searchsorted(panel.symbols, split["symbol"])
        before = panel["close"][row - 1, symbol]
        assert panel["split_coefficient"][row, symbol] == split["coefficient"]
        assert before >= 150 if split["coefficient"] > 1 else before <= 4
        assert abs(panel.log_return[row, symbol]) < 0.25


def test_dividends_come_quarterly(market: Path) -> None:
    """A payer's dividends are 63 sessions apart, but for those that a split pushed out."""
    panel = read_panel(market)
    payers = 0
    for symbol in range(len(panel.symbols)):
        paid = np.flatnonzero(np.nan_to_num(panel["dividend_amount"][:, symbol]) > 0)
        if len(paid) > 1:
            payers += 1
            assert (np.diff(paid) % 63 == 0).all()
    assert 40 <= payers <= 80


def test_absent_sessions_are_single_and_few(market: Path) -> None:
    """A listed symbol is absent for one session at a time, and 98.75 % of a session's members are always there."""
    panel = read_panel(market)
    missing = json.loads((market / "truth.json").read_text())["missing_sessions"]
    assert missing
    absent = np.zeros(panel["close"].shape, dtype=bool)
    for cell in missing:
        row = np.searchsorted(panel.dates, np.datetime64(cell["date"]))
        symbol = np.searchsorted(panel.symbols, cell["symbol"])
        absent[row, symbol] = True
        assert np.isfinite(panel["close"][[row - 1, row + 1], symbol]).all()
    assert not np.isfinite(panel["close"][absent]).any()
    member = np.zeros_like(absent)
    with (market / "membership.csv").open() as file:
        for spell in csv.DictReader(file):
            end = np.datetime64(spell["end_date"] or panel.dates[-1])
            inside = (panel.dates >= np.datetime64(spell["start_date"])) & (panel.dates <= end)
            member[inside, np.searchsorted(panel.symbols, spell["symbol"])] = True
    assert ((member & absent).sum(axis=1) <= 0.0125 * member.sum(axis=1)).all()
    assert not (member & ~absent & ~np.isfinite(panel["close"])).any()


def test_volume_persists(market: Path) -> None:
    """Log dollar volume, less the symbol's own level, resembles that of the session before."""
    panel = read_panel(market)
    dollars = np.log(panel["close"] * panel["volume"])
    dollars -= np.nanmean(dollars, axis=0)
    both = np.isfinite(dollars[1:]) & np.isfinite(dollars[:-1])
    assert np.corrcoef(dollars[1:][both], dollars[:-1][both])[0, 1] > 0.5
