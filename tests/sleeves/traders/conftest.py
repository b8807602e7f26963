"""Fixtures of the traders: a home with published wallets, a converted pipeline, a trained run."""

import shutil
from pathlib import Path

import pytest

from tests.sleeves.traders.seed_models import write_seed_model
from tests.sleeves.traders.wallets import write_wallets
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.sleeves.traders.convert import convert_pipeline
from trademl.sleeves.traders.train import TradersConfig, train
from trademl.training.run import RunResult

SMALL: dict[str, object] = {
    "label": "horizon",
    "k": 7,
    "target": "raw",
    "features": ["*"],
    "binning": "strict",
    "validation": {"folds": 4, "test_folds": 1, "embargo": 3},
    "model": {
        "kind": "xgboost_ridge",
        "threads": 1,
        "inner": {"folds": 3, "test_folds": 1, "embargo": 2},
        "bases": [
            {"seed": number, "max_depth": 1 + number % 3, "n_rounds": 3 + number, "min_child_weight": 2}
            for number in range(8)
        ],
    },
}
"""A stack of eight small base models."""


def small_config(**fields: object) -> TradersConfig:
    """Return the small stack's configuration."""
    return validate_section({**SMALL, **fields}, TradersConfig, origin="test")


@pytest.fixture(scope="session")
def seed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of the first system; nobody changes it."""
    folder = tmp_path_factory.mktemp("seed") / "v3"
    write_seed_model(folder)
    return folder


@pytest.fixture(scope="session")
def converted_once(seed_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first system's model, converted once; nobody changes it."""
    folder = tmp_path_factory.mktemp("converted") / "traders_stack"
    convert_pipeline(seed_folder, folder)
    return folder


@pytest.fixture
def converted(converted_once: Path, tmp_path: Path) -> Path:
    """A converted pipeline of the test's own."""
    return Path(shutil.copytree(converted_once, tmp_path / "traders_stack"))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the small wallets, published once for all tests; nobody changes it."""
    root = tmp_path_factory.mktemp("published") / "home"
    make_home(root, bundle())
    home = Home(root)
    write_wallets(home)
    return home


@pytest.fixture(scope="session")
def trained_once(published: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, RunResult]:
    """A home with the small wallets and one trained run; nobody changes it."""
    home = _copied(published, tmp_path_factory.mktemp("trained") / "home")
    return home, train(home, small_config(), mlflow=False, command="trademl train traders")


@pytest.fixture
def wallets(published: Home, tmp_path: Path) -> Home:
    """A home of the test's own with the small wallets."""
    return _copied(published, tmp_path / "wallets")


@pytest.fixture
def trained(trained_once: tuple[Home, RunResult], tmp_path: Path) -> tuple[Home, RunResult]:
    """A home of the test's own with the trained run."""
    home, result = trained_once
    return _copied(home, tmp_path / "trained"), result


def _copied(home: Home, root: Path) -> Home:
    # Sizes and times of the warehouse file are how a reader knows that nothing was built since.
    shutil.copytree(home.root, root, copy_function=shutil.copy2)
    return Home(root)
