"""The SQL a scoring device runs: dbt's own compilation of the feature models, with a variable for the first session.

Same models, same macros, same text as the build runs but for one literal, so a feature has one definition. The device
has no dbt: it runs the statements in order over the tables of a release (:mod:`trademl.edge.features`).
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trademl.config.home import Home
from trademl.edge.features import Step
from trademl.errors import BuildError, MissingExtra
from trademl.warehouse.dbt import closed_warehouse, dbt_environment

ON_DEVICE = frozenset(
    {"slv_calendar", "slv_coverage", "slv_equity_bar_versions", "slv_equity_bar_window", "slv_equity_bars"}
)
"""Models whose relations a device has without computing them: a release brings them, or views of its bars are them."""

REGIME = "gold.equities_regime"
"""Computed on every device: the spread of a prediction depends on it."""

CORE = ("gold.equities_features",)


def device_steps(home: Home, tables: Sequence[str] = CORE) -> tuple[Step, ...]:
    """Compile what it takes to compute ``tables`` on a device, and return it in the order of dependence.

    Nothing of the home's lake is opened: dbt gets an empty database in a temporary folder. A feature table need not be
    switched on in the home for this.

    Args:
        home: whose dbt_project is compiled.
        tables: the feature tables that a model reads, such as ``gold.equities_features``.

    Raises:
        BuildError: dbt cannot compile them, or one of them is made from what no device has.
        MissingExtra: dbt is not installed.
    """
    try:
        from dbt.cli.main import dbtRunner
    except ImportError as error:
        raise MissingExtra("dbt-core", "train") from error
    project = str(home.dbt_project)
    with tempfile.TemporaryDirectory() as scratch:
        switched = [name.partition(".")[2] for name in tables if name not in CORE]
        common = ["--project-dir", project, "--profiles-dir", project]
        common += ["--target-path", os.path.join(scratch, "target")]
        common += ["--vars", f"{{for_device: true, feature_tables: [{', '.join(switched)}]}}"]
        # The catalog takes the file's name: statements name their relations as the builder does.
        settings = {"TRADEML_LAKE": scratch, "TRADEML_WAREHOUSE": str(Path(scratch) / "warehouse.duckdb")}
        # dbt prints what it compiles.
        with dbt_environment(settings), closed_warehouse(), contextlib.redirect_stdout(io.StringIO()):
            parsed = dbtRunner().invoke(["--quiet", "parse", *common])
            manifest: Any = parsed.result
            _require(parsed, bool(manifest))
            models = _needed(manifest, [*tables, REGIME])
            outcome = dbtRunner(manifest=manifest).invoke(["--quiet", "compile", *common, "--select", *models])
        results: Any = outcome.result or []
        found = [
            Step(
                relation=f"{result.node.schema}.{result.node.alias}",
                sql=str(result.node.compiled_code).strip(),
                append=_keeps_history(result.node.config),
            )
            for result in results
            if result.node.resource_type == "model"
        ]
    _require(outcome, len(found) == len(models))
    return tuple(found)


def _keeps_history(config: Any) -> bool:
    """Tell whether a model's rows follow those of earlier dates; a working table holds one build's dates alone."""
    return config.materialized == "incremental" or (
        config.materialized == "feature_table" and "serves" not in (config.meta or {})
    )


def _needed(manifest: Any, relations: Sequence[str]) -> list[str]:
    """Return the models between what a device has and ``relations``, by name."""
    models = {key: node for key, node in manifest.nodes.items() if node.resource_type == "model"}
    found = {f"{node.schema}.{node.alias}": key for key, node in models.items()}
    lost = [name for name in relations if name not in found]
    if lost:
        raise BuildError(
            f"dbt_project has no model of {', '.join(lost)}, which the model of the release reads",
            remedy="restore the feature table, or release a run that was trained on the present ones",
        )
    needed: dict[str, str] = {}
    waiting = [(found[name], name) for name in relations]
    while waiting:
        key, wanted_by = waiting.pop()
        if key in needed or (key in models and models[key].name in ON_DEVICE):
            continue
        if key not in models or models[key].schema == "bronze":
            raise BuildError(
                f"{wanted_by} reads {key.rpartition('.')[2]}, which no device has: a release brings "
                f"{', '.join(sorted(ON_DEVICE))}",
                remedy="release a run without features of that table",
            )
        needed[key] = models[key].name
        waiting += [(parent, wanted_by) for parent in models[key].depends_on.nodes]
    return sorted(needed.values())


def _require(outcome: Any, complete: bool) -> None:
    if outcome.success and complete:
        return
    cause = " ".join(str(outcome.exception or "models are missing from the project").split())[:400]
    raise BuildError(f"dbt cannot compile the features for a device: {cause}", remedy="mend the model named above")
