"""Which columns a configuration chooses, and where they lie."""

from hashlib import sha256

import pytest

from tests.training.market import change, with_second_table, write_set
from trademl.config.feature_sets import read_feature_set
from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.sleeves.equities import EQUITIES, EquitiesConfig
from trademl.training.feature_columns import FeatureColumn, choose_columns, other_tables, reference
from trademl.warehouse.read import read_snapshot

CORE, SECOND = "gold.equities_features", "gold.equities_second"


def chosen(home: Home, *features: str) -> tuple[FeatureColumn, ...]:
    config = validate_section({"model": {"kind": "lightgbm"}, "features": features}, EquitiesConfig, origin="test")
    with read_snapshot(home) as snapshot:
        return choose_columns(snapshot.con, EQUITIES, config)


def names(home: Home, *features: str) -> list[str]:
    return [column.name for column in chosen(home, *features)]


def of_set(home: Home, name: str) -> tuple[FeatureColumn, ...]:
    config = validate_section({"model": {"kind": "lightgbm"}, "feature_set": name}, EquitiesConfig, origin="test")
    with read_snapshot(home) as snapshot:
        return choose_columns(snapshot.con, EQUITIES, config, read_feature_set(home, name))


def test_patterns_choose_features_in_the_order_of_the_table(market: Home) -> None:
    """A pattern stands for its columns in table order, a name for itself, and nothing is taken twice."""
    assert names(market, "noise", "*_rank", "n*") == ["noise", "signal_rank", "noise_rank"]
    assert names(market, "equities_features.n*") == ["noise", "noise_rank"]
    assert {column.table for column in chosen(market, "*")} == {CORE}


def test_a_pattern_without_a_table_is_of_the_core_alone(market: Home) -> None:
    """Another feature table that is built changes nothing for a configuration that does not name it."""
    before = chosen(market, "*", "*_rank")
    with_second_table(market)
    assert chosen(market, "*", "*_rank") == before


def test_another_table_is_named_before_the_column(market: Home) -> None:
    """`table.pattern` takes that table's numbers in its order."""
    with_second_table(market)
    found = chosen(market, "signal", "equities_second.*")
    assert (
        [column.name for column in found] == [column.column for column in found] == ["signal", "slow", "fast", "noise"]
    )
    assert {table: len(columns) for table, columns in other_tables(found, EQUITIES).items()} == {SECOND: 3}


def test_two_columns_of_one_name_are_told_apart(market: Home) -> None:
    """The core's keeps its name, the other has its table's before it: a model's names are identifiers, and unique."""
    with_second_table(market)
    found = chosen(market, "equities_second.noise", "noise", "equities_second.noise", "slow")
    assert found == (
        FeatureColumn("equities_second__noise", SECOND, "noise"),
        FeatureColumn("noise", CORE, "noise"),
        FeatureColumn("slow", SECOND, "slow"),
    )
    assert [reference(column, EQUITIES) for column in found] == [
        "equities_second.noise",
        "noise",
        "equities_second.slow",
    ]


def test_a_bare_name_is_found_where_it_lies(market: Home) -> None:
    """A column that only one further table has needs no table; one of the core is the core's, whoever else has it."""
    with_second_table(market)
    assert chosen(market, "slow") == (FeatureColumn("slow", SECOND, "slow"),)
    assert chosen(market, "noise") == (FeatureColumn("noise", CORE, "noise"),)


@pytest.mark.parametrize(
    "wanted, message",
    [
        ("signl_rank", "'signl_rank' is none of the 4 features in gold.equities_features; did you mean signal_rank"),
        ("sector", "is none of the 4 features"),
        ("fast", "'fast' is a column of equities_second, equities_third"),
        ("equities_secnd.fast", "'equities_secnd', which does not exist; did you mean equities_second"),
        ("equities_second.fats", "'equities_second.fats' is none of the 3 features.*did you mean fast"),
        ("equities_third.far", r"equities_third.far needs gold.equities_third.*(?s:.*)feature_tables"),
    ],
)
def test_what_cannot_be_found_is_said_with_what_there_is(market: Home, wanted: str, message: str) -> None:
    """An unknown column or table has its nearest name, an ambiguous one its tables, one not built the switch."""
    with_second_table(market)
    with pytest.raises(ConfigError, match=message):
        chosen(market, wanted)


def test_a_set_is_its_list_in_order(market: Home) -> None:
    """Columns come from whichever table has them, in the order of the file."""
    with_second_table(market)
    write_set(market, "mixed_v1", ["slow", "signal_rank", "equities_second.noise", "equities_features.noise"])
    assert of_set(market, "mixed_v1") == (
        FeatureColumn("slow", SECOND, "slow"),
        FeatureColumn("signal_rank", CORE, "signal_rank"),
        FeatureColumn("equities_second__noise", SECOND, "noise"),
        FeatureColumn("noise", CORE, "noise"),
    )


def test_a_set_whose_definition_changed_is_refused(market: Home) -> None:
    """The message has the set, the feature, both hashes and what to do instead."""
    with_second_table(market)
    pinned = {"slow": sha256(b"slow").hexdigest(), "signal": "0" * 64}
    write_set(market, "mixed_v1", ["slow", "signal"], definitions=pinned)
    with pytest.raises(ConfigError) as caught:
        of_set(market, "mixed_v1")
    told = "mixed_v1 pins 1 definition that gold.feature_catalogue has otherwise: signal: expected 0000000000000000, "
    assert told + f"found {sha256(b'signal').hexdigest()[:16]} (sha256)" in str(caught.value)
    assert "signal_v2 with `version` 2" in caught.value.remedy
    assert "features/mixed_v2.yml" in caught.value.remedy


@pytest.mark.parametrize(
    "features, message",
    [
        (["fast"], "'fast' is a column of equities_second, equities_third"),
        (
            ["slwo"],
            "the feature set odd_v1: 'slwo' is none of the 9 features in gold.feature_catalogue; did you mean slow",
        ),
        (["far"], "odd_v1 needs gold.equities_third, which the snapshot does not have"),
    ],
)
def test_a_set_that_cannot_be_read_is_refused(market: Home, features: list[str], message: str) -> None:
    """A name of two tables, of none, or of a table that is not built."""
    with_second_table(market)
    write_set(market, "odd_v1", features)
    with pytest.raises(ConfigError, match=message):
        of_set(market, "odd_v1")


def test_a_column_that_a_built_table_lacks_is_refused(market: Home) -> None:
    """The catalogue knows a column that the table, built before it was defined, does not have yet."""
    with_second_table(market)
    write_set(market, "mixed_v1", ["slow"])
    change(market, "alter table gold.equities_second drop column slow", build_id="dropped")
    with pytest.raises(ConfigError, match=r"needs gold.equities_second.slow, which the snapshot does not have"):
        of_set(market, "mixed_v1")


def test_a_set_without_a_catalogue_is_refused(market: Home) -> None:
    """A snapshot of an earlier version cannot say where columns lie."""
    write_set(market, "mixed_v1", ["signal"])
    with pytest.raises(ConfigError, match=r"has no gold\.feature_catalogue"):
        of_set(market, "mixed_v1")


def test_a_set_must_have_been_read(market: Home) -> None:
    """A configuration that names a set chooses nothing without it."""
    config = validate_section({"model": {"kind": "ridge"}, "feature_set": "a_v1"}, EquitiesConfig, origin="test")
    with read_snapshot(market) as snapshot, pytest.raises(ConfigError, match="the feature set a_v1 was not read"):
        choose_columns(snapshot.con, EQUITIES, config)
