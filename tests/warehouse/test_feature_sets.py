"""Writing feature sets."""

from pathlib import Path

import pytest
import yaml

from tests.warehouse.feature_project import CORE, write_project
from trademl.config.feature_sets import read_feature_set
from trademl.errors import ConfigError
from trademl.warehouse.feature_macros import evaluate
from trademl.warehouse.feature_sets import freeze


def test_patterns_are_pinned_as_they_are_defined(tmp_path: Path) -> None:
    """Columns stand in the order of the patterns, those of a pattern in the table's, each once, each with its hash."""
    home = write_project(tmp_path)
    evaluation = evaluate(home.dbt_project)
    path, made, is_new = freeze(home, evaluation, "mine_v1", ["equities_second.*_wz", "mean_5d", "*"], "a mixture")
    assert is_new
    assert made.features == ("slow_10_wz", "slow_20_wz", "mean_5d", "change_1d", "change_1d_dm", "change_1d_rank")
    core, second = (table.definition_sha256() for table in evaluation.tables)
    assert made.definitions["slow_10_wz"] == second["slow_10_wz"]
    assert made.definitions["mean_5d"] == core["mean_5d"]
    assert read_feature_set(home, "mine_v1") == made
    assert path.read_text().startswith("# A feature set")
    assert yaml.safe_load(path.read_text())["description"] == "a mixture"


def test_a_set_is_written_once(tmp_path: Path) -> None:
    """The same set again changes nothing, not even its description; another one under the name is refused."""
    home = write_project(tmp_path)
    evaluation = evaluate(home.dbt_project)
    path, made, _ = freeze(home, evaluation, "mine_v1", ["mean_5d"], "one")
    before = path.read_bytes()
    assert freeze(home, evaluation, "mine_v1", ["mean_5d"], "two") == (path, made, False)
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match=r"is another set: 1 columns.*a set is never changed") as caught:
        freeze(home, evaluation, "mine_v1", ["change_1d"], "one")
    assert caught.value.remedy == "write mine_v2"
    assert path.read_bytes() == before


def test_a_name_of_two_tables_keeps_its_table(tmp_path: Path) -> None:
    """The core's column is written by its name alone, another table's with the table."""
    core = CORE.replace("name='mean_5d'", "name='slow_10'")
    home = write_project(tmp_path, core=core)
    evaluation = evaluate(home.dbt_project)
    _, made, _ = freeze(home, evaluation, "both_v1", ["slow_10", "equities_second.slow_10"], "both")
    assert made.features == ("slow_10", "equities_second.slow_10")


@pytest.mark.parametrize(
    "name, columns, message",
    [
        ("mine", ["mean_5d"], "`mine` has no version"),
        ("mine_vx", ["mean_5d"], "`mine_vx` has no version"),
        ("mine_v0", ["mean_5d"], "version=0"),
        ("Mine_v1", ["mean_5d"], "name='Mine'"),
        ("mine_v1", ["mean_6d"], "'mean_6d' is none of the 4 columns of equities_features; did you mean mean_5d"),
        ("mine_v1", ["equities_secnd.*"], "'equities_secnd', which does not exist; did you mean equities_second"),
    ],
)
def test_a_wrong_choice_is_refused(tmp_path: Path, name: str, columns: list[str], message: str) -> None:
    """A set without a version, or of what is not there, is not written."""
    home = write_project(tmp_path)
    with pytest.raises(ConfigError, match=message):
        freeze(home, evaluate(home.dbt_project), name, columns, "x")
    assert list((home.configs / "features").iterdir()) == []
