"""One small market, simulated once for the tests that only read it."""

from pathlib import Path

import pytest

from trademl.warehouse.simulate import SimulationConfig, simulate_market

MARKET = SimulationConfig(symbols=100, sessions=700, seed=3, delisting_rate=0.06, missing_rate=0.001)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 100 symbols over 700 sessions and a planted rank IC of 0.05."""
    folder = tmp_path_factory.mktemp("simulate") / "market"
    simulate_market(MARKET, folder)
    return folder
