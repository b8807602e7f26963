"""Simulated bars are bars, planted behaviour is there, and without it nothing can be learned."""

import numpy as np
import pytest

from trademl.warehouse.simulate.intraday import (
    ATR_BARS,
    BAND_ATR,
    CONFIRM_ATR,
    KINDS,
    REARM_ATR,
    IntradayBars,
    IntradaySimulation,
    Touches,
    simulate_bars,
)

LENGTHS = (390, 210, 390, 390)


def simulated(strength: float, seed: int = 3, symbols: int = 12) -> tuple[IntradayBars, Touches]:
    return simulate_bars(IntradaySimulation(symbols=symbols, strength=strength, seed=seed), LENGTHS)


@pytest.fixture(scope="module")
def planted() -> tuple[IntradayBars, Touches]:
    return simulated(1.0)


def test_bars_hold_their_open_and_close(planted: tuple[IntradayBars, Touches]) -> None:
    """Low <= open, close <= high, all above 0, volumes whole, and each session has its bars."""
    bars, _ = planted
    for session, length in enumerate(LENGTHS):
        low, high = bars.low[session], bars.high[session]
        assert low.shape == (60 + length, 12)
        for part in (bars.open[session], bars.close[session]):
            assert ((low <= part) & (part <= high) & (part > 0)).all()
        assert (bars.volume[session] == np.round(bars.volume[session])).all()


def test_a_touch_is_one_by_its_definition(planted: tuple[IntradayBars, Touches]) -> None:
    """Band, re-arm and confirmation hold in units of the mean range of the 14 bars before, worked out in a loop."""
    bars, touches = planted
    checked = 0
    for place in range(0, len(touches.symbol), 17):
        session, symbol, number = int(touches.session[place]), int(touches.symbol[place]), int(touches.bar[place])
        if number <= ATR_BARS:
            continue
        bar = bars.pre + number
        high, low, close = (part[session][:, symbol] for part in (bars.high, bars.low, bars.close))
        ranges = [
            max(high[one], close[one - 1]) - min(low[one], close[one - 1])
            for one in range(bar - ATR_BARS, bar)
            if one > bars.pre
        ]
        if len(ranges) < ATR_BARS:
            ranges.append(high[bars.pre] - low[bars.pre])
        atr = sum(ranges) / ATR_BARS
        level, before = touches.level[place], close[bar - 1]
        assert touches.atr[place] == pytest.approx(atr)
        if touches.side[place] > 0:
            assert before <= level - REARM_ATR * atr * (1 - 1e-9)
            assert high[bar] >= level - BAND_ATR * atr * (1 + 1e-9)
        else:
            assert before >= level + REARM_ATR * atr * (1 - 1e-9)
            assert low[bar] <= level + BAND_ATR * atr * (1 + 1e-9)
        assert abs(close[bar] - level) <= CONFIRM_ATR * atr * (1 + 1e-9)
        checked += 1
    assert checked > 30


def test_levels_of_the_past_are_those_of_the_bars(planted: tuple[IntradayBars, Touches]) -> None:
    """A touched prior high is the high of the session before; a pre-market high that of the bars before the open."""
    bars, touches = planted
    seen = set()
    for place, kind in enumerate(touches.kind.tolist()):
        session, symbol = int(touches.session[place]), int(touches.symbol[place])
        if KINDS[kind] == "PDH":
            assert touches.level[place] == bars.high[session - 1][bars.pre :, symbol].max()
        elif KINDS[kind] == "PMH":
            assert touches.level[place] == bars.high[session][: bars.pre, symbol].max()
        elif KINDS[kind] == "PDC":
            assert touches.level[place] == bars.close[session - 1][-1, symbol]
        elif KINDS[kind] == "ORL":
            assert touches.level[place] == bars.low[session][bars.pre : bars.pre + 15, symbol].min()
            assert touches.bar[place] >= 15
        seen.add(KINDS[kind])
    assert {"PDH", "PMH", "PDC", "ORL", "ROUND"} <= seen


def test_after_a_touch_the_price_starts_at_the_level(planted: tuple[IntradayBars, Touches]) -> None:
    """The next bar opens at the level, whatever the touch closed at."""
    bars, touches = planted
    following = [
        bars.open[int(session)][bars.pre + int(bar) + 1, int(symbol)]
        for session, bar, symbol in zip(touches.session, touches.bar, touches.symbol, strict=True)
    ]
    assert np.asarray(following) == pytest.approx(touches.level, abs=1e-4)


def test_planted_tilt_decides_the_side(planted: tuple[IntradayBars, Touches]) -> None:
    """With strength 1 touches of a high tilt break and those of a low one bounce."""
    _, touches = planted
    decided = touches.first != 0
    assert decided.sum() > 200
    breaks = touches.first[decided] > 0
    assert breaks[touches.tilt[decided] > 0.5].mean() > 0.75
    assert breaks[touches.tilt[decided] < -0.5].mean() < 0.25


def test_without_strength_nothing_tells_the_side() -> None:
    """With strength 0 the same quantities say nothing: each correlation lies within four standard errors of 0."""
    excursion, columns = [], []
    for seed in range(4):
        bars, touches = simulated(0.0, seed=seed, symbols=16)
        resolved = np.isfinite(touches.excursion)
        close = np.array(
            [
                bars.close[int(session)][bars.pre + int(bar), int(symbol)]
                for session, bar, symbol in zip(touches.session, touches.bar, touches.symbol, strict=True)
            ]
        )
        beyond = touches.side * (close - touches.level) / touches.atr
        relative = touches.atr / touches.level
        excursion.append(touches.excursion[resolved])
        columns.append(np.stack([touches.tilt, touches.size, beyond, relative, touches.bar])[:, resolved])
    outcome, given = np.concatenate(excursion), np.concatenate(columns, axis=1)
    error = 1 / np.sqrt(len(outcome))
    assert len(outcome) > 2_000
    for values in given:
        assert abs(np.corrcoef(values, outcome)[0, 1]) < 4 * error
        assert abs(np.corrcoef(values, np.abs(outcome))[0, 1]) < 4 * error


def test_the_same_configuration_gives_the_same_bars() -> None:
    """The seed decides everything, and another seed gives other bars."""
    first, second, other = simulated(0.5, symbols=3), simulated(0.5, symbols=3), simulated(0.5, seed=4, symbols=3)
    assert all((a == b).all() for a, b in zip(first[0].close, second[0].close, strict=True))
    assert not all((a == b).all() for a, b in zip(first[0].close, other[0].close, strict=True))


def test_bars_of_five_minutes() -> None:
    """Five-minute sessions have a fifth of the bars, and touches too."""
    config = IntradaySimulation(symbols=10, bar_minutes=5)
    bars, touches = simulate_bars(config, (78, 78, 78, 78))
    assert bars.close[0].shape == (12 + 78, 10)
    assert len(touches.symbol) > 40


def test_bars_of_other_lengths_are_refused() -> None:
    """Bars have 1 or 5 minutes."""
    with pytest.raises(ValueError, match="must be 1 or 5"):
        IntradaySimulation(bar_minutes=3)
