"""The home: the folder that holds configs/, dbt_project/, lake/ and models_artifacts/."""

import os
from dataclasses import dataclass
from pathlib import Path

from trademl.errors import HomeNotFound

HOME_VARIABLE = "TRADEML_HOME"
MARKER = Path("configs") / "trademl.yml"


@dataclass(frozen=True)
class Home:
    """A home folder and the fixed places below it."""

    root: Path

    @property
    def configs(self) -> Path:
        return self.root / "configs"

    @property
    def dbt_project(self) -> Path:
        return self.root / "dbt_project"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def models_artifacts(self) -> Path:
        return self.root / "models_artifacts"

    @property
    def warehouse(self) -> Path:
        """The builder's private database file: disposable, never read by anyone else."""
        return self.lake / "warehouse.duckdb"


def find_home(start: Path | None = None) -> Home:
    """Return the home: ``TRADEML_HOME``, else the nearest folder upward of ``start`` with configs/trademl.yml.

    Raises:
        HomeNotFound: there is none; the remedy names ``trademl init``.
    """
    named = os.environ.get(HOME_VARIABLE)
    if named:
        root = Path(named).expanduser().resolve()
        if not (root / MARKER).is_file():
            raise HomeNotFound(
                f"{HOME_VARIABLE}={named} has no {MARKER}",
                remedy=f"run `trademl init {named}`, or point {HOME_VARIABLE} at a home",
            )
        return Home(root)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            return Home(folder)
    raise HomeNotFound(
        f"no {MARKER} in {here} or any folder above it, and {HOME_VARIABLE} is not set",
        remedy="run `trademl init DIR` and work inside DIR, or set TRADEML_HOME",
    )
