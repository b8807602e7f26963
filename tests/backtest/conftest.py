"""Fixtures of backtests: a home with prices and out-of-fold predictions, written once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.backtest.home import write_home
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.warehouse.read import read_snapshot


@pytest.fixture(scope="session")
def written_once(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home; nobody changes it."""
    root = tmp_path_factory.mktemp("backtests") / "home"
    make_home(root, bundle())
    write_home(Home(root))
    return Home(root)


@pytest.fixture
def traded(written_once: Home, tmp_path: Path) -> Home:
    """A home of the test's own."""
    root = tmp_path / "traded"
    # Sizes and times of the warehouse file are how a reader knows that nothing was built since.
    shutil.copytree(written_once.root, root, copy_function=shutil.copy2)
    return Home(root)


@pytest.fixture
def con(written_once: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """A snapshot's connection."""
    with read_snapshot(written_once) as snapshot:
        yield snapshot.con
