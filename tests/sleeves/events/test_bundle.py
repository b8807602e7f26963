"""A bundle's predictions, against its files read by other means."""

import json
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.sleeves.events.event_market import FEATURES
from trademl.config.home import Home
from trademl.errors import ArtifactError, ModelError
from trademl.sleeves.events.bundle import TreeModelBundle, TreePredictions, read_columns
from trademl.sleeves.events.heads import model_dir
from trademl.sleeves.events.projection import violations
from trademl.sleeves.events.train import EventsResult
from trademl.warehouse.read import read_snapshot

REACH = ("t1_probs", "t2_probs", "t1_break_probs", "t1_bounce_probs", "t2_break_probs", "t2_bounce_probs")


def events_of(home: Home) -> pa.Table:
    with read_snapshot(home) as snapshot:
        return snapshot.con.sql("select * from gold.events_features order by date, event_id").to_arrow_table()


def loaded(home: Home) -> TreeModelBundle:
    return TreeModelBundle(model_dir(home), "stage_b", "full", [60])


def arrays_of(found: TreePredictions) -> dict[str, np.ndarray]:
    plain = {name: getattr(found, name) for name in ("tradeable_2", "p_break", "strength_signed")}
    return plain | {f"{name}_{h}": values for name in REACH for h, values in getattr(found, name).items()}


def test_scores_are_those_of_the_native_files_bit_for_bit(heads_once: tuple[Home, EventsResult]) -> None:
    """LightGBM, reading the text of each head, gives the score that the graph gives."""
    home, _ = heads_once
    table = events_of(home)
    bundle = loaded(home)
    X = np.column_stack([table.column(name).to_numpy() for name in FEATURES])
    for head, score in bundle.scores(table).items():
        booster = lightgbm.Booster(model_file=str(model_dir(home) / f"{head}_stage_b_full.txt"))
        np.testing.assert_array_equal(score, booster.predict(X, raw_score=True, num_threads=1))


def test_probabilities_are_the_calibrated_scores(heads_once: tuple[Home, EventsResult]) -> None:
    """By the sigmoid whose two numbers stand in the file, within its range."""
    home, _ = heads_once
    table = events_of(home)
    bundle = loaded(home)
    scores, found = bundle.scores(table), bundle.predict(table)
    for head, given in (("tradeable_2", found.tradeable_2), ("direction", found.p_break)):
        facts = json.loads((model_dir(home) / f"{head}_stage_b_full.json").read_text())
        a, b = facts["calibrator"]["a"], facts["calibrator"]["b"]
        expected = np.clip(1 / (1 + np.exp(a * scores[head] + b)), *facts["clip"])
        np.testing.assert_allclose(given, expected, rtol=1e-12)
    np.testing.assert_array_equal(found.strength_signed, scores["strength"])


def test_what_is_said_of_thresholds_holds_together(heads_once: tuple[Home, EventsResult]) -> None:
    """Not one of 1200 events breaks an inequality, though the heads by themselves do."""
    home, _ = heads_once
    table = events_of(home)
    found = loaded(home).predict(table)
    sides = {"either": "", "break": "_break", "bounce": "_bounce"}
    reach = {
        side: np.array([[getattr(found, f"t{k}{suffix}_probs")[60]] for k in (1, 2)]) for side, suffix in sides.items()
    }
    assert violations(reach) == 0
    assert (found.t2_probs[60] <= found.t1_probs[60]).all()


def test_both_kinds_of_table_give_the_same(heads_once: tuple[Home, EventsResult]) -> None:
    """Arrow with NULL, pandas with NaN, columns in another order: the same predictions."""
    home, _ = heads_once
    table = events_of(home)
    bundle = loaded(home)
    frame = table.to_pandas()
    expected = arrays_of(bundle.predict(table))
    for other in (frame, frame[frame.columns[::-1]], pa.Table.from_pandas(frame)):
        for name, values in arrays_of(bundle.predict(other)).items():
            np.testing.assert_array_equal(values, expected[name])


def test_an_event_is_scored_alone_as_among_others(heads_once: tuple[Home, EventsResult]) -> None:
    """Permuting events permutes predictions, and a single event gets what it gets among 1200."""
    home, _ = heads_once
    table = events_of(home)
    bundle = loaded(home)
    expected = arrays_of(bundle.predict(table))
    order = np.random.default_rng(1).permutation(len(table))
    mixed = arrays_of(bundle.predict(table.take(order)))
    alone = arrays_of(bundle.predict(table.slice(7, 1)))
    for name, values in expected.items():
        np.testing.assert_array_equal(mixed[name], values[order])
        np.testing.assert_array_equal(alone[name], values[7:8])


def test_no_events_are_no_predictions(heads_once: tuple[Home, EventsResult]) -> None:
    """A table without rows gives empty arrays."""
    home, _ = heads_once
    found = arrays_of(loaded(home).predict(events_of(home).slice(0, 0)))
    assert {len(values) for values in found.values()} == {0}
    assert len(found) == 9


def test_a_bundle_without_a_head_says_how_to_train_it(heads_once: tuple[Home, EventsResult]) -> None:
    """Horizons, timeframes, stages and folders that were not trained are named with the command."""
    home, _ = heads_once
    folder = model_dir(home)
    with pytest.raises(ModelError, match=r"no head t1_120s(.|\n)*trademl train events"):
        TreeModelBundle(folder, "stage_b", "full", [60, 120])
    with pytest.raises(ModelError, match="no head tradeable_2_8min"):
        TreeModelBundle(folder, "stage_b", "full", [60], timeframe="8min")
    with pytest.raises(ModelError, match="no bundle of stage_a full"):
        TreeModelBundle(folder, "stage_a", "full", [60])
    with pytest.raises(ModelError, match="no bundle"):
        TreeModelBundle(Path("nowhere"), "stage_b", "full", [60])


@pytest.mark.parametrize(
    "name", ["direction_stage_b_full.onnx", "direction_stage_b_full.json", "strength_stage_b_full.txt"]
)
def test_a_file_of_another_training_is_refused(heads: tuple[Home, EventsResult], name: str) -> None:
    """Any file that is not the one of the list stops the loading, with its name."""
    home, _ = heads
    path = model_dir(home) / name
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ArtifactError, match=name):
        loaded(home)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        loaded(home)


def test_features_that_are_missing_or_no_numbers_are_named() -> None:
    """The message has the column."""
    frame = pd.DataFrame({"atr": [1.0], "distance": ["far"], "wall_ratio": [np.inf]})
    with pytest.raises(ModelError, match="lacks 1 of 2 features: tape_velocity"):
        read_columns(frame, ["atr", "tape_velocity"])
    with pytest.raises(ModelError, match="distance holds what is no number"):
        read_columns(frame, ["distance"])
    with pytest.raises(ModelError, match="distance holds what is no number"):
        read_columns(pa.table({"distance": ["far"]}), ["distance"])
    with pytest.raises(ModelError, match="wall_ratio is infinite"):
        read_columns(frame, ["wall_ratio"])


def test_missing_values_of_every_kind_are_nan() -> None:
    """NULL, NaN, None and pandas' NA; flags and integers are numbers."""
    nullable = pd.DataFrame({"a": pd.array([1.5, None], dtype="Float64"), "b": [True, False], "c": [3, 4]})
    found = read_columns(nullable, ["a", "b", "c"])
    np.testing.assert_array_equal(found["a"], np.array([1.5, np.nan], dtype=np.float32))
    np.testing.assert_array_equal(found["b"], np.array([1, 0], dtype=np.float32))
    table = pa.table({"a": pa.array([1.5, None], pa.float32()), "c": pa.array([3, None], pa.int32())})
    again = read_columns(table, ["a", "c"])
    np.testing.assert_array_equal(again["a"], found["a"])
    np.testing.assert_array_equal(again["c"], np.array([3, np.nan], dtype=np.float32))
