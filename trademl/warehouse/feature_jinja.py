"""The project's macros as Python functions, evaluated by plain jinja2 as dbt would, with the place of every definition.

Macros get the few things that those of features may use: ``return``, ``var``, ``exceptions.raise_compiler_error``,
``modules.re``. dbt does not tell the line of a definition; here every call of the constructor is handed its own.
"""

import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from trademl.errors import ConfigError, MissingExtra

CONSTRUCTOR, CHECKED, LAGGED = "feature", "checked_features", "lagged"
"""The macros whose calls are noted; macros/features/feature.sql says what they do."""

FIELDS = ("name", "family", "window", "unit", "lookback", "formula", "sources", "sql")
"""Arguments of the constructor, in order."""

UNPLACED = "macros/features/tables.sql"
_RULES = "/feature.sql"
_AT = "_at"
_PREFIX = "dbt_macro__"
_REMEDY = " Remedy: "
_DEFINES = re.compile(r"\{%-?\s*macro\s+([A-Za-z_]\w*)\s*\(")
Macro = Callable[..., Any]


@dataclass(frozen=True)
class Place:
    """A line of a file of the project; the path is relative to it."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """What is wrong with a definition, where it stands, and what to do."""

    place: Place
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}\n    remedy: {self.remedy}"


class Refused(Exception):
    """``exceptions.raise_compiler_error`` was called."""


class _Return(Exception):
    """How dbt's ``return`` leaves a macro with a value that is no text."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


@dataclass
class Macros:
    """The macros by name, and what was met while they ran.

    Attributes:
        functions: each macro, callable.
        environment: the jinja environment that they run in.
        variables: what ``var`` gives.
        problems: definitions that the constructor, or a lag, refused; evaluation went on.
        columns: what the last call of ``checked_features`` allows expressions to read; None without a call.
        made: every definition with its place; held here, so that each mapping keeps an identity of its own.
    """

    functions: dict[str, Macro] = field(default_factory=dict)
    environment: Any = None
    variables: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    columns: tuple[str, ...] | None = None
    made: list[tuple[Any, Place]] = field(default_factory=list)

    def render(self, text: str, names: Mapping[str, Any]) -> str:
        """Return what a model's text renders to, with further names for what dbt would give it."""
        context = {**self.environment.globals, **self.functions, **names}
        return str(self.environment.from_string(text, globals=context).render())

    def place_of(self, definition: Any) -> Place | None:
        """Return where a definition was made; None for a mapping that the constructor has not seen."""
        return next((place for one, place in self.made if one is definition), None)


def load_macros(project: Path) -> Macros:
    """Return every macro of the dbt project, each able to call the others.

    Raises:
        ConfigError: a file cannot be read, or is no jinja.
        MissingExtra: jinja2 is not installed.
    """
    try:
        variables = project_variables(project)
        environment = _environment(variables)
    except ImportError as error:
        raise MissingExtra("jinja2", "train") from error
    loaded = Macros(environment=environment, variables=variables)
    # Shared by all files and filled before any macro runs: a macro finds those of other files when it is called.
    context = dict(environment.globals)
    for path in sorted((project / "macros").rglob("*.sql")):
        name = path.relative_to(project).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name} is not UTF-8 text: {error}", remedy="save it as UTF-8") from error
        file = _File(environment, context, name, text)
        loaded.functions |= {macro: _callable(file, macro) for macro in _DEFINES.findall(text)}
    for name, wrap in ((CONSTRUCTOR, _constructor), (CHECKED, _checked), (LAGGED, _lagged)):
        if name in loaded.functions:
            loaded.functions[name] = wrap(loaded.functions[name], loaded)
    context.update(loaded.functions)
    return loaded


def project_variables(project: Path) -> dict[str, Any]:
    """Return the ``vars`` of dbt_project.yml.

    Raises:
        ConfigError: it cannot be read.
    """
    path = project / "dbt_project.yml"
    try:
        return dict((yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("vars") or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", remedy="restore dbt_project.yml") from error


def failures() -> tuple[type[BaseException], ...]:
    """Return what a wrong macro may raise when it is called."""
    import jinja2

    return (
        jinja2.TemplateError,
        Refused,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    )


def innermost_place(error: BaseException) -> Place | None:
    """Return the innermost line of a macro file, the constructor's rules left out, that an error came through."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        template = frame.f_globals.get("__jinja_template__")
        if template is not None and not str(template.filename).endswith(_RULES):
            found = Place(str(template.filename), template.get_corresponding_lineno(line))
    return found


def _environment(variables: Mapping[str, Any]) -> Any:
    """Return a jinja environment with what dbt gives a macro while it parses."""
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import SandboxedEnvironment

    class DbtBlocks(Extension):
        """Blocks that only dbt knows: nothing of them is evaluated here."""

        tags = {"materialization", "test", "docs"}  # noqa: RUF012 - jinja's own name, and its type is no ClassVar

        def parse(self, parser: Any) -> Any:
            name = next(parser.stream).value
            while parser.stream.current.type != "block_end":
                next(parser.stream)
            parser.parse_statements((f"name:end{name}",), drop_needle=True)
            return nodes.Output([])

    def var(name: str, default: Any = None) -> Any:
        if name not in variables and default is None:
            raise Refused(f"the variable {name!r} is not in dbt_project.yml")
        return variables.get(name, default)

    def give_back(value: Any = None) -> Any:
        raise _Return(value)

    def refuse(message: Any, *_: Any) -> Any:
        raise Refused(str(message))

    environment = SandboxedEnvironment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols", DbtBlocks])
    environment.globals.update(
        {
            "return": give_back,
            "var": var,
            "exceptions": {"raise_compiler_error": refuse, "warn": lambda *_: ""},
            "modules": {"re": re},
            "execute": False,
        }
    )
    return environment


class _File:
    """A file of macros, compiled when the first of them is called: most have nothing to do with features."""

    def __init__(self, environment: Any, context: dict[str, Any], name: str, text: str) -> None:
        self.environment, self.context, self.name, self.text = environment, context, name, text

    @cached_property
    def macros(self) -> dict[str, Any]:
        """The macros by name.

        Raises:
            ConfigError: the file is no jinja.
        """
        import jinja2

        try:
            tree = self.environment.parse(self.text, self.name, self.name)
            _prepare(self.environment, tree, self.name)
            code = self.environment.compile(tree, self.name, self.name)
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(
                f"{self.name}:{error.lineno}: {error.message}", remedy="mend the line named here"
            ) from error
        template = jinja2.Template.from_code(self.environment, code, self.context)
        found = vars(template.make_module(self.context, shared=True))
        return {name.removeprefix(_PREFIX): one for name, one in found.items() if name.startswith(_PREFIX)}


def _prepare(environment: Any, tree: Any, file: str) -> None:
    """Rename macros, so that those of one file find each other as others do, and hand noted calls their own place."""
    from jinja2 import nodes

    for macro in tree.find_all(nodes.Macro):
        macro.name = f"{_PREFIX}{macro.name}"
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in (CONSTRUCTOR, CHECKED, LAGGED):
            keyword = nodes.Keyword(_AT, nodes.Const((file, call.lineno)))
            call.kwargs.append(keyword.set_lineno(call.lineno).set_environment(environment))


def _callable(file: _File, name: str) -> Macro:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return file.macros[name](*args, **kwargs)
        except _Return as given:
            return given.value

    return call


def _constructor(rules: Macro, loaded: Macros) -> Macro:
    """Wrap ``feature``: note where it is called, and go on after a refusal with what it was given."""

    def feature(*args: Any, **kwargs: Any) -> Any:
        place = _at(kwargs)
        given = {**dict(zip(FIELDS, args, strict=False)), **kwargs}
        place = _in_family(str(given.get("family")), place)
        try:
            made = rules(**given)
        except Refused as error:
            problems = [_problem(place, str(error)), *_causes(rules, given, place, str(error))]
            loaded.problems += [replace(one, text=one.text + _callers(place)) for one in problems]
            made = {"quantum": None, **dict.fromkeys(FIELDS, ""), "window": 1, "lookback": 0, **given}
        except TypeError as error:
            told = str(error).replace(f"macro '{_PREFIX}{CONSTRUCTOR}'", "the constructor")
            loaded.problems.append(Problem(place, f"feature {given.get('name')}: {told}", "give the fields it takes"))
            made = {"quantum": None, **dict.fromkeys(FIELDS, ""), "window": 1, "lookback": 0, **given}
        loaded.made.append((made, place))
        return made

    return feature


def _callers(place: Place) -> str:
    """Return the lines of macros/features/ through which a definition was asked for, as an addition to its fault."""
    found: list[str] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        template = frame.f_globals.get("__jinja_template__")
        if template is not None and not str(template.filename).endswith((_RULES, Path(UNPLACED).name)):
            line = Place(str(template.filename), template.get_corresponding_lineno(frame.f_lineno))
            if line.file != place.file and str(line) not in found:
                found.append(str(line))
        frame = frame.f_back
    return f" (asked for at {', '.join(found)})" if found else ""


def _in_family(family: str, place: Place) -> Place:
    """Return the line of the family's own file that led to ``place``, where another file's macro stands between."""
    frame = sys._getframe(2) if Path(place.file).stem != family else None
    while frame is not None:
        template = frame.f_globals.get("__jinja_template__")
        if template is not None and Path(str(template.filename)).stem == family:
            return Place(str(template.filename), template.get_corresponding_lineno(frame.f_lineno))
        frame = frame.f_back
    return place


def _causes(rules: Macro, given: Mapping[str, Any], place: Place, first: str) -> list[Problem]:
    """Return what else is wrong where a name is: a negative window makes a wrong name, and is the cause."""
    if ": the name is" not in first:
        return []
    try:
        rules(**{**given, "name": "x"})
    except Refused as error:
        return [_problem(place, str(error).replace(": feature x: ", f": feature {given.get('name')}: "))]
    return []


def _checked(_: Macro, loaded: Macros) -> Macro:
    """Wrap ``checked_features``: what it allows is noted; trademl.warehouse.feature_check judges, with places."""

    def checked(features: Sequence[Any], columns: Sequence[str], **__: Any) -> Any:
        loaded.columns = tuple(map(str, columns))
        return features

    return checked


def _lagged(rules: Macro, loaded: Macros) -> Macro:
    def lagged(column: Any, k: Any, **kwargs: Any) -> Any:
        place = _at(kwargs)
        try:
            return rules(column, k)
        except Refused as error:
            loaded.problems.append(_problem(place, str(error)))
            return column

    return lagged


def _at(kwargs: dict[str, Any]) -> Place:
    return Place(*kwargs.pop(_AT, (UNPLACED, 1)))


def _problem(place: Place, message: str) -> Problem:
    """Return a refusal of the macros as a problem; their own `<file>: ` is dropped, as the place is known better."""
    text, _, remedy = " ".join(message.split()).partition(_REMEDY)
    return Problem(place, re.sub(r"^macros/features/[^:]*: ", "", text), remedy or "correct the definition")
