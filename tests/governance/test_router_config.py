"""configs/router.yml: read strictly, edited without losing a comment."""

import difflib
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.governance.promotable import A, B
from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.governance.router_config import (
    SLEEVES,
    Switch,
    check_sleeve,
    read_router,
    set_champion,
    set_kill_switch,
)


def written(home: Home, text: str) -> Home:
    (home.configs / "router.yml").write_text(text, encoding="utf-8")
    return home


def text_of(home: Home) -> str:
    return (home.configs / "router.yml").read_text(encoding="utf-8")


def changed_lines(before: str, after: str) -> list[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


@pytest.fixture
def bare(tmp_path: Path) -> Home:
    """A home without a router."""
    (tmp_path / "configs").mkdir()
    return Home(tmp_path)


def test_a_new_home_has_no_champion_and_no_kill_switch(home: Home) -> None:
    """The router that `trademl init` brings names nobody, and the switch is off."""
    route = read_router(home).of("equities")
    assert (route.champion, route.fallback, route.kill_switch) == (None, {}, "off")


def test_a_home_from_before_the_router_works(bare: Home) -> None:
    """Without the file every sleeve has the defaults, and the first champion makes the file."""
    assert read_router(bare).of("traders").champion is None
    assert set_champion(bare, "traders", "traders-x-1")
    assert yaml.safe_load(text_of(bare)) == {"traders": {"champion": "traders-x-1"}}


@pytest.mark.parametrize(
    "text, told",
    [
        ("equites: {}", "equites is not a field; did you mean equities"),
        ("equities: {champoin: x}", "equities.champoin is not a field; did you mean champion"),
        ("equities: {kill_switch: maybe}", "kill_switch"),
        ("equities: {fallback: {a: 0.5, b: 0.6}}", "the weights sum to 1.1, must be 1"),
        ("equities: {fallback: {a: 1.5, b: -0.5}}", "weights must be above 0"),
        ("equities: {fallback: {a: .nan}}", "weights must be above 0"),
        ("equities: [", "not valid YAML"),
    ],
)
def test_a_wrong_router_is_refused(home: Home, text: str, told: str) -> None:
    """An unknown key, a wrong weight or broken YAML is an error that names it."""
    with pytest.raises(ConfigError, match=told):
        read_router(written(home, text))


@pytest.mark.parametrize(
    "word, meant", [("on", "on"), ("off", "off"), ("'on'", "on"), ("true", "on"), ("false", "off"), ("'off'", "off")]
)
def test_the_switch_is_read_as_written(home: Home, word: str, meant: str) -> None:
    """YAML reads a plain on or off as a truth value; both spellings mean the switch."""
    assert read_router(written(home, f"equities:\n  kill_switch: {word}\n")).of("equities").kill_switch == meant


def test_thirds_are_a_valid_average(home: Home) -> None:
    """Weights need to sum to 1 only up to rounding."""
    text = "equities:\n  fallback: {a: 0.3333333333, b: 0.3333333333, c: 0.3333333334}\n"
    assert len(read_router(written(home, text)).of("equities").fallback) == 3


def test_an_unknown_sleeve_is_named(home: Home) -> None:
    """A sleeve that does not exist is an error that lists those that do."""
    with pytest.raises(ConfigError, match=r"no sleeve 'bonds'(.|\n)*equities"):
        check_sleeve("bonds")


def test_a_champion_changes_one_line(home: Home) -> None:
    """Writing a champion replaces its value and nothing else: every comment stays where it is."""
    before = text_of(home)
    assert set_champion(home, "equities", A)
    assert changed_lines(before, text_of(home)) == ["-   champion: null", f"+   champion: {A}"]
    assert not set_champion(home, "equities", A)
    assert set_champion(home, "equities", None)
    assert text_of(home) == before


def test_the_switch_changes_one_line(home: Home) -> None:
    """Turning the switch there and back gives the file of before, byte by byte."""
    before = text_of(home)
    assert set_kill_switch(home, "equities", "on")
    assert changed_lines(before, text_of(home)) == ["-   kill_switch: off", "+   kill_switch: on"]
    assert set_kill_switch(home, "equities", "off")
    assert text_of(home) == before


@pytest.mark.parametrize(
    "before, after",
    [
        ("equities:\n  kill_switch: off  # for now\n", f"equities:\n  champion: {A}\n  kill_switch: off  # for now\n"),
        ("equities:\n  champion:\n", f"equities:\n  champion: {A}\n"),
        ("equities: {champion: x, kill_switch: on} # me\n", f"equities: {{champion: {A}, kill_switch: on}} # me\n"),
        (
            "# us\ntraders:\n  champion: t # T\n",
            f"# us\ntraders:\n  champion: t # T\n\nequities:\n  champion: {A}\n",
        ),
        ("# nothing yet\n", f"# nothing yet\n\nequities:\n  champion: {A}\n"),
        ("equities:\n    champion: 'old' # why\n", f"equities:\n    champion: {A} # why\n"),
    ],
)
def test_other_layouts_keep_their_comments(home: Home, before: str, after: str) -> None:
    """Wherever the value has, or can be given, a place of its own, the rest of the text is left alone."""
    set_champion(written(home, before), "equities", A)
    assert text_of(home) == after


def test_a_layout_without_a_place_is_written_anew(home: Home) -> None:
    """Where nothing can be put in place the values are kept and the comments are not."""
    set_champion(written(home, "equities: {} # mine\n"), "equities", A)
    route = read_router(home).of("equities")
    assert (route.champion, route.kill_switch) == (A, "off")
    assert "#" not in text_of(home)


STEP = st.one_of(
    st.tuples(st.sampled_from(SLEEVES), st.sampled_from([None, A, B, "traders-x-0123"])),
    st.tuples(st.sampled_from(SLEEVES), st.sampled_from([True, False])),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=8))
def test_any_edits_leave_what_they_say(home: Home, steps: list[tuple[str, str | bool | None]]) -> None:
    """After any sequence of edits every sleeve has the value written last, and the comments are all there."""
    written(home, (Path(__file__).resolve().parents[2] / "configs" / "router.yml").read_text(encoding="utf-8"))
    comments = text_of(home).count("#")
    champions: dict[str, str | None] = dict.fromkeys(SLEEVES)
    switches: dict[str, Switch] = dict.fromkeys(SLEEVES, "off")
    for sleeve, value in steps:
        if isinstance(value, bool):
            switches[sleeve] = "on" if value else "off"
            set_kill_switch(home, sleeve, switches[sleeve])
        else:
            champions[sleeve] = value
            set_champion(home, sleeve, value)
    found = read_router(home)
    assert {name: found.of(name).champion for name in SLEEVES} == champions
    assert {name: found.of(name).kill_switch for name in SLEEVES} == switches
    assert text_of(home).count("#") == comments
