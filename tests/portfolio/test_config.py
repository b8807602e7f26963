"""configs/portfolio.yml: the shipped file states the defaults, and what it may not hold is refused."""

from pathlib import Path

import pytest

from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.portfolio.config import PortfolioConfig, read_portfolio

REPOSITORY = Path(__file__).resolve().parents[2]


def home_with(folder: Path, text: str) -> Home:
    """A home whose configs/ holds this portfolio.yml only."""
    (folder / "configs").mkdir()
    (folder / "configs" / "portfolio.yml").write_text(text, encoding="utf-8")
    return Home(folder)


def test_the_shipped_file_states_every_default() -> None:
    """Each field of the section stands in the file, with the value that a home without the file has."""
    found = read_portfolio(Home(REPOSITORY))
    assert found == PortfolioConfig()
    for section in (found, found.convex, found.universe):
        assert section.model_fields_set == set(type(section).model_fields)


def test_a_home_without_the_file_has_the_defaults(tmp_path: Path) -> None:
    """And one that has it has its own."""
    assert read_portfolio(Home(tmp_path)) == PortfolioConfig()
    home = home_with(tmp_path, "side: long_only\ngross: 0.8\nconfidence: measured\nconvex:\n")
    found = read_portfolio(home)
    assert (found.side, found.net_limit, found.confidence) == ("long_only", 0.8, "measured")


@pytest.mark.parametrize(
    "text, said",
    [
        ("max_names: 0.1", "max_names is not a field; did you mean max_name"),
        ("convex: {risk_aversoin: 2}", "convex.risk_aversoin is not a field; did you mean risk_aversion"),
        ("side: short_only", "side='short_only'"),
        ("max_name: 1.5", "max_name=1.5"),
        ("confidence: 1.5", "confidence"),
        ("correlation: 1.0", "correlation=1.0"),
        ("volatility_sessions: 30", "volatility_sessions=30"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, text: str, said: str) -> None:
    """With the field, the value and, where one is near, the name that was meant."""
    with pytest.raises(ConfigError, match=r"portfolio\.yml") as caught:
        read_portfolio(home_with(tmp_path, text))
    assert said in caught.value.message


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    """Defaults take the place of the usual file only."""
    with pytest.raises(ConfigError, match="no configuration file"):
        read_portfolio(Home(tmp_path), tmp_path / "other.yml")
