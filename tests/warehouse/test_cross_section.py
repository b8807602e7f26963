"""Standardising, ranking, winsorising: the macros' SQL against slow references, and their laws."""

import random
from collections.abc import Callable, Sequence
from itertools import permutations
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from tests.oracles import cross_section as oracle
from tests.warehouse.cross_sections import (
    Row,
    answers,
    assert_close,
    assert_no_trace_of_threads,
    bits,
    connection,
    cross_sections,
    database,
    day,
    random_panel,
    rendered,
    values_of,
)
from tests.warehouse.macro_rendering import MacroError

SCALED = """
with moments as (
    select date, {{ group }}count(*) as n_rows, {{ cs_moments('x', x.quantum) }} from universe group by all
),
scale as (
    select date, {{ group }}n_rows, {{ cs_scale('x', x.quantum) }} from moments
)
select universe.date, universe.symbol, {{ value }} as value
from universe inner join scale on universe.date = scale.date {{ joined }}
"""
RANKED = """
with ends as (
    select date, symbol, {{ cs_rank_ends('x', 'date') }} from universe
),
scale as (
    select date, count(*) as n_rows, count(x) as n_x from universe group by date
),
arguments as (
    select universe.date, universe.symbol, {{ cs_rank('universe.x', 'ends', 'scale') }} as x_rank,
        {{ cs_gaussian_rank_arguments('universe.x', 'ends', 'scale') }}
    from universe
    inner join ends on universe.date = ends.date and universe.symbol = ends.symbol
    inner join scale on universe.date = scale.date
)
select date, symbol, {{ value }} as value from arguments
"""
BY_QUANTILE = """
with caps as (
    select date, {{ cs_quantile_caps('x', lower, upper) }} from universe group by date
)
select universe.date, universe.symbol, {{ cs_winsorize('universe.x', 'caps') }} as value
from universe inner join caps on universe.date = caps.date
"""
BY_MAD = """
with medians as (
    select date, {{ cs_median('x') }} from universe group by date
),
deviations as (
    select universe.date, min(medians.mid_x) as mid_x, {{ cs_mad('universe.x', 'medians') }}
    from universe inner join medians on universe.date = medians.date
    group by universe.date
),
caps as (
    select date, {{ cs_mad_caps('x', 'deviations', k) }} from deviations
)
select universe.date, universe.symbol, {{ cs_winsorize('universe.x', 'caps') }} as value
from universe inner join caps on universe.date = caps.date
"""
DEMEANED: dict[str, Any] = {"value": rendered("{{ cs_demean('universe.x', 'scale') }}"), "group": "", "joined": ""}
ZSCORED = {**DEMEANED, "value": rendered("{{ cs_zscore('universe.x', 'scale') }}")}
NEUTRAL: dict[str, Any] = {
    "value": rendered("{{ cs_neutralize('universe.x', 'scale') }}"),
    "group": "sector_group, ",
    "joined": "and universe.sector_group = scale.sector_group",
}
GAUSSIAN: dict[str, Any] = {"value": rendered("{{ cs_gaussian_rank('x', 'arguments') }}")}
PERCENT: dict[str, Any] = {"value": "x_rank"}

# The operators of one column: template, its names, reference, and how close.
OPERATORS: dict[str, tuple[str, dict[str, Any], Callable[[Sequence[Row]], oracle.Out], float]] = {
    "demean": (SCALED, DEMEANED, lambda rows: oracle.demeaned(values_of(rows, "x")), 1e-11),
    "zscore": (SCALED, ZSCORED, lambda rows: oracle.zscores(values_of(rows, "x")), 1e-10),
    "neutralize": (
        SCALED,
        NEUTRAL,
        lambda rows: oracle.by_group(values_of(rows, "x"), [row["sector_group"] for row in rows]),
        1e-10,
    ),
    "rank": (RANKED, PERCENT, lambda rows: oracle.ranks(values_of(rows, "x")), 1e-15),
    "gaussian_rank": (RANKED, GAUSSIAN, lambda rows: oracle.gaussian_ranks(values_of(rows, "x")), 1e-12),
    "quantile": (
        BY_QUANTILE,
        {"lower": 0.05, "upper": 0.9},
        lambda rows: oracle.clipped(values_of(rows, "x"), oracle.quantile_caps(values_of(rows, "x"), 0.05, 0.9)),
        1e-14,
    ),
    "mad": (
        BY_MAD,
        {"k": 2.5},
        lambda rows: oracle.clipped(values_of(rows, "x"), oracle.mad_caps(values_of(rows, "x"), 2.5)),
        1e-14,
    ),
}
NUMBERS = st.one_of(
    st.none(),
    st.integers(-3, 3).map(float),
    st.floats(-1e3, 1e3, width=32, allow_subnormal=False),
    st.sampled_from([-0.0, 0.0]),
)


def one_column(dates: Sequence[Sequence[float | None]]) -> list[Row]:
    """A panel whose column x holds the given values."""
    return [
        {"date": day(index), "symbol": f"S{n:03d}", "sector_group": "ab"[n % 2], **dict.fromkeys("xyfgh"), "x": value}
        for index, values in enumerate(dates)
        for n, value in enumerate(values)
    ]


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("seed", range(4))
def test_every_operator_equals_its_slow_reference(name: str, seed: int) -> None:
    """On panels with ties, missing values, constants, outliers and dates of one row."""
    template, names, reference, tolerance = OPERATORS[name]
    panel = random_panel(seed)
    expected = {}
    for when, rows in cross_sections(panel).items():
        for row, value in zip(rows, reference(rows), strict=True):
            expected[when, row["symbol"]] = value
    assert_close(answers(panel, template, **names), expected, tolerance)


@pytest.mark.parametrize("name", OPERATORS)
@given(dates=st.lists(st.lists(NUMBERS, min_size=1, max_size=9), min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_no_bit_depends_on_the_order_of_rows(name: str, dates: list[list[float | None]], seed: int) -> None:
    """A shuffled table gives the same bits, signs of zeros included."""
    template, names, _, _ = OPERATORS[name]
    rows = one_column(dates)
    shuffled = random.Random(seed).sample(rows, len(rows))
    query = f"select * from ({rendered(template, **names)}) order by date, symbol"
    assert bits(database(rows), query) == bits(database(shuffled), query)


@given(values=st.lists(NUMBERS, min_size=1, max_size=12), power=st.integers(-6, 6))
@settings(max_examples=10, deadline=None)
def test_scaling_laws(values: list[float | None], power: int) -> None:
    """Times 2^k: scores and ranks do not change, deviations and clipped values are 2^k times as large."""
    # On a grid of 1/64: against smaller differences the quantum 1e-12 is no longer small.
    values = [None if value is None else round(value * 64) / 64 for value in values]
    scaled = [None if value is None else value * 2.0**power for value in values]
    for name, (template, names, _, _) in OPERATORS.items():
        factor = 2.0**power if name in ("demean", "quantile", "mad") else 1.0
        before = answers(one_column([values]), template, **names)
        after = answers(one_column([scaled]), template, **names)
        expected = {key: None if value is None else value * factor for key, value in before.items()}
        assert_close(after, expected, 1e-7)


def test_a_cap_that_is_zero_has_no_sign() -> None:
    """0 and -0 are equal, and which of them a sort puts in the middle depends on the order of the rows."""
    rows = one_column([[0.0, -0.0, 5.0]])
    query = rendered(BY_QUANTILE, lower=0.0, upper=0.5)
    ordered = f"select * from ({query}) order by date, symbol"
    found = [bits(database(list(order)), ordered) for order in permutations(rows)]
    assert all(other == found[0] for other in found)


@given(values=st.lists(NUMBERS, min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_a_gaussian_rank_is_odd_and_keeps_the_order(values: list[float | None]) -> None:
    """Of -x it is the negative, bit for bit; equal values share one, larger ones have a larger one."""
    negated = [None if value is None else -value for value in values]
    found = answers(one_column([values]), RANKED, **GAUSSIAN)
    mirrored = answers(one_column([negated]), RANKED, **GAUSSIAN)
    assert mirrored == {key: None if value is None else -value for key, value in found.items()}
    pairs = [(values[int(symbol[1:])], got) for (_, symbol), got in found.items() if got is not None]
    assert all((a < b) == (p < q) for a, p in pairs for b, q in pairs if a is not None and b is not None)


@given(values=st.lists(NUMBERS, min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_a_rank_is_that_of_pandas(values: list[float | None]) -> None:
    """`rank(pct=True)`: equal to the last bit but one."""
    import pandas

    series = pandas.Series(values, dtype="float64").rank(pct=True)
    found = answers(one_column([values]), RANKED, **PERCENT)
    expected = {
        (day(0), f"S{n:03d}"): None if value is None else float(rank)
        for n, (value, rank) in enumerate(zip(values, series, strict=True))
    }
    assert_close(found, expected, 2.3e-16)


@pytest.mark.parametrize("name", OPERATORS)
def test_threads_and_row_order_leave_no_trace_on_a_large_table(name: str) -> None:
    """300,000 rows on one thread, on two, and in another order: the same bits."""
    template, names, _, _ = OPERATORS[name]
    assert_no_trace_of_threads(f"select * from ({rendered(template, **names)}) order by date, symbol")


def test_the_normal_quantile_is_accurate_to_a_part_in_a_trillion() -> None:
    """AS 241 against scipy and the standard library, from 1e-300 to 1/2 and mirrored."""
    tails = np.concatenate([np.geomspace(1e-300, 0.075, 400), np.linspace(0.075, 0.5, 400)])
    query = rendered(
        """
        with arguments as (
            select tail, sign * (0.5 - tail) as q, {{ normal_quantile_argument('(sign * (0.5 - tail))', 'tail') }} as r
            from tails cross join (values (-1), (1)) as signs(sign)
        )
        select tail, q, {{ normal_quantile('q', 'r') }} as value from arguments
        """
    )
    con = connection(1)
    con.execute("create or replace temp table tails as select unnest($tails) as tail", {"tails": tails.tolist()})
    rows = con.execute(query).fetchall()
    assert len(rows) == 1600
    for tail, q, value in rows:
        expected = float(ndtri(tail)) * (-1 if q > 0 else 1)
        assert value == pytest.approx(expected, rel=1e-14, abs=1e-15), tail
        assert value == pytest.approx(NormalDist().inv_cdf(tail) * (-1 if q > 0 else 1), rel=1e-14, abs=1e-15), tail


def test_caps_by_hand() -> None:
    """Of 1, 2, 3, 4 and 100 the median is 3, the MAD 1: with k = 2 the outlier comes down to 5.9652, the rest stays."""
    found = answers(one_column([[1.0, 2.0, 3.0, 4.0, 100.0, None]]), BY_MAD, k=2)
    assert list(found.values())[:4] == [1.0, 2.0, 3.0, 4.0]
    assert found[day(0), "S004"] == pytest.approx(3 + 2 * 1.4826)
    assert found[day(0), "S005"] is None


def test_nothing_is_clipped_where_most_values_are_equal() -> None:
    """Four zeros in six: the MAD is 0 and gives no scale."""
    values = [0.0, 0.0, 0.0, 0.0, 7.0, -1.0]
    assert list(answers(one_column([values]), BY_MAD, k=5).values()) == values


@pytest.mark.parametrize(
    "template, words",
    [
        ("{{ cs_quantile('x', 5) }}", "the probability is 5"),
        ("{{ cs_quantile_caps('x', 0.9, 0.1) }}", "lower, upper is 0.9, 0.1"),
        ("{{ cs_mad_caps('x', 'd', 0) }}", "k is 0"),
    ],
)
def test_a_wrong_argument_is_refused_while_dbt_parses(template: str, words: str) -> None:
    """With what was given, the limit and a remedy."""
    with pytest.raises(MacroError, match=words) as refused:
        rendered(template)
    assert "it must be" in str(refused.value)
    assert "Remedy" in str(refused.value)


def test_deviation_of_a_cross_section_too_large_for_128_bits() -> None:
    """300,000 values of ten thousands on a grid of 1e-11: n times the sum of squares has 138 bits."""
    rows = 300_000
    con = connection(1)
    con.execute(
        "create or replace table universe as select date '2024-01-02' as date, cast(i as varchar) as symbol,"
        f" 2e4 + (hash(i) % 1000003) / 1e2 as x from range({rows}) as numbers(i)"
    )
    moments = rendered(
        "with moments as (select date, count(*) as n_rows, {{ cs_moments('x', '1e-11') }} from universe group by date)"
        " select {{ cs_scale('x', '1e-11', many=true) }} from moments"
    )
    n, mean, deviation = con.execute(moments).fetchall()[0]
    values = con.execute("select x from universe").fetchnumpy()["x"].astype(np.longdouble)
    assert n == rows
    assert mean == pytest.approx(float(values.mean()), rel=1e-14)
    assert deviation == pytest.approx(float(values.std(ddof=1)), rel=1e-14)
