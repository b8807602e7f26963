"""Read one YAML file into one frozen pydantic section; unknown keys are refused with the nearest name."""

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

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
        text = path.read_text(encoding="utf-8")
        repeated = list(_repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader)))
        raw = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}", remedy="save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}", remedy="mend the line named above") from error
    if repeated:
        raise ConfigError(f"{path}: {'; '.join(repeated)}", remedy="keep one of the two lines")
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
    except ConfigError as error:
        # A field that reads itself, such as `model`, does not know which file it stands in.
        raise ConfigError(f"{origin}: {error.message}", remedy=error.remedy) from error


def _repeated_keys(node: yaml.Node | None) -> Iterator[str]:
    """Yield the keys that a mapping has twice: YAML would silently keep the last."""
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in lines:
                    yield f"the key {key.value!r} stands in line {lines[key.value]} and again in line {line}"
                lines[key.value] = line
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated_keys(value)


def _explain(item: Any, section: type[BaseModel]) -> str:
    location, kind, value = ".".join(str(part) for part in item["loc"]), item["type"], item.get("input")
    if kind == "extra_forbidden":
        owner = _owner(section, item["loc"][:-1])
        near = difflib.get_close_matches(str(item["loc"][-1]), _fields(owner), n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; fields are {', '.join(sorted(_fields(owner)))}"
        return f"{location} is not a field{hint}"
    if kind == "missing":
        return f"{location} is missing, and has no default"
    said = item["msg"].removeprefix("Value error, ")
    if kind == "value_error" and isinstance(value, dict):
        # Of the section as a whole: its message names the fields, and all of them would be a long value.
        return f"{location}: {said}" if location else said
    if kind == "model_type":
        said = f"is a section; write its fields below it: {', '.join(_fields(_owner(section, item['loc'])))}"
    if kind in ("tuple_type", "list_type"):
        said = f"Input should be a list, such as {[value]!r}"
    if kind == "literal_error":
        allowed = re.findall("'([^']*)'", item["ctx"]["expected"])
        near = difflib.get_close_matches(str(value), allowed, n=1)
        said += f"; did you mean {near[0]}?" if near else ""
    return f"{location}={value!r}: {said}"


def _owner(section: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel]:
    """Return the section that ``location`` leads to, also through optional fields, lists and mappings of sections."""
    owner = section
    for part in location:
        field = _fields(owner).get(str(part))
        inner = next(_sections_in(field.annotation), None) if field else None
        owner = inner or owner
    return owner


def _fields(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields by the names that they have in a file."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections_in(argument)
