"""The SQL a scoring device runs: dbt's own compilation of the feature models, with a variable for the first session.

Same models, same macros, same text as the build runs but for one literal, so a feature has one definition. The device
has no dbt: it runs the statements in order over the tables of a release (:mod:`trademl.edge.features`).
"""

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from trademl.config.home import Home
from trademl.edge.features import Step
from trademl.errors import BuildError, MissingExtra
from trademl.warehouse.dbt import closed_warehouse, dbt_environment

EQUITIES_STEPS = (
    "slv_equity_panel",
    "slv_equity_market",
    "slv_equity_raw_features",
    "gld_equities_features",
    "gld_equities_regime",
)
"""The models between published bars and gold, in no particular order: dbt sorts them."""


def device_steps(home: Home, models: tuple[str, ...] = EQUITIES_STEPS) -> tuple[Step, ...]:
    """Compile ``models`` for a device and return them in the order in which they depend on each other.

    Nothing of the home's lake is opened: dbt gets an empty database in a temporary folder.

    Raises:
        BuildError: dbt cannot compile them.
        MissingExtra: dbt is not installed.
    """
    try:
        from dbt.cli.main import dbtRunner
    except ImportError as error:
        raise MissingExtra("dbt-core", "train") from error
    project = str(home.dbt_project)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = ["--quiet", "compile", "--project-dir", project, "--profiles-dir", project]
        arguments += ["--target-path", os.path.join(scratch, "target"), "--vars", "{for_device: true}"]
        arguments += ["--select", *models]
        # The catalog takes the file's name: statements name their relations as the builder does.
        settings = {"TRADEML_LAKE": scratch, "TRADEML_WAREHOUSE": str(Path(scratch) / "warehouse.duckdb")}
        # dbt prints what it compiles.
        with dbt_environment(settings), closed_warehouse(), contextlib.redirect_stdout(io.StringIO()):
            outcome = dbtRunner().invoke(arguments)
        results: Any = outcome.result or []
        found = [
            Step(
                relation=f"{result.node.schema}.{result.node.alias}",
                sql=str(result.node.compiled_code).strip(),
                append=result.node.config.materialized == "incremental",
            )
            for result in results
            if result.node.resource_type == "model"
        ]
    if not outcome.success or len(found) != len(models):
        cause = " ".join(str(outcome.exception or "models are missing from the project").split())[:400]
        raise BuildError(f"dbt cannot compile the features for a device: {cause}", remedy="mend the model named above")
    return tuple(found)
