"""The warehouse SQL agrees with the Python side, and with the house style."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from trademl.schema import BATCHES, QUARANTINE_COLUMNS, RAW

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "dbt_project" / "models"
SQL = sorted(
    path for folder in ("models", "macros", "tests") for path in (REPOSITORY / "dbt_project" / folder).rglob("*.sql")
)
LAYERS = {"bronze": "brz", "silver": "slv", "gold": "gld", "marts": "mrt", "preds": "prd", "ops": "ops"}


def sources() -> dict[str, dict[str, dict[str, str]]]:
    """Source name -> table -> column -> type, as dbt is told."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for path in MODELS.rglob("*.yml"):
        document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for source in document.get("sources", []):
            tables = found.setdefault(source["name"], {})
            for table in source["tables"]:
                columns = table.get("columns", [])
                tables[table["name"]] = {column["name"]: str(column["data_type"]).upper() for column in columns}
    return found


@pytest.mark.parametrize("dataset", list(RAW))
def test_raw_sources_have_the_columns_that_ingest_writes(dataset: str) -> None:
    """The source raw.<dataset> states the columns and types of trademl.schema, in the same order."""
    assert list(sources()["raw"][dataset].items()) == list(RAW[dataset].all_columns.items())


def test_the_quarantine_source_has_the_columns_that_ingest_writes() -> None:
    """The source raw.quarantine states the columns and types of the quarantine."""
    assert list(sources()["raw"]["quarantine"].items()) == list(QUARANTINE_COLUMNS.items())


def test_there_is_no_source_that_nobody_writes() -> None:
    """Every table of the source raw is a dataset of trademl.schema or the quarantine."""
    assert set(sources()["raw"]) == {*RAW, "quarantine"}


@pytest.mark.parametrize("table", list(BATCHES))
def test_batch_sources_have_the_columns_that_python_writes(table: str) -> None:
    """The sources of predictions and evidence state the columns and types of trademl.schema."""
    schema, name = table.split(".")
    assert list(sources()[f"{schema}_batches"][name].items()) == list(BATCHES[table].columns.items())


def test_a_model_is_named_after_its_layer() -> None:
    """A model's file starts with the short name of the layer it lies in."""
    misnamed = [
        path.name
        for path in sorted(MODELS.rglob("*.sql"))
        if not path.name.startswith(f"{LAYERS[path.relative_to(MODELS).parts[0]]}_")
    ]
    assert misnamed == []


def test_sql_is_indented_by_four_spaces() -> None:
    """SQL has no tab, no trailing blank, and indents by fours; the linter cannot tell inside jinja loops."""
    odd = []
    for path in SQL:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            indent = len(line) - len(line.lstrip(" "))
            comment = re.match(r"\s+(\*|#})", line)
            if "\t" in line or line != line.rstrip() or (indent % 4 and not comment):
                odd.append(f"{path.relative_to(REPOSITORY)}:{number}")
    assert odd == []


def test_no_sql_is_longer_than_650_lines() -> None:
    """The rule of length holds for SQL too."""
    assert [path.name for path in SQL if len(path.read_text(encoding="utf-8").splitlines()) > 650] == []


def test_dialect_differences_stay_in_their_macros() -> None:
    """No model asks which engine it runs on."""
    assert [path.name for path in MODELS.rglob("*.sql") if "target.type" in path.read_text(encoding="utf-8")] == []
