"""What reports say of features: found by name, filling, drift, users, differences of sets, lineage."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.training.market import small_config, with_second_table, write_market
from tests.training.market import write_set as write_market_set
from tests.warehouse.feature_project import CORE, write_project, write_set
from trademl.config.feature_sets import read_feature_set
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ConfigError
from trademl.reports.features import (
    SESSIONS,
    Use,
    all_features,
    compare_sets,
    filling,
    find_feature,
    lineage,
    runs_with,
    sets_with,
)
from trademl.sleeves.equities import EquitiesConfig, train
from trademl.validation.drift import drift_from_bins, reference_bins
from trademl.warehouse.feature_macros import evaluate
from trademl.warehouse.lineage import read_models
from trademl.warehouse.read import read_snapshot


def test_features_are_found_by_column_table_and_alias(tmp_path: Path) -> None:
    """A twin is found by its own name; the core comes first where two tables have a column."""
    evaluation = evaluate(write_project(tmp_path, core=CORE.replace("name='mean_5d'", "name='slow_10'")).dbt_project)
    assert find_feature(evaluation, "SLOW20").column == "slow_20"
    twin = find_feature(evaluation, "slow_20_rank")
    assert (twin.definition.name, twin.suffix, twin.relation) == ("slow_20", "_rank", "gold.equities_second")
    assert find_feature(evaluation, "slow_10").table.name == "equities_features"
    assert find_feature(evaluation, "equities_second.slow_10").table.name == "equities_second"
    assert find_feature(evaluation, "gold.equities_second.slow_10").table.name == "equities_second"
    assert len(all_features(evaluation)) == 4 + 5


def test_an_unknown_feature_has_its_nearest(tmp_path: Path) -> None:
    """Columns and aliases are near; with nothing near there is the list."""
    evaluation = evaluate(write_project(tmp_path).dbt_project)
    with pytest.raises(ConfigError, match=r"'slow_21' is none of the 9 features.*did you mean slow_2"):
        find_feature(evaluation, "slow_21")
    with pytest.raises(ConfigError, match="did you mean SLOW10"):
        find_feature(evaluation, "SLOW11")
    with pytest.raises(ConfigError, match=r"is none of the 9 features of equities_features, equities_second\n"):
        find_feature(evaluation, "zzz")


def test_a_name_of_two_further_tables_is_refused(tmp_path: Path) -> None:
    """Without the core, the table must be said."""
    tables = (write_project(tmp_path).dbt_project / "macros/features/tables.sql").read_text()
    third = tables.replace(
        "    ]) }}\n{%- endmacro %}",
        ", {'name': 'equities_third', 'features': second_features, 'twins': []}]) }}\n{%- endmacro %}",
        1,
    )
    evaluation = evaluate(write_project(tmp_path / "two", tables=third).dbt_project)
    with pytest.raises(ConfigError, match="'slow_10' is a column of equities_second, equities_third") as caught:
        find_feature(evaluation, "slow_10")
    assert "equities_second.slow_10 or equities_third.slow_10" in caught.value.remedy


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    """A feature table of 504 sessions and 20 symbols: steady, shifted in the second year, half missing, empty."""
    opened = duckdb.connect()
    opened.execute("create schema gold")
    opened.execute(
        "create table gold.equities_x as select 's' || s as symbol, s < 19 as in_universe, "
        "date '2020-01-01' + t::integer as date, (hash(s, t) % 1000)::float as steady, "
        "(hash(s, t) % 1000 + case when t >= 252 then 500 else 0 end)::float as shifted, "
        "case when s % 2 = 0 then 1::float end as half, null::float as empty "
        "from range(504) as a(t), range(20) as b(s)"
    )
    return opened


def test_filling_counts_the_universe(con: duckdb.DuckDBPyConnection) -> None:
    """Rows, dates and the share of NULL are those of the universe; what the table lacks is left out."""
    found = filling(con, "equities_x", ["steady", "half", "empty", "nothing"])
    assert set(found) == {"steady", "half", "empty"}
    assert found["steady"].rows == 504 * 19
    assert str(found["steady"].first) == "2020-01-01"
    assert (found["steady"].null_rate, found["empty"].null_rate) == (0.0, 1.0)
    assert found["half"].null_rate == pytest.approx(9 / 19)
    assert filling(con, "equities_y", ["steady"]) == {}


def test_drift_is_of_the_last_year_against_the_one_before(con: duckdb.DuckDBPyConnection) -> None:
    """It is the project's population stability index of the two periods; a column without a value has none."""
    found = filling(con, "equities_x", ["steady", "shifted", "empty"])
    values = con.execute(
        "select shifted, date < date '2020-01-01' + 252 as is_before from gold.equities_x where in_universe"
    ).fetchnumpy()
    before, after = (np.asarray(values["shifted"][values["is_before"] == flag], dtype=float) for flag in (True, False))
    assert found["shifted"].drift == pytest.approx(drift_from_bins(*reference_bins(before), after))
    assert found["shifted"].drift is not None
    assert found["shifted"].drift > 1
    assert found["steady"].drift is not None
    assert found["steady"].drift < 0.01
    assert found["empty"].drift is None
    con.execute(f"delete from gold.equities_x where date >= date '2020-01-01' + {2 * SESSIONS - 1}")
    assert filling(con, "equities_x", ["steady"])["steady"].drift is None


def test_sets_are_known_by_the_columns_that_they_mean(tmp_path: Path) -> None:
    """A set that cannot be read lists nothing here; the check tells."""
    home = write_project(tmp_path)
    write_set(home, "a_v1", "mean_5d", "equities_second.slow_10")
    write_set(home, "b_v1", "equities_second.slow_*")
    (home.configs / "features" / "odd_v1.yml").write_text("name: odd\n")
    found = sets_with(home, evaluate(home.dbt_project))
    assert found["equities_features", "mean_5d"] == ["a_v1"]
    assert found["equities_second", "slow_10"] == ["a_v1", "b_v1"]


def test_sets_are_compared_by_columns_definitions_and_order(tmp_path: Path) -> None:
    """What one has alone, what both have and define differently, and whether the common ones stand in one order."""
    home = write_project(tmp_path)
    write_set(home, "a_v1", "mean_5d", "change_1d", "equities_second.slow_10")
    write_set(home, "b_v1", "change_1d", "mean_5d", "equities_second.slow_20")
    first, second = (read_feature_set(home, name) for name in ("a_v1", "b_v1"))
    other = second.model_copy(update={"definitions": {**second.definitions, "mean_5d": "0" * 64}})
    found = compare_sets(first, other)
    assert (found.only_first, found.only_second, found.redefined) == (("slow_10",), ("slow_20",), ("mean_5d",))
    assert (found.common, found.same_order) == (2, False)
    assert compare_sets(first, first).same_order


def test_runs_are_known_by_where_their_features_lie(home: Home) -> None:
    """A run that reads the second table's noise does not use the core's; a folder that is gone is told."""
    market = home
    write_market(market)
    with_second_table(market)
    write_market_set(market, "slow_v1", ["equities_second.noise"])
    ridge = {"model": {"kind": "ridge"}}
    runs = [
        train(market, load_section(small_config(market, **ridge, **fields), EquitiesConfig), mlflow=False)
        for fields in ({"features": ["noise"]}, {"features": [], "feature_set": "slow_v1"})
    ]
    with read_snapshot(market) as snapshot:
        (core,), _ = runs_with(snapshot.con, market, "equities_features", "noise")
        (second,), lost = runs_with(snapshot.con, market, "equities_second", "noise")
        assert lost == []
        (runs[0].path / "features" / "feature_list.json").unlink()
        found, lost = runs_with(snapshot.con, market, "equities_features", "noise")
    assert core == Use(runs[0].run_id, "fwd_5d", "ridge", None)
    assert second == Use(runs[1].run_id, "fwd_5d", "ridge", "slow_v1")
    assert found == []
    assert lost[0].startswith(runs[0].run_id)


def test_lineage_goes_from_raw_columns_to_runs(tmp_path: Path) -> None:
    """Each layer with the columns that the definition reads there, then the sets that list it and the runs on them."""
    home = write_project(tmp_path)
    evaluation = evaluate(home.dbt_project)
    one = find_feature(evaluation, "change_1d")
    runs = [Use("run-1", "fwd_5d", "ridge", "a_v1"), Use("run-2", "fwd_5d", "lightgbm", None)]
    tree = lineage(one, read_models(home.dbt_project), ["a_v1"], runs)
    assert tree.lines() == [
        "equities_features.change_1d  macros/features/core.sql:4",
        "├─ made from",
        "│  └─ gold.equities_features  change_1d",
        "│     └─ work.panel  close, previous_close",
        "│        └─ bronze.equities__bars",
        "│           └─ raw.equity_bars  close",
        "└─ used by",
        "   ├─ set a_v1",
        "   │  └─ run run-1  ridge",
        "   └─ run run-2  lightgbm",
    ]
    document = json.loads(json.dumps(tree.document()))
    assert document["below"][0]["below"][0]["name"] == "gold.equities_features  change_1d"
    alone = lineage(one, {}, [], [])
    assert alone.lines()[-1] == "└─ used by no set and no registered run"
    assert "no such model in the project" in alone.lines()[2]
