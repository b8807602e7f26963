"""Fixtures of reports: a home with one trained run."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.training.market import small_config, write_market
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.sleeves.equities import EquitiesConfig, train


@dataclass(frozen=True)
class Trained:
    """A home, and the one run in it."""

    home: Home
    run_id: str

    @property
    def folder(self) -> Path:
        return self.home.models_artifacts / "equities" / self.run_id


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The small market with a run of three paths, trained once for all tests; nobody changes it."""
    root = tmp_path_factory.mktemp("trained") / "home"
    make_home(root, bundle())
    home = Home(root)
    write_market(home)
    config = load_section(small_config(home), EquitiesConfig)
    result = train(home, config, mlflow=False, command="trademl train equities")
    return Trained(home, result.run_id)


@pytest.fixture
def trained(trained_once: Trained, tmp_path: Path) -> Trained:
    """A home of the test's own with the trained run."""
    root = tmp_path / "home"
    # Sizes and times of the warehouse file are how a reader knows that nothing was built since.
    shutil.copytree(trained_once.home.root, root, copy_function=shutil.copy2)
    return Trained(Home(root), trained_once.run_id)
