"""What every test shares: a clean environment, a home to work in, and the real market data where it is there."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from trademl.cli.init import bundle, make_home
from trademl.config import Home

# Parallel test processes share the cores; OpenMP threads that spin while they wait would starve each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_DATA_VARIABLE = "TRADEML_REAL_DATA"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of real data, with the reason, where there is none."""
    folder = real_data_folder()
    if folder is not None:
        return
    wanted = os.environ.get(REAL_DATA_VARIABLE, "../shared/data")
    skip = pytest.mark.skip(reason=f"no market data: {REAL_DATA_VARIABLE} names no folder, and there is no {wanted}")
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(skip)


def real_data_folder() -> Path | None:
    """Return the folder of real market data, from ``TRADEML_REAL_DATA`` (relative to the repository), or None."""
    folder = REPOSITORY / os.environ.get(REAL_DATA_VARIABLE, "../shared/data")
    return folder.resolve() if folder.is_dir() else None


@pytest.fixture
def real_data() -> Path:
    """The folder of real market data; use it with the marker ``real_data``."""
    folder = real_data_folder()
    if folder is None:
        pytest.skip(f"{REAL_DATA_VARIABLE} names no folder of market data")
    return folder


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's own home, clock or debugging switches, and none sends telemetry."""
    for variable in [name for name in os.environ if name.startswith("TRADEML_") and name != REAL_DATA_VARIABLE]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home with the checkout's configs and dbt_project and an empty lake."""
    root = tmp_path / "home"
    make_home(root, bundle())
    return Home(root)


@pytest.fixture
def trademl_command() -> list[str]:
    """The ``trademl`` command of the environment the tests run in, for tests that need a real process."""
    beside = Path(sys.executable).with_name("trademl")
    found = str(beside) if beside.is_file() else shutil.which("trademl")
    return [found] if found else [sys.executable, "-m", "trademl"]
