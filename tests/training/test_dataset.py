"""Gold as a matrix."""

from datetime import date
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.training.market import FEATURES, change, with_barriers, with_second_table
from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.errors import ConfigError, DataGateError
from trademl.sleeves.equities import EQUITIES, EquitiesConfig
from trademl.training.dataset import (
    TrainingData,
    load_training,
    resolve_label,
    session_range,
    spans_sql,
)
from trademl.warehouse.read import read_snapshot


def config(**fields: object) -> EquitiesConfig:
    return validate_section(
        {"model": {"kind": "lightgbm"}, "features": list(FEATURES), **fields}, EquitiesConfig, origin="test"
    )


def load(home: Home, excluded: tuple[date, ...] = (), label: str = "fwd_5d", **fields: object) -> TrainingData:
    with read_snapshot(home) as snapshot:
        return load_training(snapshot.con, EQUITIES, config(**fields), label, excluded)


def rows(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with read_snapshot(home) as snapshot:
        return snapshot.con.execute(sql).fetchall()


def test_the_matrix_holds_gold_cell_by_cell(market: Home) -> None:
    """Rows come by date, then symbol; each cell is the float that gold stores, and NULL is NaN."""
    data = load(market)
    expected = rows(
        market,
        f"select date, symbol, value, label_end_date, {', '.join(FEATURES)} from gold.equities_training "
        "where label = 'fwd_5d' order by date, symbol",
    )
    assert data.X.shape == (len(expected), 4)
    assert data.X.dtype == np.float32
    assert data.X.flags.c_contiguous
    cells = np.array([[np.nan if cell is None else cell for cell in row[4:]] for row in expected], dtype=np.float32)
    assert np.isnan(cells).any()
    np.testing.assert_array_equal(data.X, cells)
    assert [data.entities[code] for code in data.spans.entity] == [row[1] for row in expected]
    assert data.dates.astype(object).tolist() == [row[0] for row in expected]
    assert data.label_end.astype(object).tolist() == [row[3] for row in expected]
    np.testing.assert_array_equal(data.value, [row[2] for row in expected])


def test_spans_are_session_ordinals(market: Home) -> None:
    """A five-session label decided at session s ends at session s + 5, whatever weekends lie between."""
    data = load(market)
    np.testing.assert_array_equal(data.spans.end - data.spans.start, 5)
    assert (data.spans.start.min(), data.spans.start.max()) == (0, 154)


def test_the_audit_sees_the_same_spans_in_the_same_order(market: Home) -> None:
    """The spans that the leakage audit reads from the warehouse are, row by row, those of the matrix."""
    data = load(market)
    found = rows(market, f"select * from {spans_sql(EQUITIES, config(), 'fwd_5d')} order by row_id")
    assert [row[0] for row in found] == list(range(len(data)))
    assert [row[1] for row in found] == [data.entities[code] for code in data.spans.entity]
    np.testing.assert_array_equal([row[2] for row in found], data.spans.start)
    np.testing.assert_array_equal([row[3] for row in found], data.spans.end)
    assert all(row[4] <= row[5] for row in found)


def tiny(market: Home) -> None:
    """Leave one date with the labels 1, 2, 2, 7 (symbols S00 to S03) beside the other dates."""
    change(
        market,
        "delete from gold.equities_samples where date = date '2020-01-06' and symbol > 'S03'",
        "update gold.equities_samples set value = case symbol when 'S00' then 1 when 'S03' then 7 else 2 end "
        "where date = date '2020-01-06'",
    )


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"target": "raw"}, [1.0, 2.0, 2.0, 7.0]),
        # The mean is 3.
        ({"target": "demeaned"}, [-2.0, -1.0, -1.0, 4.0]),
        # Average-tie ranks 1, 2.5, 2.5, 4 of 4, less their mean 2.5, over 4.
        ({"target": "rank"}, [-0.375, 0.0, 0.0, 0.375]),
        # Places (rank - 1/2) / 4: 0.125, 0.5, 0.5, 0.875.
        ({"task": "top_bottom", "tail_fraction": 0.2}, [0.0, np.nan, np.nan, 1.0]),
    ],
)
def test_targets_by_hand(market: Home, fields: dict[str, object], expected: list[float]) -> None:
    """Of the labels 1, 2, 2, 7 of one date each target is what a hand computes."""
    tiny(market)
    data = load(market, **fields)
    chosen = data.dates == np.datetime64("2020-01-06")
    np.testing.assert_allclose(data.target[chosen], expected, rtol=1e-15)
    np.testing.assert_array_equal(data.value[chosen], [1.0, 2.0, 2.0, 7.0])
    np.testing.assert_array_equal(data.fitted[chosen], np.isfinite(expected))


def test_choosing_symbols_leaves_targets_alone(market: Home) -> None:
    """The target is relative to the whole universe of the date, also when only one symbol is trained on."""
    tiny(market)
    data = load(market, symbols=["S03"])
    assert data.entities == ("S03",)
    assert data.target[data.dates == np.datetime64("2020-01-06")].tolist() == [4.0]


def test_regimes_choose_what_is_fitted_and_not_what_is_predicted(market: Home) -> None:
    """Rows of other regimes stay in the matrix and out of the fit; weights average 1 over the fitted."""
    everything, some = load(market), load(market, regime=["low", "high"])
    assert len(some) == len(everything)
    assert everything.fitted.all()
    np.testing.assert_array_equal(some.fitted, some.regime != 1)
    assert some.weight[some.fitted].mean() == pytest.approx(1.0)


def test_weights_keep_their_proportions(market: Home) -> None:
    """Weights are the column's, scaled to mean 1; `none` weighs every row 1."""
    data = load(market)
    raw = np.array([row[0] for row in rows(
        market, "select sample_weight from gold.equities_training where label = 'fwd_5d' order by date, symbol"
    )])  # fmt: skip
    np.testing.assert_allclose(data.weight, raw / raw.mean(), rtol=1e-12)
    np.testing.assert_array_equal(load(market, weight="none").weight, 1.0)


def test_excluded_dates_are_left_out(market: Home) -> None:
    """The dates that the gate gives are decision dates without rows; all others are there."""
    left_out = (date(2020, 1, 6), date(2020, 1, 7))
    data = load(market, left_out)
    assert len(load(market)) - len(data) == 2 * 24
    assert not set(left_out) & set(data.dates.astype(object).tolist())


def test_dates_bound_decisions(market: Home) -> None:
    """--start and --end are the first and last decision date, both included."""
    data = load(market, start="2020-02-03", end="2020-02-14")
    assert (data.dates[0], data.dates[-1]) == (np.datetime64("2020-02-03"), np.datetime64("2020-02-14"))


def test_the_gate_looks_at_all_sessions_that_labels_use(market: Home) -> None:
    """The range goes from the first decision to the last label end, and without --end to the last graded session."""
    with read_snapshot(market) as snapshot:
        whole = session_range(snapshot.con, EQUITIES, config(), "fwd_5d")
        part = session_range(snapshot.con, EQUITIES, config(start="2020-02-03", end="2020-02-14"), "fwd_5d")
    assert whole == (date(2020, 1, 1), date(2020, 8, 11))
    assert part == (date(2020, 2, 3), date(2020, 2, 21))


def test_the_hash_is_of_the_data_alone(market: Home) -> None:
    """Reading with one thread or two gives the same hash; one changed label, or another feature order, another."""
    hashes = []
    for threads in (1, 2):
        with read_snapshot(market) as snapshot:
            snapshot.con.execute(f"set threads = {threads}")
            hashes.append(load_training(snapshot.con, EQUITIES, config(), "fwd_5d").data_hash)
    assert hashes[0] == hashes[1]
    assert load(market, features=list(FEATURES[::-1])).data_hash != hashes[0]
    change(
        market,
        "update gold.equities_samples set value = value + 1e-9 where date = date '2020-03-02' and symbol = 'S07'",
    )
    assert load(market).data_hash != hashes[0]


def test_wrong_names_are_refused_with_the_nearest(market: Home) -> None:
    """A symbol or a label that does not exist is an error that says what there is."""
    with read_snapshot(market) as snapshot:
        with pytest.raises(ConfigError, match="labels are fwd_5d, ret_1d"):
            resolve_label(snapshot.con, EQUITIES, config(label="fwd_9d"))
        assert resolve_label(snapshot.con, EQUITIES, config(label="ret_1d")) == "ret_1d"
    with pytest.raises(ConfigError, match="symbols: S0X"):
        load(market, symbols=["S01", "S0X"])


def test_features_of_another_table_stand_beside_those_of_the_core(market: Home) -> None:
    """The rows are those of the training table; each cell is the other table's of the same symbol and date."""
    with_second_table(market)
    chosen = ["equities_second.slow", "signal", "equities_second.fast"]
    data, alone = load(market, features=chosen), load(market, features=["signal"])
    expected = rows(
        market,
        "select t.symbol, t.date, s.slow, t.signal, s.fast from gold.equities_training t "
        "join gold.equities_second s using (symbol, date) where label = 'fwd_5d' order by t.date, t.symbol",
    )
    assert data.feature_names == ("slow", "signal", "fast")
    cells = np.array([[np.nan if cell is None else cell for cell in row[2:]] for row in expected], dtype=np.float32)
    assert np.isnan(cells[:, 0]).any()
    np.testing.assert_array_equal(data.X, cells)
    np.testing.assert_array_equal(data.X[:, 1], alone.X[:, 0])
    for name in ("target", "weight", "dates", "label_end", "regime"):
        np.testing.assert_array_equal(getattr(data, name), getattr(alone, name))


def test_a_table_that_is_behind_is_refused(market: Home) -> None:
    """A feature table without some of the training rows is an error that names it, no matrix with holes."""
    with_second_table(market)
    change(market, "delete from gold.equities_second where date >= date '2020-03-02'", build_id="behind")
    with pytest.raises(DataGateError, match=r"gold.equities_second lacks \d+ of the training rows.* 2020-03-02"):
        load(market, features=["equities_second.fast"])


def test_a_row_that_a_table_has_twice_is_refused(market: Home) -> None:
    """A grain that does not hold would multiply rows; it is an error and no traceback."""
    with_second_table(market)
    change(market, "insert into gold.equities_second select * from gold.equities_second limit 1", build_id="twice")
    with pytest.raises(DataGateError, match="has a row twice"):
        load(market, features=["equities_second.fast"])


def test_a_row_is_known_when_all_of_its_tables_know_it(market: Home) -> None:
    """The leakage audit sees the latest of the known times of the tables that features come from."""
    with_second_table(market)
    change(
        market,
        "update gold.equities_second set known_at = known_at + interval 3 day where symbol = 'S03'",
        build_id="late",
    )
    data = load(market, features=["signal", "equities_second.fast"])
    found = rows(market, f"select * from {spans_sql(EQUITIES, config(), 'fwd_5d', (), data.columns)} order by row_id")
    late = {row[1] for row in found if row[4] > row[5]}
    assert late == {"S03"}
    assert len(found) == len(data)


def test_no_rows_is_an_error_that_says_where_to_look(market: Home) -> None:
    """Dates without rows are refused before anything is read."""
    with pytest.raises(DataGateError, match="no resolved fwd_5d"):
        load(market, start="2031-01-01")
    change(market, "delete from gold.equities_samples")
    with read_snapshot(market) as snapshot, pytest.raises(DataGateError, match="has no rows"):
        resolve_label(snapshot.con, EQUITIES, config())


def test_a_label_that_ends_off_the_calendar_is_refused(market: Home) -> None:
    """Rows are never lost in silence: a label end that is no session is an error."""
    change(market, "update gold.equities_samples set label_end_date = date '2020-01-18' where date = date '2020-01-06'")
    with pytest.raises(DataGateError, match=r"silver\.calendar"):
        load(market)


def test_means_do_not_depend_on_the_order_of_rows() -> None:
    """An ordered average gives the same bits for any number of threads, which the target relies on."""
    values = "select (random() * 1e6)::double as value, i as symbol, i % 3 as date from range(300000) t(i)"
    with duckdb.connect() as con:
        con.execute(f"create table drawn as {values}")
        found = set()
        for threads in (1, 2, 3):
            con.execute(f"set threads = {threads}")
            found.add(
                tuple(
                    con.execute("select avg(value order by symbol) from drawn group by date order by date").fetchall()
                )
            )
    assert len(found) == 1


def test_three_classes_are_what_a_barrier_label_met_first(market: Home) -> None:
    """1 for the profit, -1 for the stop, 0 for neither; the value stays the return."""
    with_barriers(market)
    data = load(market, label="tb_2_1_10", task="three_class", target="raw")
    met = rows(
        market, "select outcome, value from gold.equities_training where label = 'tb_2_1_10' order by date, symbol"
    )
    expected = {"take_profit": 1.0, "stop": -1.0, "timeout": 0.0}
    np.testing.assert_array_equal(data.target, [expected[outcome] for outcome, _ in met])
    np.testing.assert_array_equal(data.value, [value for _, value in met])
    assert set(data.target) == {-1.0, 0.0, 1.0}


def test_three_classes_of_a_label_without_barriers_are_refused(market: Home) -> None:
    """The message names a label that has barriers."""
    with_barriers(market)
    with read_snapshot(market) as snapshot, pytest.raises(ConfigError, match="no barriers") as caught:
        resolve_label(snapshot.con, EQUITIES, config(task="three_class"))
    assert "tb_2_1_10" in str(caught.value.remedy)
