"""Residuals of a date's regression on factors: the macros' SQL against least squares, and their laws."""

import random
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import cross_section as oracle
from tests.warehouse.cross_sections import (
    FEATURES,
    Row,
    answers,
    assert_close,
    assert_no_trace_of_threads,
    bits,
    cross_sections,
    database,
    day,
    feature,
    random_panel,
    rendered,
    values_of,
)
from tests.warehouse.macro_rendering import MacroError

RESIDUAL = """
with {{ cs_residual_fits('universe', [value, x] if value.name != 'x' else [x], factors, group) }}
select universe.date, universe.symbol, {{ operator('universe.' ~ value.name, columns, 'residual_fits') }} as value
from universe
inner join residual_fits on universe.date = residual_fits.date
    {{ 'and universe.sector_group = residual_fits.sector_group' if group }}
"""
NUMBERS = st.one_of(st.none(), st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32, allow_subnormal=False))
PANELS = st.lists(
    st.lists(st.tuples(st.sampled_from("ab"), NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=14),
    min_size=1,
    max_size=3,
)


def query(value: str, factors: Sequence[str], *, grouped: bool = False, scored: bool = False) -> str:
    """The SQL of the residuals of ``value``, fitted beside those of x."""
    return rendered(
        RESIDUAL.replace("operator(", "cs_residual_zscore(" if scored else "cs_residual("),
        value=feature(value),
        factors=[feature(name) for name in factors],
        columns=[f"universe.{name}" for name in factors],
        group="sector_group" if grouped else None,
    )


def residuals(rows: Sequence[Row], value: str, factors: Sequence[str], **how: bool) -> dict[tuple[date, str], Any]:
    """The residuals by date and symbol."""
    found = database(rows).execute(query(value, factors, **how)).fetchall()
    return {(when, symbol): residual for when, symbol, residual in found}


def by_oracle(
    rows: Sequence[Row], value: str, factors: Sequence[str], *, grouped: bool = False
) -> dict[tuple[date, str], float | None]:
    """The same by least squares."""
    expected = {}
    for when, members in cross_sections(rows).items():
        found = oracle.residuals(
            values_of(members, value),
            [values_of(members, name) for name in factors],
            [row["sector_group"] for row in members] if grouped else None,
        )
        for row, residual in zip(members, found, strict=True):
            expected[when, row["symbol"]] = residual
    return expected


def panel_of(dates: list[list[tuple[str, float | None, float | None, float | None, float | None]]]) -> list[Row]:
    """A panel with the given sectors, x, y, f and g."""
    return [
        {"date": day(index), "symbol": f"S{n:03d}", "sector_group": sector, **dict.fromkeys(FEATURES), **cells}
        for index, rows in enumerate(dates)
        for n, (sector, *values) in enumerate(rows)
        for cells in [dict(zip(("x", "y", "f", "g"), values, strict=True))]
    ]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("factors", [("f",), ("f", "g"), ("f", "g", "h"), ("h", "x", "f", "g")])
@pytest.mark.parametrize("seed", range(3))
def test_residuals_equal_least_squares(seed: int, factors: tuple[str, ...], grouped: bool) -> None:
    """Also where factors are collinear, constant or missing, y is a multiple of a factor, and dates have few rows."""
    panel = random_panel(seed)
    assert_close(residuals(panel, "y", factors, grouped=grouped), by_oracle(panel, "y", factors, grouped=grouped), 1e-9)


def test_a_collinear_factor_is_dropped() -> None:
    """The residuals on f, g and 2 f - 3 g are those on f and g, in any order of the three."""
    panel = [row for row in random_panel(5) if row["date"] == day(8) and row["h"] is not None]
    expected = residuals(panel, "y", ["f", "g"])
    assert_close(residuals(panel, "y", ["f", "g", "h"]), expected, 1e-9)
    # Dropping another one of the three leaves the same plane, up to the rounding of h to a FLOAT.
    assert_close(residuals(panel, "y", ["h", "g", "f"]), expected, 1e-5)


def test_a_value_that_the_factors_explain_has_residual_0() -> None:
    """y = 4 g exactly: neither the residual nor its z-score shows a rounding error."""
    panel = [row for row in random_panel(6) if row["date"] == day(7)]
    for scored in (False, True):
        found = residuals(panel, "y", ["f", "g"], scored=scored)
        assert {value for value in found.values() if value is not None} == {0.0}


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_too_few_rows_are_demeaned(rows: int) -> None:
    """Two factors and an intercept need four rows; with fewer the residual is the value less the mean."""
    values = [(n * n + 1.0, float(n), 1.0 / (n + 1)) for n in range(rows)]
    panel = panel_of([[("a", None, y, f, g) for y, f, g in values]])
    mean = sum(y for y, _, _ in values) / rows
    found = residuals(panel, "y", ["f", "g"])
    assert list(found.values()) == pytest.approx([y - mean for y, _, _ in values], abs=1e-11)


def test_a_date_without_a_complete_row_keeps_its_rows() -> None:
    """With a factor missing everywhere the residuals are missing; no row is lost."""
    panel = [row for row in random_panel(7) if row["date"] == day(6)]
    found = residuals(panel, "y", ["f", "g"])
    assert len(found) == len(panel)
    assert set(found.values()) == {None}


@given(dates=PANELS, grouped=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_residuals_are_orthogonal_finite_and_blind_to_row_order(
    dates: list[list[Any]], grouped: bool, seed: int
) -> None:
    """Sums of residuals, and of residuals times a factor that entered, are 0 to 1e-9; a shuffle changes no bit."""
    panel = panel_of(dates)
    shuffled = random.Random(seed).sample(panel, len(panel))
    ordered = f"select * from ({query('y', ['f', 'g'], grouped=grouped)}) order by date, symbol"
    assert bits(database(panel), ordered) == bits(database(shuffled), ordered)
    found = residuals(panel, "y", ["f", "g"], grouped=grouped)
    for when, members in cross_sections(panel).items():
        rows = [row for row in members if all(row[name] is not None for name in "yfg")]
        sectors = {row["sector_group"] if grouped else "" for row in rows}
        left = np.array([found[when, row["symbol"]] for row in rows], dtype=float)
        assert np.isfinite(left).all()
        for sector in sectors:
            inside = [not grouped or row["sector_group"] == sector for row in rows]
            scale = max(1.0, *(abs(row["y"]) for row in rows))
            assert abs(left[inside].sum()) <= 1e-9 * scale * len(rows)
        if len(rows) <= 2 + len(sectors):
            continue
        entered: list[list[float]] = []
        dummies = np.array([[float((row["sector_group"] if grouped else "") == s) for s in sectors] for row in rows])
        for name in "fg":
            column = np.array([row[name] for row in rows])
            regressors = np.column_stack([dummies, *entered])
            rest = column - regressors @ np.linalg.lstsq(regressors, column, rcond=None)[0]
            centred = column - dummies @ np.linalg.lstsq(dummies, column, rcond=None)[0]
            # Near the threshold of 1e-9 the macro and this check may decide differently whether a factor entered.
            if np.square(rest).sum() > 1e-7 * np.square(centred).sum() and np.square(centred).sum() > 1e-12:
                entered.append(column.tolist())
                norm = np.sqrt(np.square(centred).sum() * max(1.0, np.square([row["y"] for row in rows]).sum()))
                assert abs(left @ centred) <= 1e-9 * norm


@given(dates=PANELS, power=st.integers(-4, 4), shift=st.integers(-5, 5))
@settings(max_examples=15, deadline=None)
def test_residuals_scale_with_the_value_and_not_with_a_factor(dates: list[list[Any]], power: int, shift: int) -> None:
    """r(2^k y + c; f, g) = 2^k r(y; f, g), and r(y; 2^k f + c, g) = r(y; f, g)."""
    panel = [
        {**row, **{name: None if row[name] is None else round(row[name] * 64) / 64 for name in "xyfg"}}
        for row in panel_of(dates)
    ]

    def moved(name: str) -> list[Row]:
        return [{**row, name: None if row[name] is None else row[name] * 2.0**power + shift} for row in panel]

    before = residuals(panel, "y", ["f", "g"])
    scaled = {key: None if value is None else value * 2.0**power for key, value in before.items()}
    assert_close(residuals(moved("y"), "y", ["f", "g"]), scaled, 1e-6)
    assert_close(residuals(moved("f"), "y", ["f", "g"]), before, 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_zscore_of_a_residual_has_deviation_1(seed: int) -> None:
    """It is the z-score of the residuals by themselves."""
    panel = random_panel(seed)
    expected = {}
    plain = residuals(panel, "y", ["f", "g"])
    for when, members in cross_sections(panel).items():
        scores = oracle.zscores([plain[when, row["symbol"]] for row in members])
        expected.update({(when, row["symbol"]): score for row, score in zip(members, scores, strict=True)})
    assert_close(residuals(panel, "y", ["f", "g"], scored=True), expected, 1e-9)


@pytest.mark.parametrize("grouped", [False, True])
def test_threads_leave_no_trace(grouped: bool) -> None:
    """300,000 rows on one thread, on two, and in another order: the same bits."""
    assert_no_trace_of_threads(f"select * from ({query('y', ['f', 'g'], grouped=grouped)}) order by date, symbol")


def test_later_dates_change_no_residual() -> None:
    """A date's residuals are a function of its own rows."""
    panel = random_panel(8)
    early = [row for row in panel if row["date"] < day(9)]
    template = query("y", ["f", "g", "h"])
    later = answers(panel, template)
    assert answers(early, template) == {key: value for key, value in later.items() if key[0] < day(9)}


@pytest.mark.parametrize(
    "template, words",
    [
        ("{{ cs_residual_fits('universe', [y], []) }}", "values or factors is empty"),
        ("{{ cs_residual_fits('universe', [y], [{'name': 'f', 'quantum': none}]) }}", "the quantum of f is none"),
    ],
)
def test_a_wrong_argument_is_refused_while_dbt_parses(template: str, words: str) -> None:
    """With a remedy."""
    with pytest.raises(MacroError, match=words):
        rendered(template)
