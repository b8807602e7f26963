"""Venue maps: what a map must say, and where it is looked for."""

from pathlib import Path

import pytest

from trademl.config import Home
from trademl.config.venues import load_venue
from trademl.errors import ConfigError


@pytest.mark.parametrize("venue", ["hyperliquid", "plain"])
def test_the_maps_of_the_package_are_valid(home: Home, venue: str) -> None:
    """Each is named after its file and says how a fill is identified."""
    found = load_venue(home, venue)
    assert found.venue == venue
    assert all(found.fills.fill_id)


def test_a_home_without_maps_uses_those_of_the_package(tmp_path: Path) -> None:
    """Homes made before there were venues need no change; a map of their own comes first."""
    home = Home(tmp_path)
    assert load_venue(home, "hyperliquid").time_zone == "Asia/Kolkata"
    folder = home.configs / "venues"
    folder.mkdir(parents=True)
    text = (Path(__file__).resolve().parents[2] / "configs" / "venues" / "hyperliquid.yml").read_text()
    (folder / "hyperliquid.yml").write_text(text.replace("Asia/Kolkata", "UTC"))
    assert load_venue(home, "hyperliquid").time_zone == "UTC"


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("time_zone: UTC", "time_zone: Mars/Base", "no IANA time zone"),
        ("    coin: [coin]\n", "", "columns lack ['coin']"),
        ("    coin: [coin]\n", "    coin: [coin]\n    mood: [mood]\n", "unknown ['mood']"),
        ("  pnl: gross", "  pnl: maybe", "days.pnl='maybe'"),
    ],
)
def test_a_wrong_map_is_refused_with_the_field(tmp_path: Path, old: str, new: str, said: str) -> None:
    """The message names the file, the field and what is wrong."""
    folder = tmp_path / "configs" / "venues"
    folder.mkdir(parents=True)
    text = (Path(__file__).resolve().parents[2] / "configs" / "venues" / "plain.yml").read_text()
    assert old in text
    (folder / "plain.yml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as refused:
        load_venue(Home(tmp_path), "plain")
    assert said in str(refused.value)
    assert "plain.yml" in str(refused.value)
