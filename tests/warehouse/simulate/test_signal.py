from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.warehouse.simulate.panel import daily_rank_ic, features, forward, read_panel, rolling
from trademl.warehouse.simulate import SimulationConfig
from trademl.warehouse.simulate.market import draw_listings, draw_noise
from trademl.warehouse.simulate.signal import follow, forward_log_return, measure, plant


def planted_signal(folder: Path, dates: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    table = pq.read_table(folder / "truth.parquet").to_pydict()
    signal = np.full((len(dates), len(symbols)), np.nan)
    row = np.searchsorted(dates, np.array(table["date"], dtype="datetime64[D]"))
    signal[row, np.searchsorted(symbols, np.array(table["symbol"]))] = table["signal"]
    return signal


def test_the_oracle_has_the_planted_rank_ic_in_the_written_files(market: Path) -> None:
    """The truth's signal, against labels made from the written bars alone, is within two standard errors of 0.05."""
    panel = read_panel(market)
    daily = daily_rank_ic(planted_signal(market, panel.dates, panel.symbols), forward(panel, 5))
    blocks = [block.mean() for block in np.array_split(daily, len(daily) // 25)]
    error = np.std(blocks, ddof=1) / np.sqrt(len(blocks))
    assert abs(daily.mean() - 0.05) < 2 * error


def test_the_signal_is_a_feature_that_the_bars_show(market: Path) -> None:
    """By default the signal ranks the cross-section as 60-session momentum does (up to ticks and absent sessions)."""
    panel = read_panel(market)
    daily = daily_rank_ic(planted_signal(market, panel.dates, panel.symbols), features(panel)["momentum_60d"])
    assert daily.mean() > 0.995


@pytest.mark.parametrize("wanted", [0.03, 0.1])
def test_the_population_rank_ic_is_the_one_asked_for(wanted: float) -> None:
    """Over independent histories, the mean measured rank IC of the signal is the planted one."""
    found = []
    for seed in range(8):
        config = SimulationConfig(symbols=100, sessions=400, seed=seed, planted_ic=wanted)
        listings = draw_listings(config)
        alive = listings.alive(400)
        seasoned = np.arange(400)[:, None] - listings.first >= 60
        noise = draw_noise(config, listings)
        run = plant(config, noise, alive, alive & seasoned & listings.members(400))
        found.append(run.oracle_ic)
        assert abs(run.population_ic - wanted) < 2e-4
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - wanted) < 2.5 * error


def test_the_signal_of_a_session_looks_at_the_past_only() -> None:
    """Other returns from session 250 on leave every signal before it as it was."""
    config = SimulationConfig(symbols=40, sessions=300, seed=4)
    listings = draw_listings(config)
    alive = listings.alive(300)
    noise = draw_noise(config, listings)
    _, before = follow(config, noise, alive, alive, 0.002)
    noise.intraday[250:] *= -3.0
    noise.gap[250:] += 0.01
    _, after = follow(config, noise, alive, alive, 0.002)
    np.testing.assert_array_equal(before[:250], after[:250])
    assert not np.array_equal(before[250:], after[250:], equal_nan=True)


def test_the_drift_starts_after_the_next_open() -> None:
    """With no noise but one winner's, the drift of signal s is (a / H) s in the next session's intraday return."""
    config = SimulationConfig(symbols=10, sessions=100)
    listings = draw_listings(config)
    noise = draw_noise(config, listings)
    everyone = np.ones((100, 10), dtype=bool)
    intraday, signal = follow(config, noise, everyone, everyone & (np.arange(100)[:, None] >= 60), 0.01)
    drift = intraday - noise.intraday
    np.testing.assert_allclose(drift[61:], 0.01 / 5 * signal[60:-1], rtol=1e-9)
    assert not drift[:61].any()


def test_a_label_runs_from_the_next_open_to_the_horizons_close() -> None:
    """For horizon 2: intraday return of the next session plus the whole return of the one after, or the last bar."""
    gap = np.array([[0.0, 0.0], [0.1, 0.2], [0.3, 0.0], [0.5, 0.0], [0.0, 0.0]])
    intraday = np.array([[0.0, 0.0], [0.01, 0.02], [0.03, 0.0], [0.05, 0.0], [0.0, 0.0]])
    alive = np.array([[True, True], [True, True], [True, False], [True, False], [True, False]])
    label = forward_log_return(gap, intraday, alive, 2)
    np.testing.assert_allclose(label[:3, 0], [0.01 + 0.33, 0.03 + 0.55, 0.05])
    np.testing.assert_allclose(label[0, 1], 0.02)
    assert np.isnan(label[1:, 1]).all()
    assert np.isnan(label[3:]).all()


def test_nothing_is_planted_by_choice() -> None:
    """With a planted IC of 0 the returns are the drawn noise, untouched."""
    config = SimulationConfig(symbols=30, sessions=200, planted_ic=0.0)
    listings = draw_listings(config)
    alive = listings.alive(200)
    noise = draw_noise(config, listings)
    run = plant(config, noise, alive, alive)
    np.testing.assert_array_equal(run.intraday, noise.intraday)
    assert run.amplitude == 0.0


def test_flipping_the_future_flips_every_rank_ic() -> None:
    """The mirror image of a future is as likely, and has the opposite rank IC with any feature: here, exactly."""
    config = SimulationConfig(symbols=50, sessions=200, planted_ic=0.0, delisting_rate=0.0)
    listings = draw_listings(config)
    noise = draw_noise(config, listings)
    volatility = np.where(listings.alive(200), noise.spread, np.nan)
    label = forward_log_return(noise.gap, noise.intraday, listings.alive(200), 5)
    assert measure(volatility, label, 5).mean == pytest.approx(-measure(volatility, -label, 5).mean, abs=1e-12)


def test_momentum_and_volatility_predict_nothing_when_nothing_is_planted() -> None:
    """Over 80 markets with a planted IC of 0 the mean rank IC of either feature is within 3 standard errors of 0."""
    found: dict[str, list[float]] = {"momentum": [], "volatility": []}
    for seed in range(80):
        config = SimulationConfig(symbols=40, sessions=160, seed=seed, planted_ic=0.0, delisting_rate=0.1)
        listings = draw_listings(config)
        noise = draw_noise(config, listings)
        alive = listings.alive(160)
        label = forward_log_return(noise.gap, noise.intraday, alive, 5)
        returns = noise.gap + noise.intraday
        known = alive & (np.arange(160)[:, None] - listings.first >= 20)
        for name, values in (
            ("momentum", rolling(returns, 20, "sum")),
            ("volatility", rolling(returns, 20, "std")),
        ):
            found[name].append(measure(np.where(known, values, np.nan), label, 5).mean)
    for ics in found.values():
        assert abs(np.mean(ics)) < 3 * np.std(ics, ddof=1) / np.sqrt(len(ics))
