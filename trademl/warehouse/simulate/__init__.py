"""A seeded market written as source files, with a planted signal of known rank IC."""

from trademl.warehouse.simulate.config import SimulationConfig
from trademl.warehouse.simulate.write import SimulationReport, simulate_market

__all__ = ["SimulationConfig", "SimulationReport", "simulate_market"]
