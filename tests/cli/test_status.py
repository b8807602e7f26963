import json
from datetime import UTC, datetime

import duckdb
import pytest
from click.testing import CliRunner

from trademl.cli.main import main
from trademl.config import Home
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot

BUILT = """
create schema meta; create schema silver; create schema gold;
create table meta.builds(build_id varchar, invocation_id varchar, started_at timestamp, finished_at timestamp,
    affected_from date, definition_hash varchar, as_known_at varchar, status varchar);
insert into meta.builds values ('b-7', 'i-7', timestamp '2024-01-10 21:00:00', timestamp '2024-01-10 21:01:00',
    null, 'd', null, 'success');
create table silver.coverage as
    select 'equity_bars' as dataset, date '2024-01-01' + cast(n as integer) as date, 10 as expected,
        if(n = 9, 7, 10) as present, if(n = 9, 0.7, 1.0) as coverage_ratio,
        if(n = 9, 'RED', 'GREEN') as status, if(n = 9, 'absent 3: AAA BBB CCC', '') as reasons
    from range(10) as t(n);
create table gold.numbers as select date '2024-01-01' as date, 'AAA' as symbol, 1.5 as value;
"""


@pytest.fixture
def published(home: Home) -> Home:
    layout = layout_of(home)
    layout.warehouse.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(layout.warehouse)) as con:
        con.execute(BUILT)
    started = datetime(2024, 1, 10, 20, 0)
    row = {
        "run_id": "r-1",
        "sleeve": "equities",
        "label": "fwd_5d",
        "status": "complete",
        "git_revision": "abc",
        "data_hash": "d",
        "config_hash": "c",
        "path": "models_artifacts/equities/r-1",
        "metrics": "{}",
        "started_at": started,
        "recorded_at": started,
    }
    write_rows(layout, "ops.runs", [row])
    take_snapshot(layout, git_revision="abc123", now=lambda: datetime(2024, 1, 10, 21, 5, tzinfo=UTC))
    return home


def show(home: Home, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["--home", str(home.root), "status", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_new_home_says_what_to_do_next(home: Home) -> None:
    """Before the first snapshot the status names the home and the commands that make one."""
    assert show(home).splitlines() == [
        f"home      {home.root}",
        "snapshot  none yet: run `trademl ingest` and `trademl build`, or `trademl demo`",
    ]


def test_the_text_names_snapshot_build_coverage_and_runs(published: Home) -> None:
    """The text shows the snapshot and its time, the build, the last five sessions newest first, and the runs."""
    assert show(published).splitlines() == [
        f"home      {published.root}",
        "snapshot  1, taken 2024-01-10 21:05:00 UTC: 2 tables, 11 rows",
        "as of     2024-01-10",
        "build     b-7 (code abc123)",
        "coverage  2024-01-10  equity_bars  RED    7/10  absent 3: AAA BBB CCC",
        "          2024-01-09  equity_bars  GREEN  10/10",
        "          2024-01-08  equity_bars  GREEN  10/10",
        "          2024-01-07  equity_bars  GREEN  10/10",
        "          2024-01-06  equity_bars  GREEN  10/10",
        "runs      2024-01-10 20:00  r-1  equities fwd_5d  complete",
    ]


def test_json_has_the_same_facts(published: Home) -> None:
    """`--format json` gives the same status as one document."""
    found = json.loads(show(published, "--format", "json"))
    assert (found["snapshot"], found["as_of"], found["rows"]) == (1, "2024-01-10", 11)
    assert [row["status"] for row in found["coverage"]] == ["RED", "GREEN", "GREEN", "GREEN", "GREEN"]
    assert found["runs"][0]["run_id"] == "r-1"


def test_a_build_that_holds_the_warehouse_does_not_matter(published: Home) -> None:
    """The status reads the snapshot and answers while the warehouse file is open for writing."""
    with duckdb.connect(str(published.warehouse)):
        assert "snapshot  1" in show(published)


def test_a_broken_pointer_is_an_error(published: Home) -> None:
    """A pointer to a manifest that is gone exits 1 with the remedy, not with an empty status."""
    layout_of(published).current.write_text("99\n")
    result = CliRunner().invoke(main, ["--home", str(published.root), "status"])
    assert result.exit_code == 1
    assert "no manifest" in result.stderr
