"""The twins of a list of features: every column against its slow reference, and the list's own rules."""

import random
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import cross_section as oracle
from tests.warehouse.cross_sections import (
    FEATURES,
    MACROS,
    Row,
    assert_close,
    assert_no_trace_of_threads,
    bits,
    cross_sections,
    database,
    day,
    feature,
    random_panel,
    values_of,
)
from tests.warehouse.macro_rendering import MacroError

X_AND_Y = [feature("x"), feature("y")]
FACTORS = [feature("f"), feature("g")]
ALL = ["_dm", "_rank", "_sn", "_wz", "_gauss", "_fn"]
# Values are stored as FLOAT: half a unit in the last place of it, and some room for the quantum.
FLOAT_TOLERANCE = 1e-6

REFERENCES: dict[str, Callable[[Sequence[Row], str], oracle.Out]] = {
    "_dm": lambda rows, name: oracle.zscores(values_of(rows, name)),
    "_rank": lambda rows, name: oracle.ranks(values_of(rows, name)),
    "_sn": lambda rows, name: oracle.by_group(values_of(rows, name), values_of(rows, "sector_group")),
    "_wz": lambda rows, name: oracle.zscores(
        oracle.clipped(values_of(rows, name), oracle.mad_caps(values_of(rows, name), 5))
    ),
    "_gauss": lambda rows, name: oracle.gaussian_ranks(values_of(rows, name)),
    "_fn": lambda rows, name: oracle.zscores(
        oracle.residuals(values_of(rows, name), [values_of(rows, "f"), values_of(rows, "g")])
    ),
}


def query(
    features: Sequence[dict[str, Any]] = X_AND_Y,
    twins: object = ALL,
    factors: Sequence[dict[str, Any]] = FACTORS,
    **how: object,
) -> str:
    """All twins by date and symbol, in order."""
    ctes = MACROS.call("cs_twins", "universe", features, twins, factors=factors, **how)
    return f"with {ctes} select * from {how.get('prefix', 'cs')}_twins order by date, symbol"


def twins_of(rows: Sequence[Row], sql: str) -> dict[str, dict[tuple[date, str], Any]]:
    """Column by column, each by date and symbol."""
    cursor = database(rows).execute(sql)
    names = [name for name, *_ in cursor.description]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {name: {(row["date"], row["symbol"]): row[name] for row in found} for name in names}


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_every_twin_equals_its_slow_reference(seed: int, suffix: str) -> None:
    """Of a feature with outliers and ties, and of one that the factors drive."""
    panel = random_panel(seed)
    found = twins_of(panel, query())
    for name in ("x", "y"):
        expected = {}
        for when, members in cross_sections(panel).items():
            values = REFERENCES[suffix](members, name)
            expected.update({(when, row["symbol"]): value for row, value in zip(members, values, strict=True)})
        assert_close(found[name + suffix], expected, FLOAT_TOLERANCE)


def test_the_columns_are_the_keys_and_then_the_named_twins_as_floats() -> None:
    """Feature by feature, in the order of the suffixes; a mapping gives some features more of them."""
    twins = {"_rank": "all", "_fn": ["y"], "_dm": ["x"]}
    names = MACROS.call("cs_twin_names", X_AND_Y, twins)
    assert names == ["x_rank", "x_dm", "y_rank", "y_fn"]
    relation = database(random_panel(1)).sql(query(twins=twins))
    assert relation.columns == ["symbol", "date", *names]
    assert {str(kind) for kind in relation.types[2:]} == {"FLOAT"}
    outside = MACROS.render("select {{ cs_twin_nulls(features, twins) }}", features=X_AND_Y, twins=twins)
    nulls = database([]).sql(outside)
    assert nulls.columns == names
    assert nulls.types == relation.types[2:]
    assert nulls.fetchall() == [(None,) * 4]


@pytest.mark.parametrize("suffix", ALL)
def test_a_twin_does_not_depend_on_the_other_twins(suffix: str) -> None:
    """Asked for alone, for one of the features, it has the same bits as among all of them."""
    panel = random_panel(2)
    alone = bits(database(panel), query(features=[feature("y")], twins=[suffix]))
    together = bits(database(panel), query())
    assert alone == {name: together[name] for name in ("symbol", "date", f"y{suffix}")}


def test_more_features_than_fit_one_ranking_are_all_ranked() -> None:
    """Rankings are made for six features at a time; thirteen features have the ranks of their own values."""
    names = [f"{name}{copy}" for copy in range(3) for name in FEATURES][:13]
    columns = ", ".join(f"{name[0]} as {name}" for name in names)
    panel = random_panel(3)
    con = database(panel)
    con.execute(f"create or replace table wide as select date, symbol, sector_group, {columns} from universe")
    ctes = MACROS.call("cs_twins", "wide", [feature(name) for name in names], ["_rank", "_gauss"])
    wide = bits(con, f"with {ctes} select * from cs_twins order by date, symbol")
    plain = bits(con, query(features=[feature(name) for name in FEATURES], twins=["_rank", "_gauss"]))
    for name in names:
        for suffix in ("_rank", "_gauss"):
            assert wide[name + suffix] == plain[name[0] + suffix]


def test_keys_group_and_prefix_are_names_only() -> None:
    """With a number as key, another name of the group and another prefix the values are the same bits."""
    con = database(random_panel(4))
    expected = bits(con, query())
    con.execute("create or replace table other as select *, sector_group as industry, rowid as row_id from universe")
    ctes = MACROS.call(
        "cs_twins", "other", X_AND_Y, ALL, keys=["row_id"], group="industry", factors=FACTORS, prefix="risk"
    )
    columns = ", ".join(f"risk_twins.{name}" for name in MACROS.call("cs_twin_names", X_AND_Y, ALL))
    sql = f"""
        with {ctes} select other.symbol, other.date, {columns} from other
        inner join risk_twins on other.row_id = risk_twins.row_id order by other.date, other.symbol
    """
    assert bits(con, sql) == expected


@given(
    dates=st.lists(
        st.lists(
            st.lists(
                st.one_of(st.none(), st.integers(-2, 2).map(float), st.floats(-99, 99, width=32)),
                min_size=4,
                max_size=4,
            ),
            min_size=1,
            max_size=6,
        ),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_no_row_is_lost_and_its_order_leaves_no_trace(dates: list[list[list[float | None]]], seed: int) -> None:
    """Whatever is missing; and a value that is there has all of its twins but the residual without factors."""
    panel: list[Row] = [
        {"date": day(i), "symbol": f"S{n}", "sector_group": "ab"[n % 2], **dict.fromkeys(FEATURES), **cells}
        for i, rows in enumerate(dates)
        for n, values in enumerate(rows)
        for cells in [dict(zip(("x", "y", "f", "g"), values, strict=True))]
    ]
    shuffled = random.Random(seed).sample(panel, len(panel))
    assert bits(database(panel), query()) == bits(database(shuffled), query())
    found = twins_of(panel, query())
    assert len(found["x_dm"]) == len(panel)
    for row in panel:
        for name in ("x", "y"):
            for suffix in ALL:
                needed = [name, "f", "g"] if suffix == "_fn" else [name]
                value = found[name + suffix][row["date"], row["symbol"]]
                assert (value is None) == any(row[column] is None for column in needed)
                assert value is None or abs(value) < 1e6


def test_threads_leave_no_trace() -> None:
    """300,000 rows on one thread, on two, and in another order: the same bits in every twin."""
    assert_no_trace_of_threads(query())


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"twins": ["_zz"]}, "a suffix is _zz; it must be one of _dm"),
        ({"twins": {"_dm": ["z"]}}, "a feature of _dm is z"),
        ({"twins": []}, "the list of twins is empty"),
        ({"features": [feature("x", None)]}, "the quantum of x is none"),
        ({"factors": []}, "the list of factors is empty"),
    ],
)
def test_a_wrong_list_is_refused_while_dbt_parses(arguments: dict[str, Any], words: str) -> None:
    """With what was given, and a remedy."""
    with pytest.raises(MacroError, match=words) as refused:
        query(**arguments)
    assert "Remedy" in str(refused.value)
