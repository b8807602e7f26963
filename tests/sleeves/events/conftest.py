"""Fixtures of the events sleeve: a home with published touches of levels, and one with trained heads."""

import shutil
from pathlib import Path

import pytest

from tests.sleeves.events.event_market import write_touches
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.sleeves.events.train import EventsConfig, EventsResult, train

SMALL: dict[str, object] = {
    "stage": "stage_b",
    "ablation": "full",
    "horizons": [60],
    "validation": {"kind": "walk_forward", "folds": 3, "embargo": 1},
    "model": {"kind": "lightgbm", "n_rounds": 12, "num_leaves": 7, "min_data_in_leaf": 20, "seed": 7, "threads": 1},
}


def small_events(**fields: object) -> EventsConfig:
    """Return a configuration of a few small trees for each head."""
    return validate_section({**SMALL, **fields}, EventsConfig, origin="test")


def copied(home: Home, root: Path) -> Home:
    """Return a copy of a home; sizes and times of the warehouse file are how a reader knows that nothing was built."""
    shutil.copytree(home.root, root, copy_function=shutil.copy2)
    return Home(root)


@pytest.fixture(scope="session")
def touches_once(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with small planted events, published once for all tests; nobody changes it."""
    root = tmp_path_factory.mktemp("touches") / "home"
    make_home(root, bundle())
    home = Home(root)
    write_touches(home)
    return home


@pytest.fixture(scope="session")
def heads_once(touches_once: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, EventsResult]:
    """A home with the small events and all heads of one horizon trained; nobody changes it."""
    home = copied(touches_once, tmp_path_factory.mktemp("heads") / "home")
    return home, train(home, small_events(), mlflow=False, command="trademl train events")


@pytest.fixture
def touches(touches_once: Home, tmp_path: Path) -> Home:
    """A home of the test's own with the small events."""
    return copied(touches_once, tmp_path / "touches")


@pytest.fixture
def heads(heads_once: tuple[Home, EventsResult], tmp_path: Path) -> tuple[Home, EventsResult]:
    """A home of the test's own with trained heads."""
    home, result = heads_once
    return copied(home, tmp_path / "heads"), result
