"""What is imported is declared, and what is declared has bounds and is pinned."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
MODULE_OF = {"alpaca-py": "alpaca", "dbt-core": "dbt", "dbt-duckdb": "dbt", "pyyaml": "yaml", "xgboost-cpu": "xgboost"}
PI = {"click", "cryptography", "duckdb", "numpy", "onnxruntime", "pydantic", "pyyaml"}


def distribution(requirement: str) -> str:
    return re.split(r"[<>=\[ ;]", requirement, maxsplit=1)[0].lower()


def module(requirement: str) -> str:
    name = distribution(requirement)
    return MODULE_OF.get(name, name.replace("-", "_"))


def pins(file: str) -> dict[str, str]:
    lines = (REPOSITORY / "constraints" / file).read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_the_base_install_is_what_a_scoring_device_needs() -> None:
    """`pip install trademl` brings seven packages and nothing that trains."""
    assert {distribution(line) for line in PROJECT["dependencies"]} == PI


@pytest.mark.parametrize(
    "requirement",
    [*PROJECT["dependencies"], *EXTRAS["train"], *EXTRAS["sources"]],
)
def test_every_run_time_requirement_has_both_bounds(requirement: str) -> None:
    """A dependency states the oldest and the first untested version."""
    assert ">=" in requirement
    assert "<" in requirement


@pytest.mark.parametrize(
    "requirement", [*PROJECT["dependencies"], *EXTRAS["train"], *EXTRAS["sources"], *EXTRAS["dev"]]
)
def test_every_requirement_is_pinned(requirement: str) -> None:
    """constraints/py311.txt pins every declared package."""
    assert distribution(requirement) in pins("py311.txt")


@pytest.mark.parametrize("file", ["py311.txt", "sql.txt"])
def test_pins_are_plain(file: str) -> None:
    """Constraint files are sorted `name==version` lines: no index, no path, no host."""
    names = list(pins(file))
    assert names == sorted(names)
    lines = [line for line in (REPOSITORY / "constraints" / file).read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.+]+", line) for line in lines)


def test_the_sql_linter_agrees_with_the_warehouse() -> None:
    """The linter's environment has the same dbt and duckdb, and a click that its templater can load."""
    ours, linter = pins("py311.txt"), pins("sql.txt")
    for name in ("dbt-core", "dbt-duckdb", "duckdb"):
        assert linter[name] == ours[name]
    assert linter["sqlfluff"] == linter["sqlfluff-templater-dbt"]
    assert tuple(int(part) for part in linter["click"].split(".")[:2]) < (8, 5)


def test_everything_imported_is_declared() -> None:
    """The package imports only the standard library, itself, and what pyproject.toml declares."""
    declared = {module(line) for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines}
    known = {*sys.stdlib_module_names, "trademl", *declared}
    unknown: dict[str, str] = {}
    for path in sorted((REPOSITORY / "trademl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                if name.partition(".")[0] not in known:
                    unknown[name] = str(path.relative_to(REPOSITORY))
    assert unknown == {}


def test_nothing_is_declared_in_vain() -> None:
    """Every package of the base install and of the run-time extras is imported somewhere, but for stated bounds."""
    # cryptography is for signed releases, onnxruntime for scoring; protobuf and dbt-duckdb are bounds for dbt.
    only_bounds = {"protobuf", "cryptography"}
    modules = [path for path in (REPOSITORY / "trademl").rglob("*.py") if path.parts[-2:] != ("cli", "main.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    unused = [
        line
        for line in (*PROJECT["dependencies"], *EXTRAS["train"], *EXTRAS["sources"])
        if not re.search(rf"^\s*(import|from) {module(line)}\b", text, re.MULTILINE)
        and f'"{module(line)}"' not in text
        and distribution(line) not in only_bounds
    ]
    assert unused == []
