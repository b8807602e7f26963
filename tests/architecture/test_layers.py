"""The layers, and that their guard works."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LAYERS = [
    "cli",
    "reports",
    "sleeves",
    "training",
    "backtest",
    "execution",
    "governance",
    "warehouse",
    "edge",
    "lake",
    "models",
    "portfolio",
    "validation | costs | (vol)",
    "artifacts",
    "config",
    "schema | clock | rng | log",
    "errors",
]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [str(command), "--no-cache", "--no-logo"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(repository / "trademl", tmp_path / "trademl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_layers_are_those_of_the_design(repository: Path) -> None:
    """import-linter enforces the list of layers as designed, top to bottom; names in brackets may not exist yet."""
    contracts = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")
    assert layers["layers"] == LAYERS
    assert layers["exhaustive"] is True


def test_imports_point_downwards(copy: Path) -> None:
    """No module imports from a layer above its own, and every other import contract holds."""
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    "module, line, contract",
    [
        ("lake/layout.py", "import pandas", "base install"),
        ("edge/__init__.py", "from trademl.warehouse import read", "downwards"),
        ("schema/__init__.py", "from trademl import clock", "downwards"),
        ("training/__init__.py", "import mlflow", "mlflow"),
        ("validation/__init__.py", "import pathlib", "pure mathematics"),
        ("governance/router.py", "import legacy.score", "legacy"),
    ],
)
def test_a_forbidden_import_is_found(copy: Path, module: str, line: str, contract: str) -> None:
    """Each contract breaks when one import of the forbidden kind is added."""
    path = copy / "trademl" / module
    path.write_text(path.read_text() + f"\n\n{line}\n")
    result = lint_imports(copy)
    assert result.returncode == 1
    broken = [text for text in " ".join(result.stdout.split()).split(" KEPT") if contract in text]
    assert any("BROKEN" in text for text in broken), result.stdout


def test_a_new_package_must_be_given_a_layer(copy: Path) -> None:
    """A package that no layer names is refused."""
    (copy / "trademl" / "novelty").mkdir()
    (copy / "trademl" / "novelty" / "__init__.py").write_text('"""New."""\n')
    result = lint_imports(copy)
    assert result.returncode == 1
    assert "novelty" in result.stdout
