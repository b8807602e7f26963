"""The other engines' own virtual environment: pyqlib 0.9.7 needs an older pandas than trademl has."""

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[1] / "qlib_requirements.txt"
WANTED = ("pyqlib", "polars")


def install(folder: Path) -> Path:
    """Make the environment where it is absent, and return its Python."""
    python = folder.absolute() / "bin" / "python"
    if not python.exists():
        print(f"making an environment in {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    versions = pins()
    asked = f"from importlib.metadata import version as v; print(*(v(name) for name in {WANTED!r}))"
    found = subprocess.run([str(python), "-c", asked], capture_output=True, text=True, check=False)
    if found.stdout.split() != [versions[name] for name in WANTED]:
        pip = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-compile",
        ]
        subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=True)
    return python


def pins() -> dict[str, str]:
    """Return the pinned version of every package of the environment."""
    lines = REQUIREMENTS.read_text(encoding="ascii").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def plain_numpy(python: Path) -> str:
    """Return what NPY_DISABLE_CPU_FEATURES must hold for NumPy to do without vectorised instructions here."""
    code = (
        "from numpy._core import _multiarray_umath as m;"
        "print(*(name for name in m.__cpu_dispatch__ if m.__cpu_features__.get(name)))"
    )
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
