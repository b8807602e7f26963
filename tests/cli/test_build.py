"""``trademl build`` as typed; dbt itself runs in tests/warehouse/test_dbt.py."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from trademl.cli.main import main
from trademl.config import Home
from trademl.errors import BuildError
from trademl.lake.manifest import Manifest
from trademl.warehouse.dbt import BuildReport, NodeResult

NODES = [
    NodeResult("slv_calendar", "model", "success", 1.25),
    NodeResult("gld_numbers", "model", "success", 2.5),
    NodeResult("unique_grain", "test", "pass", 4.0),
    NodeResult("by_hand", "unit_test", "pass", 8.0),
    NodeResult("on-run-end", "operation", "success", 16.0),
]


class Recorded:
    """Stands in for dbt: keeps what it was asked, and returns a report or raises."""

    def __init__(self, warehouse: Path) -> None:
        self.report = BuildReport(NODES, None, warehouse)
        self.error: BuildError | None = None
        self.asked: dict[str, Any] = {}

    def __call__(self, home: Home, **options: Any) -> BuildReport:
        self.asked = {"home": home, **options}
        if self.error:
            raise self.error
        return self.report


@pytest.fixture
def recorded(home: Home, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """The stand-in, in place of trademl.warehouse.dbt.build."""
    stand_in = Recorded(home.warehouse)
    monkeypatch.setattr("trademl.warehouse.dbt.build", stand_in)
    return stand_in


def run(home: Home, *arguments: str) -> Any:
    return CliRunner().invoke(main, ["--home", str(home.root), "build", *arguments])


def test_the_line_counts_models_and_tests_apart(home: Home, recorded: Recorded) -> None:
    """Two models took 1.25 + 2.5 s; tests and unit tests are both tests; a hook is neither."""
    result = run(home)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("built 2 models in 3.8 s, 2 tests passed, ")
    assert len(result.stdout.splitlines()) == 1


def test_the_snapshot_is_named(home: Home, recorded: Recorded) -> None:
    """A build that ends in a snapshot says which, and up to which session it reaches."""
    manifest = Manifest(
        seq=3,
        created=datetime(2024, 1, 10, 21, 5, tzinfo=UTC),
        as_of=date(2024, 1, 10),
        as_known_at=None,
        git_revision="abc",
        build_id="b-7",
        invocation_id="i-7",
        definition_hash="d",
        warehouse_stamp="w",
        duckdb_version=duckdb.__version__,
        tables={},
        batches={},
        views={},
        coverage={},
    )
    recorded.report = BuildReport(NODES, manifest, home.warehouse)
    assert run(home).stdout.splitlines()[1] == "snapshot 3: as of 2024-01-10, 0 tables"


def test_options_reach_the_build(home: Home, recorded: Recorded) -> None:
    """Every option of the command is passed on as it was typed."""
    run(home, "--as-known-at", "2015-06-30", "--full-refresh", "--select", "gold", "--threads", "1")
    asked = {name: value for name, value in recorded.asked.items() if name != "progress"}
    assert asked == {
        "home": home,
        "as_known_at": "2015-06-30",
        "full_refresh": True,
        "select": "gold",
        "threads": 1,
        "memory_limit": "4GB",
    }


def test_hashes_list_the_gold_tables(home: Home, recorded: Recorded) -> None:
    """--hashes adds a line for each gold table with its rows and 32 hexadecimal digits."""
    home.warehouse.parent.mkdir(exist_ok=True)
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute("create schema gold; create table gold.numbers as select range as n from range(1234)")
    name, rows, word, digest = run(home, "--hashes").stdout.splitlines()[1].split()
    assert (name, rows, word, len(digest)) == ("numbers", "1,234", "rows", 32)
    assert int(digest, 16) > 0


def test_a_failed_build_exits_1_with_the_remedy(home: Home, recorded: Recorded) -> None:
    """The failing node and what to do about it are on standard error, without a traceback."""
    recorded.error = BuildError("unique_grain failed: 2 rows", remedy="look at the rows")
    result = run(home)
    assert result.exit_code == 1
    assert "unique_grain failed: 2 rows" in result.stderr
    assert "look at the rows" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_thread_count_of_0_is_refused(home: Home, recorded: Recorded) -> None:
    """A wrong option is a usage error, and nothing is built."""
    assert run(home, "--threads", "0").exit_code == 2
    assert recorded.asked == {}


def test_definitions_are_judged_before_anything_is_built(home: Home, recorded: Recorded) -> None:
    """A wrong definition stops the command, with file and line, and dbt is not asked; mended, the build goes on."""
    macro = home.dbt_project / "macros" / "features" / "beta.sql"
    text = macro.read_text()
    macro.write_text(text.replace("unit='ratio'", "unit=''"))
    result = run(home)
    assert result.exit_code == 2
    assert "macros/features/beta.sql:3: feature beta_60d: unit is nothing" in result.output
    assert recorded.asked == {}
    macro.write_text(text)
    assert run(home).exit_code == 0
    assert recorded.asked["home"] == home
