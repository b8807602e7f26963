"""Simulated wallets whose truth is known: who has skill, who was lucky, and who only looks as if.

Every wallet makes round trips inside a day, in one coin at a time. ``skill`` wallets have a planted expected Sharpe
ratio per day after fees; all others are expected to earn nothing or less, whatever their record shows:

    luck         trips without an edge, the fees already earned back: the hardest case to tell from skill
    lottery      luck with one trade of a size never seen before or after, which happens to win big
    martingale   a coin is tossed, the size doubles after each loss; it wins most days until it blows up
    wash         in and out at one price many times a day, living on the rebate of a maker

Wallets begin at different times, leave at random, are ruined by their own losses, or blow up: the vanished lost more
than the others, so a ranking of those who are left is a ranking of survivors.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trademl.config.reading import Section
from trademl.rng import stream

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SKILL, LUCK, LOTTERY, MARTINGALE, WASH = "skill", "luck", "lottery", "martingale", "wash"
KINDS = (SKILL, LUCK, LOTTERY, MARTINGALE, WASH)
ALIVE, QUIT, RUINED, BLOWN = "alive", "quit", "ruined", "blown up"

TAKER_FEE, MAKER_REBATE = 0.00035, -0.00002
_COINS = np.array(["BTC", "ETH", "SOL", "HYPE", "DOGE", "XRP", "LINK", "AVAX"])
_PRICES = np.array([60_000.0, 3_000.0, 150.0, 20.0, 0.2, 0.6, 14.0, 30.0])
# Local days of the published files (UTC + 5:30) and UTC days agree from here on.
_FIRST_MINUTE, _LAST_MINUTE = 340, 1438
_DOUBLINGS = 7


class TraderSimulation(Section):
    """What to simulate. Shares are of ``wallets``; the rest are luck. Sharpe ratios are per active day.

    ``fills`` wallets, spread over all kinds, get raw fills beside their account-days.
    """

    wallets: int = Field(default=2000, ge=20, le=200_000)
    days: int = Field(default=180, ge=30, le=3_000)
    start: date = date(2024, 9, 1)
    seed: int = Field(default=7, ge=0)
    skilled: float = Field(default=0.05, ge=0.0, le=1.0)
    lotteries: float = Field(default=0.03, ge=0.0, le=1.0)
    martingales: float = Field(default=0.06, ge=0.0, le=1.0)
    washers: float = Field(default=0.02, ge=0.0, le=1.0)
    weakest_skill: float = Field(default=0.15, ge=0.0, le=2.0)
    strongest_skill: float = Field(default=0.45, ge=0.0, le=2.0)
    quit_rate: float = Field(default=0.002, ge=0.0, le=0.2)
    fills: int = Field(default=200, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "TraderSimulation":
        if self.skilled + self.lotteries + self.martingales + self.washers > 1:
            raise ValueError("skilled, lotteries, martingales and washers are more than all wallets")
        if self.weakest_skill > self.strongest_skill:
            raise ValueError("weakest_skill is above strongest_skill")
        return self


@dataclass(frozen=True, eq=False)
class Wallet:
    """One wallet: ``sharpe`` is what was planted per active day, 0 but for skill; ``died`` the last day, or None."""

    address: str
    kind: str
    sharpe: float
    born: int
    died: int | None
    ending: str


@dataclass(frozen=True, eq=False)
class Trips:
    """Round trips in order of wallet and time, each array of shape (trips,).

    ``entry`` and ``exit`` are minutes of the local day, ``fee`` is paid on each of the two fills, as a share of value.
    """

    wallet: IntArray
    day: IntArray
    entry: IntArray
    exit: IntArray
    coin: NDArray[np.str_]
    is_long: NDArray[np.bool_]
    price_in: FloatArray
    price_out: FloatArray
    tokens: FloatArray
    fee: FloatArray

    @property
    def pnl(self) -> FloatArray:
        """Profit before fees, USD."""
        return np.round(self.tokens * (self.price_out - self.price_in) * np.where(self.is_long, 1, -1), 6)


def simulate_wallets(config: TraderSimulation) -> tuple[list[Wallet], Trips]:
    """Draw the wallets and their round trips; the same configuration gives the same numbers."""
    kinds = _kinds(config)
    wallets, parts = [], []
    for number, kind in enumerate(kinds):
        wallet, columns = _wallet(config, number, kind)
        wallets.append(wallet)
        parts.append(columns)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return wallets, _priced(config, joined)


def _kinds(config: TraderSimulation) -> list[str]:
    shares = {SKILL: config.skilled, LOTTERY: config.lotteries, MARTINGALE: config.martingales, WASH: config.washers}
    kinds = [kind for kind, share in shares.items() for _ in range(round(share * config.wallets))][: config.wallets]
    kinds += [LUCK] * (config.wallets - len(kinds))
    order = stream(config.seed, "traders", "kinds").permutation(len(kinds))
    return [kinds[place] for place in order]


def _wallet(config: TraderSimulation, number: int, kind: str) -> tuple[Wallet, dict[str, NDArray[np.generic]]]:
    """Draw one wallet: its life, its days, its trips' sizes and returns, and where they end it."""
    rng = stream(config.seed, "traders", "wallet", str(number))
    address = "0x" + rng.bytes(20).hex()
    born = 0 if rng.random() < 0.5 else int(rng.integers(0, max(config.days // 2, 1)))
    left = born + int(rng.geometric(config.quit_rate)) if config.quit_rate > 0 else config.days
    days = np.arange(born, min(left, config.days))
    days = days[rng.random(len(days)) < rng.uniform(0.5, 0.95)]
    per_day = rng.uniform(30, 60) if kind == WASH else rng.uniform(0.5, 3.0)
    count = 1 + rng.poisson(per_day, len(days))
    day = np.repeat(days, count)
    base = float(np.exp(rng.normal(np.log(5_000), 1.2)))
    sharpe = float(rng.uniform(config.weakest_skill, config.strongest_skill)) if kind == SKILL else 0.0
    fee = MAKER_REBATE if kind == WASH else TAKER_FEE
    size, net = _results(rng, kind, len(day), base, sharpe, count)
    died, ending = None, ALIVE
    if left < config.days:
        died, ending = left, QUIT
    broken = _breaks(rng, kind, size, net, base)
    if broken is not None:
        died, ending = int(day[broken]), BLOWN if kind == MARTINGALE else RUINED
        day, size, net = day[: broken + 1], size[: broken + 1], net[: broken + 1]
    entry, leaving = _minutes(rng, day, kind)
    columns: dict[str, NDArray[np.generic]] = {
        "wallet": np.full(len(day), number),
        "day": day,
        "entry": entry,
        "exit": leaving,
        "coin": rng.choice(rng.choice(len(_COINS), int(rng.integers(1, 5)), replace=False), len(day)),
        "is_long": rng.random(len(day)) < rng.uniform(0.3, 0.7),
        "size": size,
        # Gross of fees: the fee of both fills is about twice the rate.
        "gross": net + 2 * fee,
        "fee": np.full(len(day), fee),
    }
    return Wallet(address, kind, sharpe, born, died, ending), columns


def _results(
    rng: np.random.Generator, kind: str, trips: int, base: float, sharpe: float, count: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return each trip's size in USD and its return after fees."""
    if kind == MARTINGALE:
        return _martingale(rng, trips, base)
    size = base * np.exp(rng.normal(0, 0.4, trips))
    if kind == WASH:
        # A tick up or down: gross of the rebate the wallet earns nothing, net of it a little every time.
        return size, rng.normal(0, 0.5e-4, trips) - 2 * MAKER_REBATE
    scale = rng.uniform(0.006, 0.025)
    net = scale * rng.standard_t(4, trips) / np.sqrt(2)
    if kind == SKILL and trips:
        # A day of m trips has m times the mean and sqrt(m) times the deviation of one, sizes varying by exp(0.4 Z).
        net += sharpe * scale * np.sqrt(np.exp(0.16)) / np.sqrt(float(np.mean(count)))
    if kind == LOTTERY and trips:
        lucky = int(rng.integers(0, trips))
        size[lucky] = base * rng.uniform(15, 40)
        net[lucky] = rng.uniform(0.15, 0.5)
    return size, net


def _martingale(rng: np.random.Generator, trips: int, base: float) -> tuple[FloatArray, FloatArray]:
    wins = rng.random(trips) < 0.5
    move = rng.uniform(0.004, 0.012) * rng.uniform(0.9, 1.1, trips)
    lost = np.arange(trips) - np.maximum.accumulate(np.where(np.concatenate([[True], wins[:-1]]), np.arange(trips), 0))
    return base * 2.0 ** np.minimum(lost, _DOUBLINGS), np.where(wins, move, -move)


def _breaks(rng: np.random.Generator, kind: str, size: FloatArray, net: FloatArray, base: float) -> int | None:
    """Return the trip that ends the wallet: a loss at the last doubling, or losses beyond what it can bear."""
    if not len(size):
        return None
    if kind == MARTINGALE:
        fatal = np.flatnonzero((size >= base * 2.0**_DOUBLINGS) & (net < 0))
    else:
        money = np.cumsum(size * net)
        bearable = base * rng.uniform(0.15, 0.6)
        fatal = np.flatnonzero(np.maximum.accumulate(np.maximum(money, 0.0)) - money > bearable)
    return int(fatal[0]) if len(fatal) else None


def _minutes(rng: np.random.Generator, day: IntArray, kind: str) -> tuple[IntArray, IntArray]:
    """Return entry and exit minutes: the trips of a day follow each other, and a wash trip lasts a minute or two."""
    number = np.arange(len(day)) - np.searchsorted(day, day)
    count = np.bincount(day, minlength=int(day.max(initial=0)) + 1)[day] if len(day) else day
    room = (_LAST_MINUTE - _FIRST_MINUTE) / np.maximum(count, 1)
    entry = _FIRST_MINUTE + room * (number + 0.4 * rng.random(len(day)))
    held = 1 + rng.random(len(day)) if kind == WASH else np.maximum(0.5 * room * rng.random(len(day)), 1.5)
    return entry.astype(np.int64), np.minimum((entry + held).astype(np.int64), _LAST_MINUTE)


def _priced(config: TraderSimulation, columns: dict[str, NDArray[np.generic]]) -> Trips:
    """Give the trips prices and token amounts, rounded as an exchange would, so that every file agrees."""
    rng = stream(config.seed, "traders", "prices")
    walk = np.exp(np.cumsum(rng.normal(0, 0.02, (config.days, len(_COINS))), axis=0)) * _PRICES
    coin, day = columns["coin"].astype(np.int64), columns["day"].astype(np.int64)
    is_long = columns["is_long"].astype(bool)
    price = np.round(walk[day, coin], 6)
    tokens = np.round(columns["size"].astype(np.float64) / price, 6)
    gross = columns["gross"].astype(np.float64) * np.where(is_long, 1, -1)
    return Trips(
        wallet=columns["wallet"].astype(np.int64),
        day=day,
        entry=columns["entry"].astype(np.int64),
        exit=columns["exit"].astype(np.int64),
        coin=_COINS[coin],
        is_long=is_long,
        price_in=price,
        price_out=np.round(price * (1 + np.maximum(gross, -0.95)), 8),
        tokens=tokens,
        fee=columns["fee"].astype(np.float64),
    )
