"""A small warehouse written with DuckDB directly, as a build would leave it, and the child processes of fault tests."""

import subprocess
import sys
from pathlib import Path

import duckdb

from trademl.lake.layout import Layout

REPOSITORY = Path(__file__).resolve().parents[2]

BUILDS = (
    "create table if not exists meta.builds (build_id varchar, invocation_id varchar, started_at timestamp, "
    "finished_at timestamp, affected_from date, definition_hash varchar, as_known_at varchar, status varchar)"
)


def write_warehouse(
    layout: Layout,
    *,
    build_id: str = "b1",
    status: str = "success",
    last_year: int = 2003,
    shift: float = 0.0,
    shift_from: str = "1900-01-01",
    shuffled: bool = False,
    grain: bool = True,
    as_known_at: str = "",
) -> None:
    """Replace the warehouse by four symbols and every tenth day from 2001 to the end of ``last_year``.

    ``close`` is the day's number plus 0.25 per symbol, plus ``shift`` on and after ``shift_from``.
    """
    layout.warehouse.parent.mkdir(parents=True, exist_ok=True)
    order = "order by hash(date, symbol)" if shuffled else "order by symbol, date"
    with duckdb.connect(str(layout.warehouse)) as con:
        for schema in ("meta", "bronze", "silver", "gold", "marts", "preds", "ops"):
            con.execute(f"create schema if not exists {schema}")
        con.execute(BUILDS)
        con.execute(
            "create or replace table silver.equity_bars as "
            "select 'S' || s as symbol, day::date as date, "
            f"epoch(day) / 86400 + 0.25 * s + if(day >= date '{shift_from}', {shift}, 0) as close "
            f"from range(timestamp '2001-01-01', timestamp '{last_year + 1}-01-01', interval 10 day) d(day), "
            f"range(4) s(s) {order}"
        )
        con.execute(
            "create or replace table gold.equities_features as select symbol, date, close::float as momentum_5d, "
            "case when symbol = 'S0' then null else close end as beta_60d from silver.equity_bars " + order
        )
        con.execute(
            "create or replace table silver.coverage as select 'equity_bars' as dataset, date, 4 as expected, "
            "count(*)::int as present, 1.0::double as coverage_ratio, 'GREEN' as status, ['none'] as reasons "
            "from silver.equity_bars group by date"
        )
        con.execute("create or replace table gold.empty_yet (symbol varchar, date date, amount decimal(9, 2))")
        con.execute("create or replace table bronze.hidden as select 1 as a")
        con.execute(f"create or replace table gold.big_numbers as select 'x' as symbol, {2**100}::hugeint as n")
        con.execute(
            "create or replace view gold.equities_training as select f.*, b.close as value "
            'from "gold"."equities_features" f join "silver"."equity_bars" b using (symbol, date)'
        )
        # Sorts before the view it reads, so the order of creation has to be found.
        con.execute("create or replace view gold.a_summary as select count(*) as n from gold.equities_training")
        con.execute(
            "create or replace table preds.batches_stub "
            "(ticker varchar, dt date, horizon int, model_id varchar, yhat double)"
        )
        con.execute("create or replace view preds.equities as select * from preds.batches_stub")
        con.execute(
            "create or replace view marts.scored as select count(*) as n, max(yhat) as best from preds.equities"
        )
        con.execute("create or replace table meta.tables (schema_name varchar, table_name varchar, grain varchar)")
        if grain:
            con.execute(
                "insert into meta.tables values ('silver', 'equity_bars', 'symbol,date'), "
                "('gold', 'equities_features', 'symbol,date'), ('silver', 'coverage', 'dataset,date')"
            )
        con.execute(
            "insert into meta.builds values (?, ?, now()::timestamp, now()::timestamp, null, 'd1', ?, ?)",
            [build_id, build_id, as_known_at, status],
        )


def child(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a Python process that can import trademl and the tests."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def first_line(process: "subprocess.Popen[str]") -> str:
    """Wait for the first line of a child's output."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
