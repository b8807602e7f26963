"""Read one YAML file into one frozen pydantic section; unknown keys are refused with the nearest name."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from trademl.errors import ConfigError


class Section(BaseModel):
    """Base of every configuration section: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


SectionT = TypeVar("SectionT", bound=Section)


def load_section(path: Path, section: type[SectionT], overrides: dict[str, Any] | None = None) -> SectionT:
    """Read ``path`` as a ``section``; ``overrides`` (None values ignored) win over the file.

    Raises:
        ConfigError: the file is missing or not YAML, or a field is unknown or has a wrong value. All wrong fields are
            listed at once.
    """
    if not path.is_file():
        raise ConfigError(f"no configuration file {path}", remedy="give an existing file with --config")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}", remedy="mend the line named above") from error
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} holds a {type(raw).__name__}, not a mapping", remedy="write `key: value` lines")
    merged = {**raw, **{key: value for key, value in (overrides or {}).items() if value is not None}}
    return validate_section(merged, section, origin=str(path))


def validate_section(raw: dict[str, Any], section: type[SectionT], *, origin: str) -> SectionT:
    """Build a ``section`` from a plain mapping, turning pydantic's errors into one :class:`ConfigError`."""
    try:
        return section.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(item, section) for item in error.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(lines), remedy="correct the fields named above") from error


def _explain(item: Any, section: type[BaseModel]) -> str:
    location = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        owner = _owner(section, item["loc"][:-1])
        near = difflib.get_close_matches(str(item["loc"][-1]), owner.model_fields, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; fields are {', '.join(sorted(owner.model_fields))}"
        return f"{location} is not a field{hint}"
    return f"{location}={item.get('input')!r}: {item['msg']}"


def _owner(section: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel]:
    owner = section
    for part in location:
        field = owner.model_fields.get(str(part))
        candidate = field.annotation if field else None
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            owner = candidate
    return owner
