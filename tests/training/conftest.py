"""Fixtures of training: a home with a small published market."""

import shutil
from pathlib import Path

import pytest

from tests.training.market import write_market
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the small market, published once for all tests; nobody changes it."""
    root = tmp_path_factory.mktemp("published") / "home"
    make_home(root, bundle())
    home = Home(root)
    write_market(home)
    return home


@pytest.fixture
def market(published: Home, tmp_path: Path) -> Home:
    """A home of the test's own with the small market."""
    root = tmp_path / "home"
    # Sizes and times of the warehouse file are how a reader knows that nothing was built since.
    shutil.copytree(published.root, root, copy_function=shutil.copy2)
    return Home(root)
