"""The marts' SQL on a bare DuckDB: each model becomes a view in its schema, without a dbt run."""

import re
from pathlib import Path
from types import SimpleNamespace

import duckdb
import jinja2
import yaml

from trademl.schema import BATCHES

MODELS = Path(__file__).resolve().parents[3] / "dbt_project" / "models"
SCHEMAS = {"prd": "preds", "ops": "ops", "gld": "gold", "mrt": "marts"}
MARTS = ("oof_ranks", "daily_ic", "decile_returns", "hit_rate", "turnover", "live_ic", "calibration")


def warehouse() -> duckdb.DuckDBPyConnection:
    """Return a database with empty landed batches and labels, and a view for every prediction model and mart."""
    con = duckdb.connect()
    con.execute("set threads = 2")
    for schema in ("landed", *SCHEMAS.values()):
        con.execute(f"create schema if not exists {schema}")
    con.execute(
        "create table gold.equities_labels "
        "(symbol varchar, date date, label varchar, value double, label_end_date date, outcome varchar)"
    )
    for name, table in BATCHES.items():
        schema, relation = name.split(".")
        columns = ", ".join(f"{column} {kind}" for column, kind in table.columns.items())
        con.execute(f"create table landed.{schema}_{relation} ({columns})")
        prefix = "prd" if schema == "preds" else "ops"
        con.execute(f"create view {name} as {rendered(MODELS / schema / f'{prefix}_{relation}.sql')}")
    for mart in MARTS:
        con.execute(f"create view marts.{mart} as {rendered(MODELS / 'marts' / f'mrt_{mart}.sql')}")
    return con


def rendered(path: Path) -> str:
    """Return a model's SQL with references put in place of the macros."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    schema, alias = relation_of(path.stem).split(".")
    return environment.from_string(latest_rows() + path.read_text(encoding="utf-8")).render(
        ref=relation_of,
        landed_batches=lambda schema, table: f"landed.{schema}_{table}",
        execute=True,
        model=declared(path) if schema in ("preds", "ops") else None,
        this=SimpleNamespace(schema=schema, identifier=alias),
    )


def latest_rows() -> str:
    """Return the project's own macro, which prediction and evidence models consist of."""
    text = (MODELS.parent / "macros" / "landed.sql").read_text(encoding="utf-8")
    (macro,) = re.findall(r"{% macro latest_rows.*?endmacro %}", text, re.DOTALL)
    return str(macro)


def declared(path: Path) -> SimpleNamespace:
    """Return what dbt tells the macro of a model: its columns and grain, from the yml beside it."""
    models = yaml.safe_load(path.with_name(f"{path.parent.name}.yml").read_text(encoding="utf-8"))["models"]
    (found,) = [model for model in models if model["name"] == path.stem]
    columns = {column["name"]: column for column in found["columns"]}
    return SimpleNamespace(columns=columns, config=SimpleNamespace(meta=SimpleNamespace(**found["config"]["meta"])))


def relation_of(model: str) -> str:
    """Return schema.alias of a model's name.

    >>> relation_of("mrt_daily_ic")
    'marts.daily_ic'
    """
    prefix, _, alias = model.partition("_")
    return f"{SCHEMAS[prefix]}.{alias}"
