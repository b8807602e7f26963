"""Finding the home, and the places in it."""

from pathlib import Path

import pytest

from trademl.config import Home, find_home
from trademl.errors import HomeNotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that is a home because it has configs/trademl.yml."""
    folder = tmp_path.resolve() / "home"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "trademl.yml").touch()
    return folder


def test_the_home_is_the_nearest_folder_upward(root: Path) -> None:
    """From two folders down, an inner home hides the outer one."""
    deep = root / "inner" / "a" / "b"
    deep.mkdir(parents=True)
    assert find_home(deep) == Home(root)
    (root / "inner" / "configs").mkdir()
    (root / "inner" / "configs" / "trademl.yml").touch()
    assert find_home(deep) == Home(root / "inner")


def test_without_a_start_the_search_begins_here(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is where the search begins."""
    monkeypatch.chdir(root / "configs")
    assert find_home() == Home(root)


def test_the_variable_wins(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRADEML_HOME is taken whatever the working directory is."""
    monkeypatch.setenv("TRADEML_HOME", str(root))
    assert find_home(tmp_path) == Home(root)


def test_a_variable_that_names_no_home_is_an_error(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no falling back to another home than the one named."""
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("TRADEML_HOME", str(elsewhere))
    with pytest.raises(HomeNotFound, match=r"elsewhere has no configs/trademl\.yml") as caught:
        find_home(root)
    assert f"trademl init {elsewhere}" in caught.value.remedy


def test_no_home_at_all_names_the_command_that_makes_one(tmp_path: Path) -> None:
    """The message says where was looked, the remedy what to run."""
    with pytest.raises(HomeNotFound, match=str(tmp_path.resolve())) as caught:
        find_home(tmp_path)
    assert "trademl init" in caught.value.remedy


def test_the_places_of_a_home() -> None:
    """configs, dbt_project, lake and models_artifacts lie below the root; the warehouse lies in the lake."""
    home = Home(Path("/h"))
    places = [home.configs, home.dbt_project, home.lake, home.models_artifacts, home.warehouse]
    assert [str(place) for place in places] == [
        "/h/configs",
        "/h/dbt_project",
        "/h/lake",
        "/h/models_artifacts",
        "/h/lake/warehouse.duckdb",
    ]
