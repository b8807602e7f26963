"""Definitions of features, judged before anything is built: each fault with its file, its line and its remedy.

The constructor's own rules (macros/features/feature.sql) refuse a definition that is wrong by itself. Added here: what
an expression reads, must exist; it may not look ahead, read another table or depend on the moment; names are distinct,
twins included; and what a feature set pins, has not changed.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from trademl import __version__
from trademl.config.feature_sets import FOLDER as SETS
from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.lake.files import write_atomic
from trademl.warehouse.feature_binding import binding_problems, line_of, without_comments
from trademl.warehouse.feature_jinja import project_variables
from trademl.warehouse.feature_macros import Definition, Evaluation, FeatureTable, Place, Problem, evaluate
from trademl.warehouse.feature_sets import set_problems

RESERVED = ("symbol", "sector", "in_universe", "date", "known_at")
"""Columns of every feature table that hold no feature."""

STAMP = ".features-checked"
"""In the lake: the digest of the files that last passed."""

_PROJECT = "dbt_project.yml"
_SHOWN = 12


class _Sql:
    """DuckDB's own parser, and how steady each of its functions is: one with several kinds counts as the steadiest."""

    def __init__(self) -> None:
        self.con = duckdb.connect(":memory:")
        self.con.execute("set enable_progress_bar = false")
        rows = self.con.execute(
            "select lower(function_name), list(distinct coalesce(stability, 'CONSISTENT')) from duckdb_functions() "
            "group by 1"
        ).fetchall()
        self.functions = {name: "CONSISTENT" if "CONSISTENT" in kinds else str(kinds[0]) for name, kinds in rows}

    def parsed(self, expression: str) -> dict[str, Any]:
        """Return the statement `select <expression>` as a tree; its `error` says whether it is none."""
        text = self.con.execute("select json_serialize_sql(?)", [f"select {expression}"]).fetchall()[0][0]
        found: dict[str, Any] = json.loads(text)
        return found

    def constant(self, statement: Mapping[str, Any], node: Mapping[str, Any]) -> Any:
        """Return the value of a part of a parsed statement; None for one that is no constant."""
        alone = {**statement["node"], "select_list": [node]}
        document = json.dumps({"error": False, "statements": [{**statement, "node": alone}]})
        try:
            text = self.con.execute("select json_deserialize_sql(?)", [document]).fetchall()[0][0]
            return self.con.execute(text).fetchall()[0][0]
        except duckdb.Error:
            return None


def check_features(home: Home) -> Evaluation:
    """Evaluate the feature macros of the home and judge every definition and every feature set.

    Raises:
        ConfigError: naming each fault with file and line.
        MissingExtra: jinja2 is not installed.
    """
    evaluation = evaluate(home.dbt_project)
    # A set that lists a wrong definition would only repeat it.
    problems = definition_problems(home.dbt_project, evaluation) or set_problems(home, evaluation)
    if problems:
        listed = "\n  ".join(map(str, problems[:_SHOWN]))
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ConfigError(
            f"{len(problems)} fault{'s' if len(problems) > 1 else ''} in features or their sets:\n  {listed}{more}",
            remedy="mend the lines named above; `trademl features check` looks again",
        )
    return evaluation


def check_unless_unchanged(home: Home) -> bool:
    """Judge as :func:`check_features` does, unless nothing has changed since that last passed; return whether it did.

    Raises:
        ConfigError: naming each fault with file and line.
        MissingExtra: jinja2 is not installed.
    """
    stamp, digest = home.lake / STAMP, _digest(home)
    try:
        if stamp.read_text(encoding="ascii").strip() == digest:
            return False
    except (OSError, UnicodeDecodeError):
        # There is none yet, or something else lies there: judge.
        pass
    check_features(home)
    home.lake.mkdir(parents=True, exist_ok=True)
    write_atomic(stamp, f"{digest}\n".encode())
    return True


def _digest(home: Home) -> str:
    """Return the sha256 of everything that the judgement depends on."""
    found = hashlib.sha256(f"{__version__} {duckdb.__version__}".encode())
    project = home.dbt_project
    folders = [(project / "macros", "*.sql"), (project / "models", "*.sql"), (home.configs / SETS, "*.yml")]
    for path in [project / _PROJECT, *(one for folder, kind in folders for one in sorted(folder.rglob(kind)))]:
        found.update(f"\n{path.relative_to(home.root).as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()


def definition_problems(project: Path, evaluation: Evaluation) -> list[Problem]:
    """Return what is wrong with the definitions of a project, in order of file and line."""
    problems = [*evaluation.problems, *_switches(project, evaluation)]
    longest, parser = int(project_variables(project).get("longest_lookback", 130)), _Sql()
    for table in evaluation.tables:
        problems += _names(table)
        for one in table.features:
            problems += _expression(project, parser, table, one)
            if one.lookback > longest:
                problems.append(
                    _fault(
                        one,
                        f"lookback is {one.lookback}; the builds read at most {longest} sessions before a row "
                        "(longest_lookback)",
                        f"look back on {longest} sessions or fewer, or raise longest_lookback in {_PROJECT}",
                    )
                )
    problems += _lookahead(project, evaluation)
    if not problems:
        # What is wrong already would only show again, and in more obscure words.
        problems += binding_problems(project, evaluation)
    return _told_once(sorted(dict.fromkeys(problems), key=lambda one: (one.place.file, one.place.line)))


def _told_once(problems: Sequence[Problem]) -> list[Problem]:
    """Return problems without those that repeat one of the same line: a loop makes a fault for every window."""
    found: dict[tuple[Place, str], list[Problem]] = {}
    for one in problems:
        # Where a remedy shows the expression, it is another for every window.
        found.setdefault((one.place, one.remedy.partition(":")[0]), []).append(one)
    return [
        replace(group[0], text=group[0].text + (f" (and {len(group) - 1} more of this line)" if group[1:] else ""))
        for group in found.values()
    ]


def _names(table: FeatureTable) -> Iterator[Problem]:
    taken: dict[str, str] = dict.fromkeys(RESERVED, "a column that every feature table has")
    for one in table.features:
        # Of a name that is taken, the twins are too.
        for name in one.column_names[:1] if one.name in taken else one.column_names:
            if name in taken:
                own = "" if name == one.name else f" (its twin {name})"
                yield _fault(
                    one,
                    f"the name{own} is taken in {table.name}: it is {taken[name]}; names are unique in a table",
                    "name it otherwise, or delete one of the two",
                )
            else:
                taken[name] = f"defined at {one.place}" if name == one.name else f"a twin of {one.name}, {one.place}"


def _expression(project: Path, parser: _Sql, table: FeatureTable, one: Definition) -> Iterator[Problem]:
    """Yield the faults of a feature's SQL expression."""
    if not one.sql.strip():
        # The constructor has refused it.
        return
    parsed = parser.parsed(one.sql)
    if parsed.get("error") or len(parsed.get("statements", ())) != 1:
        said = parsed.get("error_message", "it is several statements")
        yield _fault(one, f"its expression is no SQL: {said}", f"correct it: {_short(one.sql)}")
        return
    for node in _nodes(parsed["statements"]):
        kind, name = str(node.get("type", "")), str(node.get("function_name", "")).lower()
        if kind == "SUBQUERY" or node.get("class") == "SUBQUERY":
            yield _fault(
                one,
                "its expression reads a table of its own; it must be a value of the row's columns",
                "compute what it reads in the model, as a column",
            )
        elif kind == "COLUMN_REF":
            yield from _column(project, table, one, str(node["column_names"][-1]))
        elif name:
            yield from _function(parser, parsed["statements"][0], one, name, node)


def _column(project: Path, table: FeatureTable, one: Definition, name: str) -> Iterator[Problem]:
    if table.columns is None or _allowed(name, table.columns):
        return
    known = [column for column in table.columns if not column.endswith("*")]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    yield replace(
        _fault(
            one,
            f"its expression reads the column {name}, which the model {table.model} does not compute{hint}",
            "correct the name, or compute the column in the model and add it to the list of checked_features",
        ),
        place=line_of(project, one.place, name),
    )


def _function(
    parser: _Sql, statement: Mapping[str, Any], one: Definition, name: str, node: Mapping[str, Any]
) -> Iterator[Problem]:
    window = node.get("class") == "WINDOW"
    arguments = [part.get("expression", part) for part in node.get("arguments") or node.get("children") or ()]
    offset = node.get("offset_expr") or (arguments[1] if window and len(arguments) > 1 else None)
    # Without one it is a session; what is no constant may be anything.
    steps = 1 if offset is None else parser.constant(statement, offset)
    ahead = (
        (name == "lead" and (steps is None or steps > 0))
        or (name == "lag" and (steps is None or steps < 0))
        or "FOLLOWING" in f"{node.get('start')} {node.get('end')}"
    )
    if window and ahead:
        yield _fault(
            one,
            f"its expression looks ahead: {name}() may read a later session; a row reads sessions up to its own",
            "take a lag of 0 sessions or more, and a frame that ends with the current row",
        )
    stability = parser.functions.get(name)
    if stability is None and re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        near = difflib.get_close_matches(name, parser.functions, n=1)
        hint = f"; did you mean {near[0]}()?" if near else ""
        yield _fault(one, f"its expression calls {name}(), which DuckDB does not know{hint}", "correct the name")
    elif stability in ("VOLATILE", "CONSISTENT_WITHIN_QUERY"):
        yield _fault(
            one,
            f"its expression calls {name}(), which gives another value every time; a feature is a function of its row",
            "read the row's own date, or leave the call out",
        )


def _lookahead(project: Path, evaluation: Evaluation) -> Iterator[Problem]:
    """Yield windows that reach into the future, in the macros of features and in the models of feature tables."""
    models = {f"{table.model}.sql" for table in evaluation.tables}
    files = [*(project / "macros" / "features").glob("*.sql"), *(project / "models" / "gold").rglob("*.sql")]
    for path in files:
        if path.parent.name != "features" and path.name not in models:
            continue
        text = without_comments(path.read_text(encoding="utf-8"))
        for number, line in enumerate(text.splitlines(), start=1):
            found = re.search(r"\blead\s*\(|\blag\s*\([^(){}]*,\s*-|\bfollowing\b", line, re.IGNORECASE)
            if found:
                yield Problem(
                    Place(path.relative_to(project).as_posix(), number),
                    f"`{line.strip()[:80]}` looks ahead ({found.group().strip()}); a row reads sessions up to its own",
                    "take a lag of 0 sessions or more, and a frame that ends with the current row",
                )


def _switches(project: Path, evaluation: Evaluation) -> Iterator[Problem]:
    """Yield the names in the variable `feature_tables` that are no feature tables."""
    text = (project / _PROJECT).read_text(encoding="utf-8")
    known = [table.name for table in evaluation.tables]
    asked = project_variables(project).get("feature_tables") or []
    for name in asked if isinstance(asked, list) else [asked]:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            line = next((at for at, one in enumerate(text.splitlines(), 1) if re.search(rf"\b{name}\b", one)), 1)
            yield Problem(
                Place(_PROJECT, line),
                f"feature_tables has {name!r}, which is no feature table{hint}",
                f"feature tables are {', '.join(known)}",
            )


def _fault(one: Definition, text: str, remedy: str) -> Problem:
    return Problem(one.place, f"feature {one.name}: {text}", remedy)


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping inside a parsed statement."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner)


def _allowed(name: str, columns: Sequence[str]) -> bool:
    return any(name == column or (column.endswith("*") and name.startswith(column[:-1])) for column in columns)


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 120 else f"{words[:117]}..."
