"""Returns of portfolios on out-of-fold predictions: the marts of a real build against loops over single positions."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from fractions import Fraction
from functools import cache
from math import isfinite, nan
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.oracles import economics as oracle
from tests.oracles.equities import Version, known_bars
from tests.oracles.performance import summary
from tests.warehouse.small_market import SYMBOLS, File, Market, make_market, sessions
from tests.warehouse.test_dbt import ingest, new_home
from trademl.config import Home
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.reading import Snapshot, open_snapshot
from trademl.warehouse.dbt import build

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Series.values"
)

QUANTILE, MIN_NAMES, SPREAD_BPS, TURNOVER_LIMIT = Fraction(3, 10), 2, 5, 1.0
RUNS = {"run-1d": 1, "run-5d": 5, "run-20d": 20}
PATHS = (0, 1)
UNRECORDED_SPLIT = ("EEE", 160)
TOO_FEW, ALL_TIED, NOBODY = 30, 31, range(50, 58)
Scores = dict[int, dict[str, float]]


@cache
def market() -> Market:
    """The small market, with a split of EEE that nobody recorded: its labels are suspect there."""
    symbol, first = UNRECORDED_SPLIT

    def halved(row: Version) -> Version:
        if row.symbol != symbol or row.session < first:
            return row
        prices = {name: round(getattr(row, name) / 2, 4) for name in ("open", "high", "low", "close")}
        return replace(row, **prices)

    return Market(
        [File(file.name, [halved(row) for row in file.rows], file.ingested_at) for file in make_market().files]
    )


@cache
def bars() -> dict[str, dict[int, Version]]:
    return {symbol: known_bars(market().versions, symbol, len(sessions()) - 1) for symbol in SYMBOLS}


@cache
def scores(run: str, path: int) -> Scores:
    """Session -> symbol -> prediction: coarse, so that many tie; a stranger without bars, and one without a value."""
    rng = np.random.default_rng([sorted(RUNS).index(run), path])
    drawn: Scores = {}
    for session in range(5, len(sessions())):
        names = [name for name in SYMBOLS if session in bars()[name]]
        if session in NOBODY:
            continue
        row = {name: float(np.round(rng.normal() * 3) / 4) for name in [*names, "ZZZ"]}
        row[names[0]] = nan if session % 7 == 0 else row[names[0]]
        if session == TOO_FEW:
            row = dict(list(row.items())[:3])
        drawn[session] = dict.fromkeys(row, 0.5) if session == ALL_TIED else row
    return drawn


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with predictions landed before its build, so that dbt's own tests see them."""
    home = new_home(tmp_path_factory.mktemp("economics") / "home")
    project = home.dbt_project / "dbt_project.yml"
    text = project.read_text()
    for name, value in (("quantile: 0.2", f"quantile: {float(QUANTILE)}"), ("min_names: 5", f"min_names: {MIN_NAMES}")):
        assert f"economics_{name}" in text
        text = text.replace(f"economics_{name}", f"economics_{value}")
    project.write_text(text)
    ingest(home, market().files)
    for run, horizon in RUNS.items():
        for path in PATHS:
            write_rows(
                layout_of(home),
                "preds.oof",
                [
                    {
                        "sleeve": "equities",
                        "entity": name,
                        "dt": sessions()[session],
                        "horizon": horizon,
                        "label": f"fwd_{horizon}d",
                        "run_id": run,
                        "path_id": path,
                        "split_id": 0,
                        "yhat": yhat,
                        "y": None,
                        "label_end": None,
                        "scored_at": datetime(2020, 1, 1),
                    }
                    for session, row in scores(run, path).items()
                    for name, yhat in row.items()
                ],
            )
    report = build(home)
    assert all(node.status in ("success", "pass") for node in report.nodes)
    return home


@pytest.fixture(scope="module")
def snapshot(home: Home) -> Iterator[Snapshot]:
    """The published snapshot: what users read."""
    with open_snapshot(layout_of(home), guarded=True) as opened:
        yield opened


def answer(con: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return con.execute(query).fetchall()


def number(day: date) -> int:
    return sessions().index(day)


def expected_returns(run: str, path: int) -> dict[str, dict[int, oracle.Day]]:
    return oracle.path_returns(
        bars(),
        scores(run, path),
        RUNS[run],
        last_session=len(sessions()) - 1,
        quantile=QUANTILE,
        min_names=MIN_NAMES,
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("run", RUNS)
def test_holdings_equal_a_loop_over_positions(snapshot: Snapshot, run: str, path: int) -> None:
    """Every name of every tranche on every session: side, entry, exit and worth, without one row more or less."""
    expected = {
        (name, t, held.session): (side, held)
        for t, row in scores(run, path).items()
        for side, names in zip((1, -1), oracle.sides(row, QUANTILE), strict=True)
        for name in names
        for held in oracle.position(bars().get(name, {}), t, RUNS[run], len(sessions()) - 1)
    }
    found = answer(
        snapshot.con,
        "select entity, decision_date, date, side, is_entry, is_exit, value_before, value_after "
        f"from marts.path_holdings where run_id = '{run}' and path_id = {path}",
    )
    assert len(found) == len(expected)
    for entity, decided, day, side, is_entry, is_exit, before, after in found:
        own_side, held = expected[entity, number(decided), number(day)]
        assert (side, is_entry, is_exit) == (own_side, held.is_entry, held.is_exit)
        assert before == pytest.approx(held.before, abs=1e-10)
        assert after == pytest.approx(held.after, abs=1e-10)


def test_the_market_holds_what_is_awkward() -> None:
    """Delisting, absent exit, split, suspect session, ties, pending exits and cash tranches all occur above."""
    last = len(sessions()) - 1
    held = {
        (name, t): oracle.position(bars()[name], t, 5, last)
        for t, row in scores("run-5d", 0).items()
        for names in oracle.sides(row, QUANTILE)
        for name in names
        if name in bars()
    }
    assert any(name == "GGG" and rows and rows[-1].session == 149 + 10 for (name, _), rows in held.items())
    assert any(rows and rows[-1].is_exit and t + 5 < rows[-1].session < t + 10 for (_, t), rows in held.items())
    assert any(name == "BBB" and t < 89 < 90 <= rows[-1].session for (name, t), rows in held.items() if rows)
    assert any(name == "EEE" and t < 159 < 160 <= rows[-1].session for (name, t), rows in held.items() if rows)
    assert any(not rows for rows in held.values())
    assert any(rows and not rows[-1].is_exit for rows in held.values())
    relisted = oracle.position(bars()["FFF"], 95, 20, last)
    assert relisted[-1] == oracle.Held(109, relisted[-2].after, relisted[-2].after, False, True)
    assert any(len(longs) > 3 for longs, _ in (oracle.sides(row, QUANTILE) for row in scores("run-5d", 0).values()))
    assert oracle.sides(scores("run-5d", 0)[ALL_TIED], QUANTILE) == ([], [])
    assert max(map(len, oracle.sides(scores("run-5d", 0)[TOO_FEW], QUANTILE))) < MIN_NAMES
    assert any(not isfinite(yhat) for row in scores("run-5d", 0).values() for yhat in row.values())


@pytest.mark.parametrize("run", RUNS)
def test_daily_returns_of_a_name_compound_to_its_label(snapshot: Snapshot, run: str) -> None:
    """The product of a position's daily growth is 1 + the label of its decision, late exits and delistings included."""
    label = f"fwd_{RUNS[run]}d"
    found = answer(
        snapshot.con,
        "select entity, decision_date, product(value_after / value_before), any_value(labels.value), "
        "max(path_holdings.date), any_value(labels.label_end_date), any_value(labels.outcome) "
        "from marts.path_holdings join gold.equities_labels as labels "
        f"on entity = symbol and decision_date = labels.date and label = '{label}' "
        f"where run_id = '{run}' and labels.value is not null group by path_id, entity, decision_date order by all",
    )
    outcomes = set()
    for entity, decided, grown, value, last, label_end, outcome in found:
        # A label stays as known at its end; bars of AAA and BBB were revised later.
        revised = {"AAA": 110, "BBB": 138}.get(entity)
        if revised is not None and revised - 25 < number(decided) < revised + 3:
            continue
        assert grown == pytest.approx(1 + value, abs=1e-10), (entity, decided)
        assert last == label_end
        outcomes.add(outcome)
    assert len(found) > 300
    assert outcomes == ({"resolved"} if RUNS[run] == 1 else {"resolved", "delisted"})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("run", RUNS)
def test_returns_turnover_and_cost_equal_the_oracle(snapshot: Snapshot, run: str, path: int) -> None:
    """Every session of both strategies, the empty ones between included."""
    for strategy, expected in expected_returns(run, path).items():
        found = answer(
            snapshot.con,
            "select date, gross_return, cost, net_return, turnover, turnover_breach, names_long, names_short "
            f"from marts.path_returns where run_id = '{run}' and path_id = {path} and strategy = '{strategy}' "
            "order by date",
        )
        assert [number(row[0]) for row in found] == sorted(expected)
        for day, gross, cost, net, turnover, breach, names_long, names_short in found:
            own = expected[number(day)]
            assert (names_long, names_short) == (own.names_long, own.names_short)
            assert gross == pytest.approx(own.gross, abs=1e-10)
            assert turnover == pytest.approx(own.traded, abs=1e-10)
            assert cost == pytest.approx(own.traded * SPREAD_BPS / 1e4, abs=1e-13)
            assert net == gross - cost
            assert breach == (turnover > TURNOVER_LIMIT)


def test_too_few_names_ties_and_missing_dates_are_cash(snapshot: Snapshot) -> None:
    """A tranche of one session: neither three names, nor equal predictions, nor no prediction at all trade anything."""
    days = [sessions()[t + 1] for t in (TOO_FEW, ALL_TIED, *NOBODY)]
    listed = ", ".join(f"date '{day}'" for day in days)
    found = answer(
        snapshot.con,
        "select date, gross_return, turnover, cost, names_long, names_short from marts.path_returns "
        f"where run_id = 'run-1d' and path_id = 0 and strategy = 'long_short' and date in ({listed}) order by date",
    )
    assert found == [(day, 0.0, 0.0, 0.0, 0, 0) for day in days]


@pytest.mark.parametrize("strategy", oracle.WEIGHTS)
@pytest.mark.parametrize("run", RUNS)
def test_performance_equals_its_definitions(snapshot: Snapshot, run: str, strategy: str) -> None:
    """Mean, volatility, Sharpe ratio, drawdown, profit factor, turnover and cost of each path's own series."""
    for path in PATHS:
        where = f"run_id = '{run}' and path_id = {path} and strategy = '{strategy}'"
        series = answer(
            snapshot.con,
            f"select net_return, gross_return, turnover, cost from marts.path_returns where {where} order by date",
        )
        net, gross, turnover, cost = (list(column) for column in zip(*series, strict=True))
        found = answer(
            snapshot.con,
            "select sessions, annual_mean, annual_volatility, sharpe, gross_annual_mean, gross_sharpe, max_drawdown, "
            "profit_factor, mean_turnover, total_cost, turnover_breaches "
            f"from marts.path_performance where {where}",
        )
        expected = summary(net, 252)
        assert found == [
            (
                len(net),
                pytest.approx(252 * sum(net) / len(net), abs=1e-12),
                pytest.approx(expected["annualised_volatility"], abs=1e-12),
                pytest.approx(expected["annualised_sharpe"], abs=1e-9),
                pytest.approx(252 * sum(gross) / len(gross), abs=1e-12),
                pytest.approx(summary(gross, 252)["annualised_sharpe"], abs=1e-9),
                pytest.approx(expected["max_drawdown"], abs=1e-12),
                pytest.approx(expected["profit_factor"], abs=1e-9),
                pytest.approx(sum(turnover) / len(turnover), abs=1e-12),
                pytest.approx(sum(cost), abs=1e-12),
                sum(value > TURNOVER_LIMIT for value in turnover),
            )
        ]


@pytest.mark.parametrize("run", RUNS)
def test_the_returns_of_a_run_are_the_mean_over_its_paths(snapshot: Snapshot, run: str) -> None:
    """On every session of any path, both paths counted."""
    expected = {(s, t): [oracle.Day(), oracle.Day()] for s in oracle.WEIGHTS for t in range(len(sessions()))}
    present = set()
    for path in PATHS:
        for strategy, days in expected_returns(run, path).items():
            for t, day in days.items():
                expected[strategy, t][path] = day
                present.add((strategy, t))
    found = answer(
        snapshot.con,
        "select strategy, date, paths, gross_return, cost, net_return, turnover, turnover_breach "
        f"from marts.run_returns where run_id = '{run}' order by all",
    )
    assert {(row[0], number(row[1])) for row in found} == present
    for strategy, day, paths, gross, cost, net, turnover, breach in found:
        both = expected[strategy, number(day)]
        assert paths == 2
        assert gross == pytest.approx(sum(own.gross for own in both) / 2, abs=1e-10)
        assert turnover == pytest.approx(sum(own.traded for own in both) / 2, abs=1e-10)
        assert cost == pytest.approx(turnover * SPREAD_BPS / 1e4, abs=1e-13)
        assert net == pytest.approx(gross - cost, abs=1e-15)
        assert breach == (turnover > TURNOVER_LIMIT)


def test_one_thread_gives_the_same_bits(home: Home) -> None:
    """Returns and their measures do not depend on the number of threads."""
    seen = []
    for threads in (1, 2):
        with open_snapshot(layout_of(home), threads=threads) as opened:
            seen.append(
                [
                    answer(opened.con, f"select * from marts.{mart} order by all")
                    for mart in ("path_returns", "path_performance", "run_returns")
                ]
            )
    assert seen[0] == seen[1]
    assert all(seen[0])


def test_a_condition_on_the_run_reaches_the_predictions(snapshot: Snapshot) -> None:
    """Asking for one run filters each scan of preds.oof by it, so other runs cost nothing."""
    for mart in ("run_returns", "path_performance"):
        plan = answer(snapshot.con, f"explain select * from marts.{mart} where run_id = 'nobody'")[0][1]
        assert plan.count("run_id='nobody'") + plan.count("run_id = 'nobody'") >= 2, plan


def test_grains_hold(snapshot: Snapshot) -> None:
    """No mart repeats its grain."""
    for mart, grain in {
        "path_holdings": "run_id, path_id, horizon, entity, decision_date, date",
        "path_returns": "run_id, path_id, horizon, strategy, date",
        "path_performance": "run_id, path_id, horizon, strategy",
        "run_returns": "run_id, horizon, strategy, date",
    }.items():
        rows, distinct = answer(snapshot.con, f"select count(*), count(distinct ({grain})) from marts.{mart}")[0]
        assert rows == distinct > 0
