"""The 48 and the 97 columns against the oracle: random panels, exact names and order, edges."""

from datetime import timedelta
from math import inf

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.trader_panels import LIMIT, MODELS, compare
from tests.oracles import traders as oracle
from tests.warehouse.macro_rendering import Macros
from tests.warehouse.traders.panels import Panel, random_panel
from tests.warehouse.traders.project import START, make, snapshots, table

MACROS = Macros()


def cross(panel: Panel) -> duckdb.DuckDBPyConnection:
    """Return a database with caps, windows, aggregates and composite scores of a panel."""
    con = duckdb.connect(config={"threads": 2})
    snapshots(con, panel)
    make(con, (*MODELS, "gld_traders_composite"))
    return con


@pytest.mark.parametrize("seed", range(12))
def test_random_panels_equal_the_oracle(seed: int) -> None:
    """Caps, 48 columns and 97 aggregates to 1e-9; `benchmarks/trader_panels.py` does the same for a thousand."""
    with duckdb.connect(config={"threads": 2}) as con:
        found = compare(con, random_panel(seed))
    assert max(difference for difference, _ in found.values()) <= LIMIT
    assert all(cells for _, cells in found.values())


def test_columns_have_the_seed_s_names_and_order() -> None:
    """48 columns of a window and 97 of a trader."""
    assert MACROS.call("trader_window_columns") == oracle.per_sample_columns()
    assert MACROS.call("trader_aggregate_columns") == oracle.aggregated_columns()
    assert (len(oracle.per_sample_columns()), len(oracle.aggregated_columns())) == (48, 97)
    con = cross(random_panel(1))
    for model, key in (("gld_traders_windows", "snapshot_date"), ("gld_traders_features", "as_of")):
        names = [row[0] for row in con.execute(f"describe {model}").fetchall()]
        expected = oracle.per_sample_columns() if key == "snapshot_date" else oracle.aggregated_columns()
        assert names == ["address", *expected, key, "known_at"]


def flat(value: float = 1.0, **given: float | None) -> dict[str, float | None]:
    """A snapshot with one value everywhere but where another is given."""
    return {**dict.fromkeys(oracle.FEATURE_COLUMNS, value), **given}


def test_a_cap_looks_back_and_never_forward() -> None:
    """It is 10 at first, follows what has been seen, and a later date changes no earlier one."""
    panel: Panel = {
        ("a", START): flat(profit_factor=inf),
        ("b", START): flat(profit_factor=inf),
        ("a", START + timedelta(days=1)): flat(profit_factor=200.0),
        ("a", START + timedelta(days=2)): flat(profit_factor=1.0),
    }
    caps = cross(panel).execute("select cap from gld_trader_feature_caps order by snapshot_date").fetchall()
    assert caps == [(10.0,), (200.0,), (pytest.approx(1 + 0.95 * 199),)]


def test_a_date_with_one_trader_has_score_0_and_rank_1() -> None:
    """There is nothing to compare with, and a missing value is 0 like any other."""
    con = cross({("a", START): flat(win_rate=None)})
    row = table(con, "gld_traders_windows")["a", START]
    assert {row[name] for name in oracle.per_sample_columns() if name.endswith("_dm")} == {0.0}
    assert {row[name] for name in oracle.per_sample_columns() if name.endswith("_rank")} == {1.0}


def daily(count: int, address: str = "a") -> Panel:
    """A panel of one trader on consecutive days, beside another that stays as it is."""
    panel: Panel = {(address, START + timedelta(days=n)): flat(pnl_7d=float(n)) for n in range(count)}
    panel.update({("other", START + timedelta(days=n)): flat(pnl_7d=0.5) for n in range(count)})
    return panel


def test_fewer_than_sixteen_windows_are_left_out() -> None:
    """The 16th snapshot is the first with aggregates."""
    found = table(cross(daily(17)), "gld_traders_features")
    assert sorted({at for _, at in found}) == [START + timedelta(days=15), START + timedelta(days=16)]
    assert {row["n_windows"] for (_, at), row in found.items() if at == START + timedelta(days=16)} == {17.0}


def test_the_lookback_is_ninety_days_and_the_date_itself() -> None:
    """From the 92nd day on a trader has 91 windows."""
    found = table(cross(daily(95)), "gld_traders_features")
    assert [found["a", START + timedelta(days=n)]["n_windows"] for n in (89, 90, 91, 94)] == [90.0, 91.0, 91.0, 91.0]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-3, 3)), min_size=1, max_size=8))
def test_ranks_lie_in_0_1_and_scores_have_mean_0(values: list[float | None]) -> None:
    """Laws of any cross-section: ranks average (n + 1) / 2n, scores sum to nothing, and order is kept."""
    rounded = [None if value is None else round(float(value), 6) for value in values]
    con = cross({(f"t{n}", START): flat(pnl_30d=value) for n, value in enumerate(rounded)})
    rows = [table(con, "gld_traders_windows")[f"t{n}", START] for n in range(len(values))]
    ranks = [row["pnl_30d_rank"] for row in rows]
    assert sum(ranks) / len(ranks) == pytest.approx((len(ranks) + 1) / 2 / len(ranks))
    assert sum(row["pnl_30d_dm"] for row in rows) == pytest.approx(0, abs=1e-6)
    plain = [value or 0.0 for value in rounded]
    assert sorted(range(len(plain)), key=lambda n: (plain[n], n)) == sorted(
        range(len(plain)), key=lambda n: (ranks[n], n)
    )


def test_the_composite_score_is_the_weighted_mean_of_its_parts() -> None:
    """Weights sum to 1, drawdown counts against, the best rank is 1 and ties share it."""
    parts = MACROS.call("trader_composite_parts")
    assert sum(part["weight"] for part in parts) == pytest.approx(1)
    con = cross(
        {
            ("best", START): flat(3.0, max_drawdown=0.0),
            ("same", START): flat(3.0, max_drawdown=0.0),
            ("worst", START): flat(0.0, max_drawdown=9.0),
        }
    )
    found = {address: row for (address, _), row in table(con, "gld_traders_composite").items()}
    for row in found.values():
        score = sum(part["weight"] * row[f"{part['name']}_part"] for part in parts)
        assert row["composite_score"] == pytest.approx(score)
    assert [found[name]["composite_rank"] for name in ("best", "same", "worst")] == [1, 1, 3]
    assert found["worst"]["max_drawdown_part"] == 0.0
