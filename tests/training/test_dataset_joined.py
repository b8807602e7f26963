"""A training table without feature columns: they are read from the sleeve's feature table."""

from pathlib import Path

import numpy as np
import pytest

from tests.sleeves.events.event_market import FEATURES, NUMERIC, Touches, write_touches
from tests.training.market import change
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.sleeves.events.train import EVENTS
from trademl.training.config import TrainingConfig
from trademl.training.dataset import load_training, resolve_label, spans_sql
from trademl.training.feature_columns import choose_columns, other_tables
from trademl.warehouse.read import read_snapshot


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a few sessions of events over two years."""
    root = tmp_path_factory.mktemp("joined") / "home"
    make_home(root, bundle())
    made = Home(root)
    write_touches(made, Touches(sessions=12, per_session=10))
    # The last session moves to the next year: rows of both years are read, each with its own features.
    last = "when date = (select max(date) from silver.calendar) then date '2026-01-02'"
    moved = f"date = case {last} else date end"
    change(
        made,
        f"update gold.events_training set {moved}, label_end_date = case {last} else label_end_date end",
        f"update gold.events_features set {moved}",
        f"update silver.event_coverage set {moved}",
        f"update silver.calendar set {moved}",
    )
    return made


def config(**fields: object) -> TrainingConfig:
    return validate_section(
        {"model": {"kind": "lightgbm"}, "features": list(FEATURES), "target": "raw", **fields},
        TrainingConfig,
        origin="test",
    )


def test_the_matrix_holds_the_features_of_each_event(home: Home) -> None:
    """Cell by cell, in the order of dates and events, NULL as NaN, over two years."""
    with read_snapshot(home) as snapshot:
        data = load_training(snapshot.con, EVENTS, config(task="binary"), "direction")
        expected = snapshot.con.execute(
            f"select event_id, date, value, {', '.join(FEATURES)} from gold.events_training "
            "inner join gold.events_features using (event_id, date) where label = 'direction' order by date, event_id"
        ).fetchall()
    cells = np.array([[np.nan if cell is None else cell for cell in row[3:]] for row in expected], dtype=np.float32)
    np.testing.assert_array_equal(data.X, cells)
    assert np.isnan(cells[:, NUMERIC.index("tape_velocity_trend")]).all()
    assert [data.entities[code] for code in data.spans.entity] == [row[0] for row in expected]
    np.testing.assert_array_equal(data.target, [row[2] for row in expected])
    assert {str(day)[:4] for day in data.dates} == {"2025", "2026"}
    assert data.horizon == 1
    np.testing.assert_array_equal(data.spans.start, data.spans.end)


def test_patterns_choose_among_the_columns_of_the_feature_table(home: Home) -> None:
    """No column of the training table is a feature, and the audit knows where to look."""
    with read_snapshot(home) as snapshot:
        chosen = choose_columns(snapshot.con, EVENTS, config(features=["*"]))
        wrong = config(features=["sample_weight"])
        with pytest.raises(ConfigError, match=r"none of the 8 features in gold\.events_features"):
            choose_columns(snapshot.con, EVENTS, wrong)
        spans = snapshot.con.execute(
            f"select count(*), count(known_at) from {spans_sql(EVENTS, config(), 'direction', (), chosen)}"
        ).fetchall()
        count = snapshot.con.execute("select count(*) from gold.events_training where label = 'direction'").fetchall()
    assert [column.name for column in chosen] == list(FEATURES)
    assert list(other_tables(chosen, EVENTS)) == ["gold.events_features"]
    assert spans == [(count[0][0], count[0][0])]


def test_a_probability_needs_labels_of_zero_and_one(home: Home, tmp_path: Path) -> None:
    """A size is no event; the message has the values."""
    with read_snapshot(home) as snapshot:
        named = resolve_label(snapshot.con, EVENTS, config(task="binary", label="direction"))
        assert named == "direction"
        with pytest.raises(ConfigError, match=r"'strength', of which 120 values from .* neither 0 nor 1"):
            resolve_label(snapshot.con, EVENTS, config(task="binary", label="strength"))
