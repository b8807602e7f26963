"""Immutable batches of predictions and evidence."""

import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lake.small_warehouse import child, first_line
from trademl.clock import Clock
from trademl.errors import SnapshotError
from trademl.lake.batches import latest_sql, write_batch, write_rows
from trademl.lake.layout import Layout
from trademl.schema import BATCHES

TABLE = BATCHES["preds.equities"]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "lake")


@pytest.fixture
def now() -> Clock:
    """A clock that moves on a second with each call."""
    seconds: Iterator[int] = iter(range(60))
    return lambda: datetime(2020, 1, 2, 0, 0, next(seconds), tzinfo=UTC)


def row(ticker: str = "A", yhat: float | None = 0.5, hour: int = 1, **other: Any) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "dt": date(2020, 1, 1),
        "horizon": 5,
        "model_id": "m",
        "label": "fwd_5d",
        "yhat": yhat,
        "yhat_std": 0.1,
        "prob_up": 0.5,
        "rank_pct": 1.0,
        "scored_at": datetime(2020, 1, 2, hour),
        **other,
    }


def shown(layout: Layout) -> list[tuple[Any, ...]]:
    query = latest_sql(TABLE, layout.batch_files("preds.equities"))
    return duckdb.sql(f"select ticker, yhat, scored_at from ({query}) order by ticker").fetchall()


def test_batch_has_the_tables_columns_sorted_by_grain_and_is_read_only(layout: Layout, now: Clock) -> None:
    """A batch holds exactly the table's columns with its types, in grain order, in a file of mode 0444."""
    path = write_rows(layout, "preds.equities", [row("B"), row("A"), row("C")], now=now)
    assert path is not None
    assert path.parent == layout.root / "preds" / "equities"
    assert path.name.startswith("20200102T000000000000Z-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    described = duckdb.sql(f"describe select * from '{path}'").fetchall()
    assert {name: kind for name, kind, *_ in described} == TABLE.columns
    assert [ticker for (ticker,) in duckdb.sql(f"select ticker from '{path}'").fetchall()] == ["A", "B", "C"]


def test_writing_the_same_rows_twice_changes_nothing(layout: Layout, now: Clock) -> None:
    """The same rows, in another order and scored later, add no file: the first one is returned."""
    first = write_rows(layout, "preds.equities", [row("A", hour=1), row("B", hour=1)], now=now)
    second = write_rows(layout, "preds.equities", [row("B", hour=9), row("A", hour=9)], now=now)
    assert first == second
    assert layout.batch_files("preds.equities") == [first]


def test_going_back_to_old_values_is_a_new_batch(layout: Layout, now: Clock) -> None:
    """A, then B, then A again ends at A: the last write counts although its rows were written before."""
    write_rows(layout, "preds.equities", [row(yhat=1.0, hour=1)], now=now)
    write_rows(layout, "preds.equities", [row(yhat=2.0, hour=2)], now=now)
    assert shown(layout) == [("A", 2.0, datetime(2020, 1, 2, 2))]
    write_rows(layout, "preds.equities", [row(yhat=1.0, hour=3)], now=now)
    assert shown(layout) == [("A", 1.0, datetime(2020, 1, 2, 3))]
    assert len(layout.batch_files("preds.equities")) == 3


def test_view_shows_the_latest_row_per_grain(layout: Layout, now: Clock) -> None:
    """A later score replaces an earlier one of its grain, whichever was written first; a tie goes to the later file."""
    write_rows(layout, "preds.equities", [row("A", 1.0, hour=5), row("B", 1.0, hour=5), row("C", 1.0, hour=5)], now=now)
    write_rows(layout, "preds.equities", [row("A", 2.0, hour=4), row("B", 2.0, hour=6), row("C", 2.0, hour=5)], now=now)
    assert [(ticker, yhat) for ticker, yhat, _ in shown(layout)] == [("A", 1.0), ("B", 2.0), ("C", 2.0)]


def test_missing_values_differ_from_values_in_the_content(layout: Layout, now: Clock) -> None:
    """NULL and a number are different contents, and NaN survives the round trip."""
    write_rows(layout, "preds.equities", [row(yhat=None)], now=now)
    write_rows(layout, "preds.equities", [row(yhat=float("nan"), hour=2)], now=now)
    assert len(layout.batch_files("preds.equities")) == 2
    assert duckdb.sql(f"select isnan(yhat) from ({latest_sql(TABLE, layout.batch_files(TABLE.name))})").fetchall() == [
        (True,)
    ]


def test_view_without_batches_is_typed_and_empty() -> None:
    """Every batch table exists, empty and with its column types, before anything is written."""
    for table in BATCHES.values():
        relation = duckdb.sql(latest_sql(table, []))
        assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == table.columns
        assert relation.fetchall() == []


OOF = BATCHES["preds.oof"]


def oof_row(path_id: int, yhat: float, hour: int = 1, **other: Any) -> dict[str, Any]:
    return {
        "sleeve": "equities",
        "entity": "A",
        "dt": date(2020, 1, 1),
        "horizon": 5,
        "label": "fwd_5d",
        "run_id": "run-1",
        "path_id": path_id,
        "split_id": 0,
        "yhat": yhat,
        "y": 0.0,
        "label_end": date(2020, 1, 8),
        "scored_at": datetime(2020, 1, 2, hour),
        **other,
    }


def oof_shown(layout: Layout) -> tuple[str, list[tuple[Any, ...]]]:
    """The SQL of preds.oof and the predictions it shows."""
    query = latest_sql(OOF, layout.batch_files(OOF.name))
    return query, duckdb.sql(f"select run_id, path_id, yhat from ({query}) order by all").fetchall()


@pytest.fixture
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask files of any size whether they share rows."""
    monkeypatch.setattr("trademl.lake.batches._LARGE", 1)


@pytest.mark.usefixtures("every_size")
def test_batches_that_share_no_grain_are_read_without_looking_for_versions(layout: Layout, now: Clock) -> None:
    """One batch a path and run: the ranges of one column suffice, also of a text and of numbers past nine."""
    for path_id in (2, 10):
        write_rows(layout, OOF.name, [oof_row(path_id, 0.5)], now=now)
    write_rows(layout, OOF.name, [oof_row(path_id, 0.7, run_id="run-2") for path_id in (1, 11)], now=now)
    query, rows = oof_shown(layout)
    assert "row_number" not in query
    assert rows == [("run-1", 2, 0.5), ("run-1", 10, 0.5), ("run-2", 1, 0.7), ("run-2", 11, 0.7)]


@pytest.mark.usefixtures("every_size")
def test_batches_that_may_share_a_grain_show_their_latest_versions(layout: Layout, now: Clock) -> None:
    """A batch that another one replaces in part shows the later rows; one beside them is still read as it is."""
    write_rows(layout, OOF.name, [oof_row(0, 0.1, hour=5), oof_row(1, 0.1, hour=1)], now=now)
    write_rows(layout, OOF.name, [oof_row(0, 0.2, hour=4), oof_row(1, 0.2, hour=6)], now=now)
    write_rows(layout, OOF.name, [oof_row(2, 0.3)], now=now)
    query, rows = oof_shown(layout)
    assert query.count("row_number") == 1
    assert "union all" in query
    assert rows == [("run-1", 0, 0.1), ("run-1", 1, 0.2), ("run-1", 2, 0.3)]


@pytest.mark.usefixtures("every_size")
def test_ranges_that_meet_in_one_value_count_as_shared(layout: Layout, now: Clock) -> None:
    """Two batches with all their values in common ranges are never taken for separate, whatever their rows are."""
    write_rows(layout, OOF.name, [oof_row(0, 0.1), oof_row(2, 0.1, dt=date(2020, 1, 3))], now=now)
    write_rows(layout, OOF.name, [oof_row(2, 0.2, hour=9), oof_row(4, 0.2)], now=now)
    query, rows = oof_shown(layout)
    assert "row_number" in query
    assert rows == [("run-1", 0, 0.1), ("run-1", 2, 0.1), ("run-1", 2, 0.2), ("run-1", 4, 0.2)]


@pytest.mark.usefixtures("every_size")
def test_long_texts_are_compared_to_their_end(layout: Layout, now: Clock) -> None:
    """Run ids that differ in their last letter only are told apart, and equal ones are not."""
    for end, yhat, hour in (("a", 0.1, 1), ("b", 0.2, 1), ("a", 0.3, 2)):
        write_rows(layout, OOF.name, [oof_row(0, yhat, hour, run_id="r" * 60 + end)], now=now)
    query, rows = oof_shown(layout)
    assert "union all" in query
    assert [(run_id[-1], yhat) for run_id, _, yhat in rows] == [("a", 0.3), ("b", 0.2)]


@pytest.mark.usefixtures("every_size")
def test_a_batch_without_statistics_may_share_rows_with_any(layout: Layout, now: Clock) -> None:
    """A file that does not tell its ranges is searched for versions together with all others."""
    import pyarrow.parquet as pq

    first = write_rows(layout, OOF.name, [oof_row(0, 0.1)], now=now)
    write_rows(layout, OOF.name, [oof_row(1, 0.2)], now=now)
    assert first is not None
    silent = first.with_name("20200103T000000000000Z-000000000000.parquet")
    pq.write_table(pq.read_table(first), silent, write_statistics=False)
    query, rows = oof_shown(layout)
    assert "union all" not in query
    assert rows == [("run-1", 0, 0.1), ("run-1", 1, 0.2)]


@pytest.mark.usefixtures("every_size")
@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from("ab"), st.integers(1, 9)),
            min_size=1,
            max_size=4,
            unique_by=lambda drawn: drawn[:3],
        ),
        max_size=6,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_latest_versions_are_those_of_a_search_over_all_batches(
    tmp_path: Path, batches: list[list[tuple[int, int, str, int]]]
) -> None:
    """Whatever the batches share, the rows shown are the ones that looking through all of them in a loop gives."""
    layout = Layout(Path(tempfile.mkdtemp(dir=tmp_path)) / "lake")
    ticks = iter(range(60))
    expected: dict[tuple[str, int, date], tuple[int, int, float]] = {}
    for number, batch in enumerate(batches):
        rows = [
            oof_row(path_id, number + place / 10, hour, run_id=run_id, dt=date(2020, 1, 1 + day))
            for place, (path_id, day, run_id, hour) in enumerate(batch)
        ]
        write_rows(layout, OOF.name, rows, now=lambda: datetime(2020, 1, 2, 0, 0, next(ticks), tzinfo=UTC))
        for row in rows:
            key = (row["run_id"], row["path_id"], row["dt"])
            version = (row["scored_at"].hour, number, row["yhat"])
            expected[key] = max(expected.get(key, version), version)
    query = latest_sql(OOF, layout.batch_files(OOF.name))
    found = duckdb.sql(f"select run_id, path_id, dt, yhat from ({query})").fetchall()
    assert len(found) == len(expected)
    assert {row[:3]: row[3] for row in found} == {key: yhat for key, (_, _, yhat) in expected.items()}


def test_relation_sql_and_arrow_table_are_sources(layout: Layout, now: Clock) -> None:
    """Rows may come as SQL over a connection, as a relation of it, or as an Arrow table, in any column order."""
    with duckdb.connect() as con:
        con.execute(
            "create table scores as select now()::timestamp as scored_at, 'A' as ticker, date '2020-01-01' as dt, "
            "5::tinyint as horizon, 'm' as model_id, 'l' as label, 1::float as yhat, null as yhat_std, "
            "0.5 as prob_up, 1 as rank_pct"
        )
        paths = {
            write_batch(layout, "preds.equities", "from scores", con, now=now),
            write_batch(layout, "preds.equities", con.table("scores"), now=now),
            write_batch(layout, "preds.equities", con.sql("from scores").to_arrow_table(), now=now),
        }
    assert len(paths) == 1


def test_no_rows_make_no_batch(layout: Layout) -> None:
    """Nothing to write writes nothing."""
    assert write_rows(layout, "preds.equities", []) is None
    empty = pa.table({name: pa.array([], pa.string()) for name in TABLE.columns})
    assert write_batch(layout, "preds.equities", empty) is None
    assert not list(layout.batches("preds.equities").iterdir())


@pytest.mark.parametrize(
    "rows,message",
    [
        ([{key: value for key, value in row().items() if key != "yhat"}], r"lacks \['yhat'\]"),
        ([row(note="x")], r"unknown columns \['note'\]"),
        ([row(), row()], "1 repeated grains"),
        ([row(ticker=None)], "1 rows with a NULL"),
        ([row(dt="yesterday")], "wrong type"),
    ],
)
def test_wrong_rows_are_refused_and_leave_no_file(layout: Layout, rows: list[dict[str, Any]], message: str) -> None:
    """A batch with a missing or unknown column, a doubled or NULL grain, or a wrong type is refused as a whole."""
    with pytest.raises(SnapshotError, match=message):
        write_rows(layout, "preds.equities", rows)
    assert layout.batch_files("preds.equities") == []


@pytest.mark.fault
def test_killed_writer_leaves_no_batch(layout: Layout) -> None:
    """kill -9 while batches are written leaves whole batches only; what is half written is invisible."""
    writer = child(
        "import sys, duckdb, itertools\nfrom pathlib import Path\nfrom trademl.lake.batches import write_batch\n"
        "from trademl.lake.layout import Layout\nlayout = Layout(Path(sys.argv[1]))\ncon = duckdb.connect()\n"
        "for n in itertools.count():\n"
        "    write_batch(layout, 'preds.equities', f\"select 'T' || i as ticker, date '2020-01-01' as dt, "
        "5 as horizon, 'm' as model_id, 'l' as label, {n}.0 as yhat, 0.1 as yhat_std, 0.5 as prob_up, 0.5 as rank_pct, "
        "timestamp '2020-01-01' + interval {n} second as scored_at from range(20000) t(i)\", con)\n"
        "    print(n, flush=True)",
        str(layout.root),
    )
    while first_line(writer) != "3":
        pass
    writer.kill()
    writer.communicate()
    files = layout.batch_files("preds.equities")
    assert len(files) >= 4
    counted = duckdb.sql(f"select count(*), count(distinct yhat) from ({latest_sql(TABLE, files)})").fetchall()
    assert counted == [(20000, 1)]
