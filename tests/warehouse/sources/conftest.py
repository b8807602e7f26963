"""The scratch homes of the ingest tests."""

from tests.warehouse.ingest.conftest import calendar_home, desk

__all__ = ["calendar_home", "desk"]
