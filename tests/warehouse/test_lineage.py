"""What models are made from, and which tests look at a column, read from the files."""

from pathlib import Path

import pytest

from tests.warehouse.feature_project import write_project
from trademl.errors import ConfigError
from trademl.warehouse.lineage import ColumnTest, ancestors, column_tests, in_order, read_models


def test_models_are_read_with_their_parents(tmp_path: Path) -> None:
    """References, datasets, the relation and the stated columns come from the files; comments say nothing."""
    models = read_models(write_project(tmp_path).dbt_project)
    assert models["gld_equities_features"].parents == ("slv_panel",)
    assert models["slv_panel"].relation == "work.panel"
    assert models["slv_panel"].columns == ("symbol", "date", "close", "previous_close", "mean_5")
    assert (models["brz_equities__bars"].relation, models["brz_equities__bars"].datasets) == (
        "bronze.equities__bars",
        ("equity_bars",),
    )


def test_parents_come_before_what_is_made_of_them(tmp_path: Path) -> None:
    """One order for building, the other for looking back; a model that is not there is passed over."""
    models = read_models(write_project(tmp_path).dbt_project)
    assert in_order(models, "gld_equities_second") == ["brz_equities__bars", "slv_panel", "gld_equities_second"]
    assert ancestors(models, "gld_equities_second") == ["gld_equities_second", "slv_panel", "brz_equities__bars"]
    assert in_order(models, "nothing") == ancestors(models, "nothing") == []


def test_the_house_is_made_from_landed_datasets(repository: Path) -> None:
    """Every model of a feature table goes back to bars and calendar as landed."""
    models = read_models(repository / "dbt_project")
    for table in ("gld_equities_features", "gld_equities_alpha158", "gld_equities_alpha360"):
        read = {name for one in ancestors(models, table) for name in models[one].datasets}
        assert {"equity_bars", "calendar"} <= read
        assert models[table].relation == f"gold.{table.removeprefix('gld_')}"


def test_tests_are_found_by_the_columns_that_they_look_at(tmp_path: Path) -> None:
    """Unit tests of the model and of what serves it, by dict, csv and fixture; generic tests of rows or column."""
    project = write_project(tmp_path).dbt_project
    models = read_models(project)

    def tests(model: str, column: str) -> list[tuple[str, str]]:
        return [(one.kind, one.name) for one in column_tests(project, models, model, column)]

    core = "gld_equities_features"
    assert tests(core, "change_1d") == [
        ("unit", "rows_by_dict"),
        ("unique_grain", core),
        ("known_by", core),
        ("not_null", core),
    ]
    assert tests(core, "mean_5d") == [
        ("unit", "rows_by_csv"),
        ("unique_grain", core),
        ("known_by", core),
        ("in_range", core),
    ]
    assert tests("gld_equities_second", "slow_10") == [("unit", "rows_by_fixture")]
    assert column_tests(project, models, "gld_equities_second", "slow_20") == []
    assert ColumnTest("unit", "rows_by_csv", "models/gold/tests.yml") in column_tests(project, models, core, "mean_5d")


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    """The message has the file."""
    project = write_project(tmp_path).dbt_project
    (project / "models/gold/tests.yml").write_text("models: [")
    with pytest.raises(ConfigError, match=r"models/gold/tests.yml is not valid YAML"):
        read_models(project)
