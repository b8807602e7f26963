"""Rules of the source that no general linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "trademl"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_bundled" not in path.parts)
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))

LINES_AT_MOST = 650
MEDIAN_BELOW = 250
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
OBJECT_FILES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
THE_RUNNER = PACKAGE / "training" / "cross_validate.py"
THE_ERROR_TRANSLATOR = PACKAGE / "cli" / "main.py"


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_longer_than_650_lines() -> None:
    """A file that does not fit in one sitting is split."""
    assert {name_of(path): lines_of(path) for path in MODULES + TESTS if lines_of(path) > LINES_AT_MOST} == {}


def test_the_median_module_is_short() -> None:
    """Half of the modules have fewer than 250 lines."""
    assert median(lines_of(path) for path in MODULES) < MEDIAN_BELOW


def test_no_module_has_a_vague_name() -> None:
    """A module is named after what it does: there is no utils, helpers or common, as file or folder."""
    parts = {
        path: {part.removesuffix(".py") for part in path.relative_to(REPOSITORY).parts} for path in MODULES + TESTS
    }
    assert [name_of(path) for path, names in parts.items() if names & VAGUE_NAMES] == []


def test_library_code_does_not_print() -> None:
    """Only the command line writes to standard output, and it does so through click."""
    calls = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "pprint"}
    ]
    assert calls == []


def test_no_error_is_swallowed() -> None:
    """A bare or broad `except` is allowed only where it cleans up and raises again, and in the error translator."""
    offending = [
        f"{name_of(path)}:{handler.lineno}"
        for path in MODULES
        if path != THE_ERROR_TRANSLATOR
        for handler in ast.walk(parsed(path))
        if isinstance(handler, ast.ExceptHandler) and _is_broad(handler.type) and not _raises_again(handler)
    ]
    assert offending == []


def _is_broad(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(isinstance(item, ast.Name) and item.id in {"Exception", "BaseException"} for item in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise)


def test_nothing_reads_or_writes_object_files() -> None:
    """No module imports pickle or its relatives: models and calibrators are native files, ONNX and JSON."""
    users = {name_of(path): set(_roots(parsed(path))) & OBJECT_FILES for path in MODULES}
    assert {path: names for path, names in users.items() if names} == {name_of(THE_RUNNER): {"joblib"}}


def test_joblib_runs_and_keeps_nothing() -> None:
    """The module that spreads fits over cores uses joblib's runner alone, never its files."""
    used = {
        node.attr
        for node in ast.walk(parsed(THE_RUNNER))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "joblib"
    }
    assert used == {"Parallel", "delayed"}


def _roots(tree: ast.AST) -> Iterator[str]:
    return (name.partition(".")[0] for name in imported(tree))


def test_everything_public_says_what_it_is() -> None:
    """Every module, public class, function and method has a docstring; properties and overrides may be silent."""
    silent = {name_of(path): _silent_objects(parsed(path)) for path in MODULES}
    assert {path: names for path, names in silent.items() if names} == {}


def _silent_objects(tree: ast.Module) -> list[str]:
    silent = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                silent.append(node.name)
            if isinstance(node, ast.ClassDef) and not _is_protocol(node):
                silent += [f"{node.name}.{method}" for method in _silent_methods(node)]
    return silent


def _silent_methods(node: ast.ClassDef) -> Iterator[str]:
    # A class with bases of ours may override a method that its base documents.
    bases = {ast.unparse(base).partition("[")[0] for base in node.bases} - {"object", "NamedTuple", "Generic"}
    for item in node.body:
        if not isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) or item.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator).partition("(")[0].rpartition(".")[2] for decorator in item.decorator_list}
        quiet = decorators & {"property", "cached_property", "setter", "override", "overload"}
        if not quiet and not bases and not ast.get_docstring(item):
            yield item.name


def _is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).startswith("Protocol") for base in node.bases)


def test_no_work_is_left_as_a_note() -> None:
    """There is no to-do note in the source: what is missing is an issue."""
    notes = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
    assert [name_of(path) for path in MODULES + TESTS if notes.search(path.read_text(encoding="utf-8"))] == []


def test_every_test_is_a_sentence() -> None:
    """Every test function has a docstring that says, in a sentence, what is specified."""
    silent = [
        f"{name_of(path)}:{node.name}"
        for path in TESTS
        if path.name.startswith("test_")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []
