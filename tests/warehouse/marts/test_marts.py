"""The marts against hand calculation and against slow oracles written here or in trademl.validation."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from math import ceil, sqrt
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.warehouse.marts.rendered import MARTS, MODELS, warehouse
from trademl.schema import BATCHES
from trademl.validation.calibration import reliability_bins
from trademl.validation.metrics import direction_accuracy, information_coefficient, newey_west_t

FIRST = date(2020, 1, 1)
RUN = "equities-fwd_3d-0123456789ab"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse() as con:
        yield con


def oof(
    con: duckdb.DuckDBPyConnection,
    rows: list[tuple[str, int, float | None, float | None]],
    *,
    path: int = 0,
    run: str = RUN,
    horizon: int = 3,
    scored_at: datetime = datetime(2021, 1, 1),
) -> None:
    """Land out-of-fold rows: entity, day, yhat, y."""
    con.executemany(
        "insert into landed.preds_oof values ('equities', ?, ?, ?, 'fwd_3d', ?, ?, 0, ?, ?, ?, ?)",
        [
            (entity, FIRST + timedelta(day), horizon, run, path, yhat, y, FIRST + timedelta(day + 3), scored_at)
            for entity, day, yhat, y in rows
        ],
    )


def answer(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return con.execute(sql).fetchall()


def panel(seed: int, days: int = 25, entities: int = 23) -> dict[int, dict[str, tuple[float, float]]]:
    """Day -> entity -> (yhat, y) with many ties, entities that come and go, and an outcome of 0 now and then."""
    rng = np.random.default_rng(seed)
    drawn: dict[int, dict[str, tuple[float, float]]] = {}
    for day in range(0, 2 * days, 2):
        drawn[day] = {
            f"E{code:02d}": (
                float(np.round(rng.normal() * 4) / 8),
                float(np.round(rng.normal() * 0.02 * (code % 5 != 0), 3)),
            )
            for code in range(entities)
            if rng.random() < 0.8
        }
    return drawn


def land(con: duckdb.DuckDBPyConnection, drawn: dict[int, dict[str, tuple[float, float]]], path: int = 0) -> None:
    oof(con, [(name, day, *pair) for day, row in drawn.items() for name, pair in row.items()], path=path)


def average_rank(values: list[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


@pytest.mark.parametrize("mart", MARTS)
def test_every_mart_is_empty_before_anything_lands(con: duckdb.DuckDBPyConnection, mart: str) -> None:
    """Marts answer without a row from the first build."""
    assert answer(con, f"select * from marts.{mart}") == []


@pytest.mark.parametrize("table", list(BATCHES))
def test_the_latest_version_of_a_grain_is_shown(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Of two versions of one grain the later one is shown, of two grains both, and never another column order."""
    batch = BATCHES[table]
    landed = f"landed.{table.replace('.', '_')}"
    values = {
        "VARCHAR": "'x'",
        "DATE": "date '2020-01-01'",
        "TIMESTAMP": "timestamp '2020-01-01'",
        "INTEGER": "1",
        "BIGINT": "1",
        "DOUBLE": "1.5",
        "BOOLEAN": "true",
        "DOUBLE[]": "[1.5]",
    }
    payload = next(name for name in batch.columns if name not in (*batch.grain, batch.latest_by))
    for version, key in ((2, "k"), (1, "k"), (1, "other")):
        row = {name: values[kind] for name, kind in batch.columns.items()}
        key_column = next(name for name in batch.grain if batch.columns[name] == "VARCHAR")
        row[key_column] = f"'{key}'"
        row[batch.latest_by] = f"timestamp '2020-01-0{version}'"
        row[payload] = str(version) if batch.columns[payload] != "VARCHAR" else f"'{version}'"
        if batch.columns[payload] in ("DATE", "TIMESTAMP"):
            row[payload] = f"{batch.columns[payload]} '2020-01-0{version}'"
        con.execute(f"insert into {landed} values ({', '.join(row.values())})")
    shown = con.execute(f"select * from {table}")
    assert [column[0] for column in shown.description or []] == list(batch.columns)
    found = shown.fetchall()
    place = list(batch.columns).index(batch.latest_by)
    assert sorted(row[place] for row in found) == [datetime(2020, 1, 1), datetime(2020, 1, 2)]


def test_ic_of_a_known_example(con: duckdb.DuckDBPyConnection) -> None:
    """yhat 1 2 3 4 against y 1 3 2 4: Spearman 1 - 6 (1 + 1) / (4 (16 - 1)) = 0.8; y squared keeps it, Pearson not."""
    oof(con, [("a", 0, 1, 1), ("b", 0, 2, 9), ("c", 0, 3, 4), ("d", 0, 4, 16)])
    rows = answer(
        con, "select sleeve, run_id, label, path_id, horizon, n_entities, ic, rank_ic, date from marts.daily_ic"
    )
    # Pearson: cov = 1/4 (1 + 18 + 12 + 64) - 2.5 * 7.5 = 5; sd = sqrt(1.25), sqrt(354/4 - 56.25) = sqrt(32.25)
    assert rows[0][:6] == ("equities", RUN, "fwd_3d", 0, 3, 4)
    assert rows[0][6] == pytest.approx(5 / sqrt(1.25 * 32.25), abs=1e-12)
    assert rows[0][7] == pytest.approx(0.8, abs=1e-12)
    assert rows[0][8] == FIRST


@pytest.mark.parametrize(
    "rows",
    [
        [("a", 0, 1.0, 1.0), ("b", 0, 2.0, 2.0)],
        [("a", 0, 0.1, 1.0), ("b", 0, 0.1, 2.0), ("c", 0, 0.1, 3.0)],
        [("a", 0, 1.0, 0.3), ("b", 0, 2.0, 0.3), ("c", 0, 3.0, 0.3)],
    ],
    ids=["two entities", "constant predictions", "constant outcomes"],
)
def test_an_undefined_ic_is_null(con: duckdb.DuckDBPyConnection, rows: list[tuple[str, int, float, float]]) -> None:
    """Fewer than 3 entities, or one side constant: NULL, neither 0 nor NaN, and the session is still counted."""
    oof(con, list(rows))
    assert answer(con, "select n_entities, ic, rank_ic from marts.daily_ic") == [(len(rows), None, None)]


def test_rows_without_prediction_or_outcome_do_not_count(con: duckdb.DuckDBPyConnection) -> None:
    """A pending outcome changes neither the ranks nor the size of the cross-section."""
    oof(con, [("a", 0, 1, 1), ("b", 0, 2, 2), ("c", 0, 3, 3), ("d", 0, 9, None), ("e", 0, None, 4)])
    assert answer(con, "select n_entities, rank_ic from marts.daily_ic") == [(3, pytest.approx(1.0))]


def test_ic_with_ties_agrees_with_the_numpy_metric(con: duckdb.DuckDBPyConnection) -> None:
    """On ragged sessions full of ties both coefficients equal those of trademl.validation.metrics, per path."""
    for path in (0, 1):
        drawn = panel(seed=path)
        land(con, drawn, path)
        days = [day for day, row in drawn.items() for _ in row]
        pairs = np.array([pair for row in drawn.values() for pair in row.values()])
        expected = information_coefficient(pairs[:, 0], pairs[:, 1], np.array(days))
        found = answer(con, f"select ic, rank_ic from marts.daily_ic where path_id = {path} order by date")
        np.testing.assert_allclose(np.array(found)[:, 0], expected.pearson, atol=1e-12)
        np.testing.assert_allclose(np.array(found)[:, 1], expected.spearman, atol=1e-12)


def test_deciles_hold_equal_predictions_together(con: duckdb.DuckDBPyConnection) -> None:
    """Ten distinct predictions fill ten deciles; eleven names of which two tie: the decile is ceil(10 rank / n)."""
    oof(con, [(f"e{i}", 0, i, 0.5) for i in range(10)])
    assert answer(con, "select list(decile order by yhat) from marts.oof_ranks") == [(list(range(1, 11)),)]
    oof(con, [(f"e{i}", 1, max(i, 1), 0.5) for i in range(11)])
    expected = [ceil(10 * rank / 11) for rank in (1.5, 1.5, *range(3, 12))]
    later = f"date = date '{FIRST + timedelta(1)}'"
    assert answer(con, f"select list(decile order by yhat, entity) from marts.oof_ranks where {later}") == [(expected,)]


def test_decile_means_and_t_agree_with_the_oracle(con: duckdb.DuckDBPyConnection) -> None:
    """Mean of session means per decile, and Newey-West's t with horizon - 1 = 2 lags as in trademl.validation."""
    drawn = panel(seed=3, days=40)
    land(con, drawn)
    series: dict[int, list[float]] = {}
    counts: dict[int, int] = {}
    for row in drawn.values():
        ranks = average_rank([yhat for yhat, _ in row.values()])
        deciles = [ceil(10 * rank / len(row)) for rank in ranks]
        for decile in sorted(set(deciles)):
            inside = [y for (_, y), own in zip(row.values(), deciles, strict=True) if own == decile]
            series.setdefault(decile, []).append(sum(inside) / len(inside))
            counts[decile] = counts.get(decile, 0) + len(inside)
    found = answer(con, "select decile, n_dates, n_rows, mean_y, t_statistic from marts.decile_returns order by decile")
    assert [row[:3] for row in found] == [(decile, len(series[decile]), counts[decile]) for decile in sorted(series)]
    for decile, _, _, mean, statistic in found:
        assert mean == pytest.approx(float(np.mean(series[decile])), abs=1e-15)
        assert statistic == pytest.approx(newey_west_t(np.array(series[decile]), lags=2), rel=1e-9)


def test_a_decile_without_variation_has_no_t(con: duckdb.DuckDBPyConnection) -> None:
    """The same mean on every session, or one session only, has no standard error."""
    oof(con, [(f"e{i}", day, i, 0.1 * (i + 1)) for i in range(10) for day in range(4)])
    assert {row[0] for row in answer(con, "select t_statistic from marts.decile_returns")} == {None}


def test_hit_rates_of_a_known_example(con: duckdb.DuckDBPyConnection) -> None:
    """Of 10 names 9 moved; 6 of those have the predicted sign, a prediction of 0 has none."""
    yhat = [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5]
    y = [-1, -1, 1, -1, 1, 0, 1, 1, -1, 1]
    oof(con, [(f"e{i}", 0, float(yhat[i]), float(y[i])) for i in range(10)])
    names = "n_entities, hit_rate, top_decile_hit_rate, bottom_decile_hit_rate"
    assert answer(con, f"select {names} from marts.hit_rate") == [(10, pytest.approx(6 / 9), 1.0, 1.0)]
    assert direction_accuracy(np.array(yhat), np.array(y)) == pytest.approx(6 / 9)


def test_hit_rate_is_null_where_nothing_moved(con: duckdb.DuckDBPyConnection) -> None:
    """With fewer than ten names a decile may be empty, and with outcomes of 0 only there is nothing to hit."""
    oof(con, [("a", 0, 1, 0), ("b", 0, 1, 0)])
    names = "hit_rate, top_decile_hit_rate, bottom_decile_hit_rate"
    assert answer(con, f"select {names} from marts.hit_rate") == [(None, None, None)]


def test_turnover_of_a_known_example(con: duckdb.DuckDBPyConnection) -> None:
    """Three names weigh -1/2, 0, 1/2; then the top name leaves and two newcomers come.

    Day 0: a -1/2, b 0, c 1/2. Day 2: b -3/8, a -1/8, d 1/8, e 3/8. Half of |a| 3/8 + |b| 3/8 + |c| 1/2 + |d| 1/8 +
    |e| 3/8 is 7/8. Decile 10 is c, then e: all of it is new.
    """
    oof(con, [("a", 0, 1, 0), ("b", 0, 2, 0), ("c", 0, 3, 0)])
    oof(con, [("b", 2, 1, 0), ("a", 2, 2, 0), ("d", 2, 3, 0), ("e", 2, 4, 0)])
    names = "n_entities, top_decile_turnover, weight_turnover"
    assert answer(con, f"select {names} from marts.turnover order by date") == [(3, None, None), (4, 1.0, 0.875)]


def test_an_unchanged_ranking_has_no_turnover_and_a_reversed_one_all(con: duckdb.DuckDBPyConnection) -> None:
    """Weights depend on ranks only: the same order trades 0, the opposite order the whole book."""
    for day, scale in enumerate((1, 7, -1)):
        oof(con, [(f"e{i:02d}", day, scale * i, 0) for i in range(20)])
    names = "top_decile_turnover, weight_turnover"
    found = answer(con, f"select {names} from marts.turnover order by date")
    assert found == [(None, None), (0.0, pytest.approx(0.0, abs=1e-15)), (1.0, pytest.approx(1.0))]


def test_turnover_agrees_with_the_oracle(con: duckdb.DuckDBPyConnection) -> None:
    """On ragged sessions with ties both turnovers equal a loop over the union of names; paths do not mix."""
    for path in (0, 1):
        land(con, panel(seed=10 + path), path)
    for path in (0, 1):
        drawn = panel(seed=10 + path)
        expected: list[tuple[float | None, float | None]] = []
        before: dict[str, float] = {}
        top_before: set[str] = set()
        for number, row in enumerate(drawn.values()):
            n = len(row)
            ranks = dict(zip(row, average_rank([yhat for yhat, _ in row.values()]), strict=True))
            weights = {name: (2 * rank - n - 1) / (n * n // 2) for name, rank in ranks.items()}
            top = {name for name, rank in ranks.items() if ceil(10 * rank / n) == 10}
            traded = sum(abs(weights.get(name, 0) - before.get(name, 0)) for name in weights.keys() | before.keys()) / 2
            entered = len(top - top_before) / len(top) if top else None
            expected.append((entered, traded) if number else (None, None))
            before, top_before = weights, top
        names = "top_decile_turnover, weight_turnover"
        found = answer(con, f"select {names} from marts.turnover where path_id = {path} order by date")
        for own, other in zip(found, expected, strict=True):
            assert own == tuple(None if value is None else pytest.approx(value, abs=1e-12) for value in other)


def live(con: duckdb.DuckDBPyConnection, rows: list[tuple[str, int, float, float, float | None]]) -> None:
    """Land live scores and labels: ticker, day, yhat, prob_up, value."""
    for ticker, day, yhat, probability, value in rows:
        when = FIRST + timedelta(day)
        con.execute(
            "insert into landed.preds_equities values (?, ?, 5, 'm', 'fwd_5d', ?, 0.1, ?, 0.5, ?)",
            [ticker, when, yhat, probability, datetime(2021, 1, 1)],
        )
        # Another label of the same row must not be taken for this one.
        con.executemany(
            "insert into gold.equities_labels values (?, ?, ?, ?, ?, 'resolved')",
            [(ticker, when, "fwd_5d", value, when), (ticker, when, "ret_1d", -9.0, when)],
        )


def test_live_ic_counts_resolved_labels_of_the_models_own_kind(con: duckdb.DuckDBPyConnection) -> None:
    """Scores meet the label they predict, a pending one is left out; with y in reverse order the rank IC is -1."""
    live(con, [("a", 0, 1, 0.5, 0.3), ("b", 0, 2, 0.5, 0.2), ("c", 0, 3, 0.5, 0.1), ("d", 0, 4, 0.5, None)])
    names = "model_id, label, horizon, n_entities, rank_ic, date"
    assert answer(con, f"select {names} from marts.live_ic") == [("m", "fwd_5d", 5, 3, pytest.approx(-1.0), FIRST)]


def test_scores_made_in_hindsight_are_told_apart(con: duckdb.DuckDBPyConnection) -> None:
    """Scored before the label's last session counts as live; scored on that very day or later does not."""
    end = datetime(2020, 1, 9)
    for ticker, scored_at in (("a", datetime(2020, 1, 8, 23, 59)), ("b", end), ("c", datetime(2021, 1, 1))):
        con.execute(
            "insert into landed.preds_equities values (?, ?, 5, 'm', 'fwd_5d', 1, 0.1, 0.5, 0.5, ?)",
            [ticker, FIRST, scored_at],
        )
        con.execute(
            "insert into gold.equities_labels values (?, ?, 'fwd_5d', 0.1, ?, 'resolved')", [ticker, FIRST, end.date()]
        )
    assert answer(con, "select n_entities, n_before_outcome from marts.live_ic") == [(3, 1)]
    assert answer(con, "select n, n_before_outcome from marts.calibration") == [(3, 1)]


def test_calibration_bins_agree_with_the_reliability_curve(con: duckdb.DuckDBPyConnection) -> None:
    """Bins, counts, means, event rates and the expected calibration error equal those of trademl.validation."""
    rng = np.random.default_rng(4)
    probability = np.clip(np.round(rng.random(200), 3), 0.01, 0.99)
    value = np.where(rng.random(200) < probability, 0.01, -0.01)
    live(con, [(f"e{i:03d}", 0, 0.0, float(probability[i]), float(value[i])) for i in range(200)])
    expected = reliability_bins(probability, (value > 0).astype(float))
    found = np.array(
        answer(con, "select bin, n, share, mean_prob_up, realised_up, gap from marts.calibration order by bin")
    )
    np.testing.assert_array_equal(found[:, 0], expected.index + 1)
    np.testing.assert_array_equal(found[:, 1], expected.count)
    np.testing.assert_allclose(found[:, 3], expected.confidence, atol=1e-12)
    np.testing.assert_allclose(found[:, 4], expected.accuracy, atol=1e-12)
    assert float(found[:, 2] @ np.abs(found[:, 5])) == pytest.approx(expected.ece)


def test_every_mart_is_rendered_here(con: duckdb.DuckDBPyConnection) -> None:
    """No mart is left out of these tests, and each has its contract's columns, in order and type."""
    import yaml

    assert {f"mrt_{mart}.sql" for mart in MARTS} == {path.name for path in (MODELS / "marts").glob("*.sql")}
    contracts = yaml.safe_load((MODELS / "marts" / "marts.yml").read_text())["models"]
    for model in contracts:
        described = answer(con, f"describe marts.{model['name'].removeprefix('mrt_')}")
        stated = [
            (column["name"], column["data_type"].upper().replace("STRING", "VARCHAR")) for column in model["columns"]
        ]
        assert [(row[0], row[1]) for row in described] == stated
