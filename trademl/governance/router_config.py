"""configs/router.yml: which model answers for a sleeve, read as a closed section and edited one value at a time.

``champion`` follows ``ops.promotions`` and is written by promotion alone; ``fallback`` and ``kill_switch`` belong to
the people who run the sleeve. An edit replaces one value in the text, so comments and layout stay as they are.
"""

import math
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator

from trademl.artifacts.files import write_atomic
from trademl.config.home import Home
from trademl.config.reading import Section, load_section
from trademl.errors import ConfigError

ROUTER_FILE = "router.yml"
SUM_TOLERANCE = 1e-9

_WRITABLE = 0o644

Switch = Literal["off", "on"]


class SleeveRoute(Section):
    """Who answers for one sleeve.

    Attributes:
        champion: the run that was promoted, None when none was.
        fallback: run -> weight of the average that answers when the champion cannot score; weights sum to 1.
        kill_switch: on: the frozen scorer in legacy/ answers, whoever is champion.
        shadow: challengers that score each day beside the champion, into ``preds.shadow`` only.
    """

    champion: str | None = None
    fallback: dict[str, float] = Field(default_factory=dict)
    kill_switch: Switch = "off"
    shadow: tuple[str, ...] = ()

    @field_validator("kill_switch", mode="before")
    @classmethod
    def _yaml_words(cls, value: Any) -> Any:
        # YAML 1.1 reads the plain words on and off as true and false.
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @field_validator("fallback", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("fallback")
    @classmethod
    def _average(cls, value: dict[str, float]) -> dict[str, float]:
        wrong = {run: weight for run, weight in value.items() if not (math.isfinite(weight) and weight > 0.0)}
        if wrong:
            raise ValueError(f"weights must be above 0: {wrong}")
        if value and abs(math.fsum(value.values()) - 1.0) > SUM_TOLERANCE:
            raise ValueError(f"the weights sum to {math.fsum(value.values()):.12g}, must be 1")
        return value


class RouterConfig(Section):
    """configs/router.yml: one section per sleeve that writes predictions."""

    equities: SleeveRoute = SleeveRoute()
    events: SleeveRoute = SleeveRoute()
    options: SleeveRoute = SleeveRoute()
    traders: SleeveRoute = SleeveRoute()

    def of(self, sleeve: str) -> SleeveRoute:
        """Return the section of ``sleeve``.

        Raises:
            ConfigError: there is no such sleeve.
        """
        check_sleeve(sleeve)
        found: SleeveRoute = getattr(self, sleeve)
        return found


SLEEVES = tuple(RouterConfig.model_fields)


def check_sleeve(sleeve: str) -> None:
    """Refuse a name that is no sleeve.

    Raises:
        ConfigError: it is not.
    """
    if sleeve not in SLEEVES:
        raise ConfigError(f"no sleeve {sleeve!r}", remedy=f"sleeves are {', '.join(SLEEVES)}")


def read_router(home: Home) -> RouterConfig:
    """Return the home's router; without the file no sleeve has a champion, a fallback or its kill switch on.

    Raises:
        ConfigError: the file is not YAML, or has an unknown key or a wrong value.
    """
    path = home.configs / ROUTER_FILE
    return load_section(path, RouterConfig) if path.is_file() else RouterConfig()


def set_champion(home: Home, sleeve: str, run_id: str | None) -> bool:
    """Write the champion of ``sleeve``; return whether the file changed. Call it with the promotion lock held.

    Raises:
        ConfigError: the file cannot be read as a router, or there is no such sleeve.
    """
    return _write(home, sleeve, "champion", run_id)


def set_kill_switch(home: Home, sleeve: str, switch: Switch) -> bool:
    """Turn the kill switch of ``sleeve``; return whether the file changed. Call it with the promotion lock held.

    Raises:
        ConfigError: the file cannot be read as a router, or there is no such sleeve.
    """
    return _write(home, sleeve, "kill_switch", switch)


def _write(home: Home, sleeve: str, key: str, value: str | None) -> bool:
    before = read_router(home)
    after = before.model_copy(update={sleeve: before.of(sleeve).model_copy(update={key: value})})
    if after == before:
        return False
    path = home.configs / ROUTER_FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    edited = _edited(text, sleeve, key, "null" if value is None else value)
    if edited is None or _parsed(edited) != after:
        # A layout that cannot be edited in place: the values matter more than the comments.
        edited = yaml.safe_dump(after.model_dump(mode="json"), sort_keys=False)
    write_atomic(path, edited.encode(), _WRITABLE)
    return True


def _parsed(text: str) -> RouterConfig | None:
    try:
        return RouterConfig.model_validate(yaml.safe_load(text) or {})
    except (yaml.YAMLError, ValueError):
        return None


def _edited(text: str, sleeve: str, key: str, value: str) -> str | None:
    """Return ``text`` with ``sleeve: {key: value}`` put into it; None where its layout gives no place for it."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None or (isinstance(root, yaml.MappingNode) and _child(root, sleeve) is None and not root.flow_style):
        return f"{text.rstrip()}\n\n{sleeve}:\n  {key}: {value}\n".lstrip("\n")
    section = _child(root, sleeve)
    if not isinstance(section, yaml.MappingNode):
        return None
    node = _child(section, key)
    if node is not None:
        start, end = node.start_mark.index, node.end_mark.index
        # An empty value has no text of its own: it lies right behind the colon.
        return f"{text[:start]}{' ' if text[start - 1] == ':' else ''}{value}{text[end:]}"
    if section.flow_style or not section.value:
        return None
    first = section.value[0][0].start_mark
    return f"{text[: first.index]}{key}: {value}\n{' ' * first.column}{text[first.index :]}"


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)
