"""Homes whose calendar has landed already: making it takes seconds, copying it does not."""

import shutil
from pathlib import Path

import pytest

from tests.warehouse.ingest.desk import NOW, Desk
from trademl.config.home import Home
from trademl.warehouse.ingest import land_calendar


@pytest.fixture(scope="session")
def calendar_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with nothing but the calendar XNYS."""
    root = tmp_path_factory.mktemp("calendar")
    (root / "configs").mkdir()
    (root / "configs" / "trademl.yml").write_text("{}\n", encoding="utf-8")
    home = Home(root)
    land_calendar(home, now=lambda: NOW)
    return home


@pytest.fixture
def desk(calendar_home: Home, tmp_path: Path) -> Desk:
    """A scratch home with the calendar, and a folder for sources."""
    shutil.copytree(calendar_home.root, tmp_path / "home")
    (tmp_path / "sources").mkdir()
    return Desk(Home(tmp_path / "home"), tmp_path / "sources")
