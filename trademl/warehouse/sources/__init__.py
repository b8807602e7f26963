"""Vendors of daily bars behind one small protocol; what they return goes through the same ingest as a file."""

from trademl.warehouse.sources.base import Bar, BarSource, Fetched, ingest_bars

__all__ = ["Bar", "BarSource", "Fetched", "ingest_bars"]
