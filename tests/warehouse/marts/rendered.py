"""The marts' SQL on a bare DuckDB: each model becomes a view in its schema, without a dbt run."""

from pathlib import Path

import duckdb
import jinja2

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
    return environment.from_string(path.read_text(encoding="utf-8")).render(
        ref=relation_of, landed_batches=lambda schema, table: f"landed.{schema}_{table}"
    )


def relation_of(model: str) -> str:
    """Return schema.alias of a model's name.

    >>> relation_of("mrt_daily_ic")
    'marts.daily_ic'
    """
    prefix, _, alias = model.partition("_")
    return f"{SCHEMAS[prefix]}.{alias}"
