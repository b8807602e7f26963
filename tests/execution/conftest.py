"""Homes that can be traded, simulated and with the fake broker."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pytest

from tests.execution import fake_alpaca
from tests.execution.trading_home import at, bare_home, write_execution, write_home, write_targets
from trademl.config.home import Home
from trademl.execution.broker import Broker
from trademl.execution.trading import Desk


@dataclass
class Floor:
    """A home with tradable sessions, and desks at any time."""

    home: Home
    days: list[date]
    broker: Broker | None = None

    def desk(self, now: datetime) -> Desk:
        """Return a desk that believes it is ``now``."""
        return Desk(self.home, now=lambda: now, broker=self.broker, pause=lambda _: None)

    def morning(self, number: int) -> Desk:
        """Return a desk before the session in which day ``number`` is traded opens."""
        return self.desk(at(self.days[number + 1], 12))

    def night(self, number: int) -> Desk:
        """Return a desk after that session, when its bars are known."""
        return self.desk(at(self.days[number + 1], 21, 30))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[date]]:
    """A home with four tradable sessions and targets for the first three; copied by each test."""
    root = tmp_path_factory.mktemp("trading") / "home"
    home = bare_home(root)
    days = write_home(home, 4)
    for day in days[:3]:
        write_targets(home, day)
    return root, days


@pytest.fixture
def floor(template: tuple[Path, list[date]], tmp_path: Path) -> Floor:
    """A home with the simulated broker."""
    import shutil

    root = tmp_path / "home"
    shutil.copytree(template[0], root)
    return Floor(Home(root), list(template[1]))


@dataclass
class Alpaca:
    """The fake broker, and a floor that trades with it."""

    floor: Floor
    url: str
    books: fake_alpaca.Exchange
    faults: fake_alpaca.Faults

    def open_session(self, number: int, *, seed: int = 1, partial: float = 0.0, fail: float = 0.0) -> None:
        """Hold the auction of the session in which day ``number`` is traded."""
        self.books.now = at(self.floor.days[number + 1], 14, 30)
        self.books.auction(seed, partial, fail)


@pytest.fixture
def alpaca(floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Alpaca]:
    """A home that trades on paper with a broker on this machine; pauses between attempts take no time."""
    pytest.importorskip("alpaca.trading", reason="alpaca-py is not installed")
    from tests.execution.trading_home import SYMBOLS
    from trademl.execution.alpaca import AlpacaBroker
    from trademl.execution.config import BrokerConfig

    write_execution(floor.home, "broker: {name: alpaca, timeout_seconds: 0.5}\n")
    monkeypatch.setenv("APCA_API_KEY_ID", fake_alpaca.KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", fake_alpaca.SECRET)
    with fake_alpaca.serving(tmp_path / "broker") as (url, books, faults):
        monkeypatch.setenv("APCA_API_BASE_URL", url)
        books.prices.update(dict.fromkeys(SYMBOLS, 50.0))
        books.now = at(floor.days[1], 0)
        faults.slow_seconds = 0.8
        pause: Callable[[float], None] = lambda seconds: None  # noqa: E731
        floor.broker = AlpacaBroker(BrokerConfig(name="alpaca", timeout_seconds=0.5), pause=pause)
        yield Alpaca(floor, url, books, faults)
