"""The project's macros without dbt: rendered in milliseconds, with dbt's `return`, `do`, `var` and compiler errors."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"


class MacroError(Exception):
    """What dbt shows as a compilation error: a macro refused its arguments."""


class _Returned(Exception):
    """Carries the value of `return(value)` out of a macro, as dbt's own exception does."""

    def __init__(self, value: object) -> None:
        self.value = value


class Macros:
    """Every macro of a dbt project, callable by name from Python and from a template.

    Args:
        project: Folder of the dbt project.
        variables: What `var(name)` gives; other names are an error.
        overrides: Functions or values that take the place of macros and of dbt's own names (`ref`, `execute`, ...).

    >>> Macros().render("{{ cs_quantised('x', '1e-12') }}")
    'cast(round(x / 1e-12) as bigint)'
    """

    def __init__(
        self,
        project: Path = PROJECT,
        variables: Mapping[str, object] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> None:
        settings = dict(variables or {})

        def var(name: str, default: object = None) -> object:
            if name not in settings and default is None:
                raise MacroError(f"var({name!r}) is not among the variables of this test: {sorted(settings)}")
            return settings.get(name, default)

        self._names: dict[str, Any] = {
            **_environment().globals,
            "return": _give_back,
            "var": var,
            "exceptions": SimpleNamespace(raise_compiler_error=_refuse),
            "modules": SimpleNamespace(re=re),
        }
        for name, code in _compiled(project):
            self._names[name] = self._macro(name, code)
        self._names.update(overrides or {})

    def _macro(self, name: str, code: Any) -> Callable[..., Any]:
        """Return a function that calls the macro, and gives what it returned or else its text."""
        module: list[Any] = []

        def call(*arguments: object, **keywords: object) -> Any:
            # The names that a macro sees are complete only when all macros are loaded.
            if not module:
                template = jinja2.Template.from_code(_environment(), code, dict(self._names))
                module.append(template.module)
            try:
                return getattr(module[0], f"macro__{name}")(*arguments, **keywords)
            except _Returned as returned:
                return returned.value

        return call

    def render(self, template: str, **context: object) -> str:
        """Return the text of ``template``, which may call every macro, with ``context`` as further names."""
        return _environment().from_string(template, globals=dict(self._names)).render(**context)

    def call(self, name: str, *arguments: object, **keywords: object) -> Any:
        """Return what macro ``name`` returns: a value where it says `return(...)`, its text otherwise."""
        return self._names[name](*arguments, **keywords)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(undefined=jinja2.StrictUndefined, extensions=["jinja2.ext.do"])


@cache
def _compiled(project: Path) -> tuple[tuple[str, Any], ...]:
    """Return name and code of every macro of the project, each compiled by itself.

    A macro gets another name inside its own code, as in dbt: so that a call of a macro of the same file goes through
    the function that catches `return`.
    """
    environment = _environment()
    found: list[tuple[str, Any]] = []
    for path in sorted((project / "macros").rglob("*.sql")):
        # A materialization is a block of dbt's own, which Jinja cannot parse.
        text = re.sub(
            r"{%-?\s*materialization.*?endmaterialization\s*-?%}", "", path.read_text("utf-8"), flags=re.DOTALL
        )
        for macro in environment.parse(text).find_all(nodes.Macro):
            name, macro.name = macro.name, f"macro__{macro.name}"
            found.append((name, environment.compile(nodes.Template([macro], lineno=1), name, str(path))))
    return tuple(found)


def _give_back(value: object) -> NoReturn:
    raise _Returned(value)


def _refuse(message: str) -> NoReturn:
    raise MacroError(message)
