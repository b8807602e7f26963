"""``trademl features``."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.training.market import write_market
from tests.warehouse.feature_project import write_project
from trademl.cli.features import features
from trademl.config.home import Home
from trademl.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A small project with a market that was published: the core table has other columns than it defines."""
    made = write_project(tmp_path / "home")
    (made.configs / "trademl.yml").write_text("{}\n")
    monkeypatch.setenv("TRADEML_HOME", str(made.root))
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(features, list(arguments), catch_exceptions=False)


def read(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--format", "json").stdout)


def test_features_are_listed_as_a_table(home: Home) -> None:
    """One line each, aligned, with the sets that list it; twins only when asked for."""
    run("freeze", "small_v1", "--columns", "mean_5d,equities_second.slow_10", "--description", "two")
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == ["table", "feature", "alias", "family", "unit", "window", "lookback", "sets"]
    assert [line.split()[1] for line in lines[1:-1]] == ["change_1d", "mean_5d", "slow_10", "slow_20"]
    assert len({len(line) for line in lines[:-1]}) == 1
    assert lines[2].split()[-1] == "small_v1"
    assert lines[-1] == "4 features"
    assert run("list", "--twins").stdout.splitlines()[-1] == "9 features"


def test_the_list_is_chosen_by_table_family_and_set(home: Home) -> None:
    """A set has its own order; a choice that does not exist has its nearest name."""
    run("freeze", "small_v1", "--columns", "equities_second.slow_10_wz,mean_5d", "--description", "two")
    assert [one["feature"] for one in read("list", "--table", "equities_second")] == ["slow_10", "slow_20"]
    assert [one["feature"] for one in read("list", "--family", "core")] == ["change_1d", "mean_5d"]
    assert [one["feature"] for one in read("list", "--set", "small_v1")] == ["slow_10_wz", "mean_5d"]
    for option, value, near in (("table", "equities_secon", "equities_second"), ("family", "cor", "core")):
        with pytest.raises(ConfigError, match=f"`--{option} {value}` does not exist; did you mean {near}"):
            run("list", f"--{option}", value)
    with pytest.raises(ConfigError, match="did you mean small_v1"):
        run("list", "--set", "small_v2")


def test_one_feature_is_shown_whole(home: Home) -> None:
    """Formula, SQL, unit, windows, sources, alias, tests and where it is defined, before anything is built."""
    result = run("show", "SLOW10")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if len(line.split(maxsplit=1)) == 2)
    assert lines["feature"] == "equities_second.slow_10"
    assert lines["defined"] == "macros/features/second.sql:5, family second"
    assert lines["window"] == "10 sessions, lookback 9 sessions"
    assert lines["tests"] == "unit rows_by_fixture"
    assert lines["twins"] == "slow_10_wz"
    assert lines["models"] == "none"
    assert result.stdout.splitlines()[-1] == "  close_10 / close"
    assert "no snapshot" in result.stderr
    document = read("show", "change_1d_rank")
    assert (document["twin_of"], document["unit"], document["alias"]) == ("change_1d", "fraction", None)
    assert document["tests"] == [
        {"kind": kind, "name": "gld_equities_features", "file": "models/gold/tests.yml"}
        for kind in ("unique_grain", "known_by")
    ]


def test_filling_comes_from_the_snapshot(home: Home) -> None:
    """A column that the snapshot has is measured; one that is not built says so."""
    write_market(home)
    core = home.dbt_project / "macros" / "features" / "core.sql"
    core.write_text(core.read_text().replace("name='mean_5d'", "name='noise'"))
    document = read("show", "noise")
    assert document["filling"]["rows"] == 160 * 24
    assert 0 < document["filling"]["null_rate"] < 0.05
    assert document["filling"]["drift"] is None
    shown = run("show", "noise").stdout
    assert "3,840 rows of the universe, 2020-01-01 to 2020-08-11" in shown
    assert "PSI not known" in shown
    table = run("list", "--stats").stdout.splitlines()
    assert table[0].split()[-2:] == ["null", "drift"]
    assert table[2].split()[-1].endswith("%")
    assert table[1].split()[-2:] == ["not", "built"]


def test_two_sets_are_compared(home: Home) -> None:
    """What only one has, by name."""
    run("freeze", "a_v1", "--columns", "mean_5d,change_1d", "--description", "x")
    run("freeze", "b_v1", "--columns", "change_1d,equities_second.slow_10", "--description", "x")
    assert run("diff", "a_v1", "b_v1").stdout.splitlines() == [
        "a_v1: 2 columns, b_v1: 2, 1 in both, in the same order",
        "only in a_v1 (1)",
        "  mean_5d",
        "only in b_v1 (1)",
        "  slow_10",
    ]
    assert read("diff", "a_v1", "b_v1")["only_second"] == ["slow_10"]


def test_a_feature_is_traced(home: Home) -> None:
    """As a tree of text, or nested."""
    run("freeze", "a_v1", "--columns", "mean_5d", "--description", "x")
    lines = run("lineage", "mean_5d").stdout.splitlines()
    assert lines[0] == "equities_features.mean_5d  macros/features/core.sql:8"
    assert lines[-2:] == ["└─ used by", "   └─ set a_v1"]
    assert read("lineage", "mean_5d")["below"][1]["below"][0]["name"] == "set a_v1"


def test_the_check_says_what_it_looked_at(home: Home) -> None:
    """Without a fault a line; with one, the error of the build."""
    assert run("check").stdout == "9 columns of 2 tables, 0 sets: no fault\n"
    core = home.dbt_project / "macros" / "features" / "core.sql"
    core.write_text(core.read_text().replace("unit='USD'", "unit=''"))
    with pytest.raises(ConfigError, match=r"macros/features/core.sql:8: feature mean_5d: unit is nothing"):
        run("check")


def test_a_set_is_frozen_once(home: Home) -> None:
    """The path, the number of columns and the digest; again it is unchanged."""
    command = ("freeze", "a_v1", "--columns", "*_rank", "--description", "ranks")
    first, second = run(*command).stdout, run(*command).stdout
    assert first.startswith(f"wrote {home.configs / 'features' / 'a_v1.yml'}: 1 columns, digest ")
    assert second.startswith("unchanged: ")
    assert first.split()[-1] == second.split()[-1]
