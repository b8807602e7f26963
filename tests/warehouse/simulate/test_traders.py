"""Simulated wallets: what was planted is there, and nothing else."""

import numpy as np
import pytest
from pydantic import ValidationError

from trademl.warehouse.simulate.traders import (
    ALIVE,
    BLOWN,
    KINDS,
    LOTTERY,
    LUCK,
    MARTINGALE,
    RUINED,
    SKILL,
    WASH,
    TraderSimulation,
    Trips,
    Wallet,
    simulate_wallets,
)

CONFIG = TraderSimulation(wallets=600, days=200, seed=3)


@pytest.fixture(scope="module")
def drawn() -> tuple[list[Wallet], Trips]:
    return simulate_wallets(CONFIG)


def net(trips: Trips) -> np.ndarray:
    """Profit of each trip after the fees of both fills."""
    value = trips.tokens * (trips.price_in + trips.price_out)
    return trips.pnl - value * trips.fee


def test_the_kinds_are_as_many_as_asked_for(drawn: tuple[list[Wallet], Trips]) -> None:
    """Shares of the wallets, the rest luck; only skill has a planted Sharpe ratio."""
    wallets, _ = drawn
    count = {kind: sum(one.kind == kind for one in wallets) for kind in KINDS}
    assert count == {SKILL: 30, LOTTERY: 18, MARTINGALE: 36, WASH: 12, LUCK: 504}
    for one in wallets:
        assert (one.sharpe > 0) == (one.kind == SKILL)
        assert one.sharpe == 0 or CONFIG.weakest_skill <= one.sharpe <= CONFIG.strongest_skill
    assert len({one.address for one in wallets}) == 600


def test_planted_skill_is_earned_and_luck_is_none() -> None:
    """Per active day, over many wallets: skill earns its Sharpe ratio, luck about nothing."""
    config = TraderSimulation(wallets=300, days=300, seed=5, skilled=0.5, lotteries=0, martingales=0, washers=0)
    wallets, trips = simulate_wallets(config)
    found: dict[str, list[float]] = {SKILL: [], LUCK: []}
    for place, one in enumerate(wallets):
        own = trips.wallet == place
        day = np.bincount(trips.day[own] - one.born, weights=net(trips)[own])
        day = day[np.bincount(trips.day[own] - one.born) > 0]
        # A wallet that was ruined shows its worst days: only the survivors of luck would look skilled.
        if len(day) >= 30 and one.kind == SKILL:
            found[SKILL].append(day.mean() / day.std() - one.sharpe)
        elif len(day) >= 30:
            found[LUCK].append(day.mean() / day.std())
    assert np.mean(found[SKILL]) == pytest.approx(0.0, abs=0.03)
    assert np.mean(found[LUCK]) == pytest.approx(0.0, abs=0.05)


def test_martingales_double_and_some_blow_up(drawn: tuple[list[Wallet], Trips]) -> None:
    """After a loss the size doubles, after a gain it is the first one; a loss at the last doubling is the end."""
    wallets, trips = drawn
    size = trips.tokens * trips.price_in
    endings = []
    for place, one in enumerate(wallets):
        if one.kind != MARTINGALE:
            continue
        own = np.flatnonzero(trips.wallet == place)
        lost = net(trips)[own][:-1] < 0
        ratio = size[own][1:] / size[own][:-1]
        assert ratio[lost] == pytest.approx(2.0, rel=0.02)
        assert (ratio[~lost] < 1.02).all()
        endings.append(one.ending)
        if one.ending == BLOWN:
            assert net(trips)[own].sum() < 0
    assert BLOWN in endings
    assert ALIVE in endings


def test_a_lottery_hangs_on_one_trade(drawn: tuple[list[Wallet], Trips]) -> None:
    """The best trade of a wallet that won is most of what it has."""
    wallets, trips = drawn
    profit = net(trips)
    shares = []
    for place, one in enumerate(wallets):
        own = profit[trips.wallet == place]
        if one.kind == LOTTERY and one.ending == ALIVE and own.sum() > 0:
            shares.append(own.max() / own.sum())
    assert len(shares) > 3
    assert np.median(shares) > 0.5


def test_wash_trips_end_at_the_price_where_they_began(drawn: tuple[list[Wallet], Trips]) -> None:
    """Short, flat and many; what they live on is the rebate."""
    wallets, trips = drawn
    wash = np.isin(trips.wallet, [place for place, one in enumerate(wallets) if one.kind == WASH])
    gross = trips.pnl[wash] / (trips.tokens * trips.price_in)[wash]
    assert np.quantile(np.abs(gross), 0.99) < 2e-4
    assert (trips.exit - trips.entry)[wash].max() <= 3
    assert (trips.fee[wash] < 0).all()
    assert (trips.fee[~wash] > 0).all()


def test_the_vanished_lost_more(drawn: tuple[list[Wallet], Trips]) -> None:
    """Who was ruined had lost: those who are left are survivors."""
    wallets, trips = drawn
    total = np.bincount(trips.wallet, weights=net(trips), minlength=len(wallets))
    ruined = [total[place] for place, one in enumerate(wallets) if one.ending == RUINED]
    alive = [total[place] for place, one in enumerate(wallets) if one.ending == ALIVE and one.kind == LUCK]
    assert len(ruined) > 20
    assert np.mean(np.array(ruined) < 0) > 0.8
    assert np.mean(np.array(alive) < 0) < 0.6


def test_nothing_happens_outside_a_life(drawn: tuple[list[Wallet], Trips]) -> None:
    """Trips lie between birth and death, in order, inside one day, and do not overlap."""
    wallets, trips = drawn
    born = np.array([one.born for one in wallets])[trips.wallet]
    died = np.array([CONFIG.days if one.died is None else one.died for one in wallets])[trips.wallet]
    assert ((born <= trips.day) & (trips.day <= died)).all()
    assert (trips.exit > trips.entry).all()
    assert (trips.entry >= 330).all()
    assert (trips.exit < 1440).all()
    same = (trips.wallet[1:] == trips.wallet[:-1]) & (trips.day[1:] == trips.day[:-1])
    assert (trips.entry[1:][same] >= trips.exit[:-1][same]).mean() > 0.9
    assert (trips.entry[1:][same] >= trips.entry[:-1][same]).all()


def test_the_seed_decides_and_a_wallet_does_not_depend_on_the_others() -> None:
    """The same seed gives the same wallets; more wallets of one kind leave the first ones as they were."""
    alone = {"skilled": 0.0, "lotteries": 0.0, "martingales": 0.0, "washers": 0.0, "days": 60}
    few, again, many = (simulate_wallets(TraderSimulation(wallets=n, **alone)) for n in (20, 20, 40))
    assert [one.address for one in few[0]] == [one.address for one in again[0]] == [one.address for one in many[0]][:20]
    assert few[1].pnl.tolist() == again[1].pnl.tolist()
    assert few[1].day.tolist() == many[1].day.tolist()[: len(few[1].day)]


@pytest.mark.parametrize(
    "wrong", [{"skilled": 0.9, "martingales": 0.2}, {"weakest_skill": 0.5, "strongest_skill": 0.1}, {"wallets": 3}]
)
def test_wrong_configurations_are_refused(wrong: dict[str, float]) -> None:
    """More than all wallets, a weakest skill above the strongest, and too few wallets."""
    with pytest.raises(ValidationError):
        TraderSimulation(**wrong)  # type: ignore[arg-type]
