"""The stacker for tables of scores, and which runs it takes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ConfigError, ModelError
from trademl.models.stacking.config import StackConfig
from trademl.models.stacking.fit import fit_blend
from trademl.sleeves.stacker import StackerConfig, load_stacker, sleeve_of, stack_scores, train, train_stacker

SLEEVES = ["equities", "intraday", "options"]


def table(rows: int = 400, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Scores of three sleeves by {date, symbol}, and a label that each of them sees through noise."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [pd.bdate_range("2024-01-01", periods=rows // 10), [f"S{code}" for code in range(10)]], names=["date", "symbol"]
    )
    signal = rng.standard_normal(rows)
    scores = signal[:, None] + rng.standard_normal((rows, 3))
    return pd.DataFrame(scores, index=index, columns=SLEEVES), pd.Series(signal + rng.standard_normal(rows), index)


@pytest.mark.parametrize("blender", ["ridge", "non_negative", "average", "lightgbm"])
def test_a_written_stacker_reads_back_and_scores_alike(blender: str, tmp_path: Path) -> None:
    """File, folder and graph give the same scores, which beat each sleeve's on rows that were not fitted."""
    scores, y = table()
    trees = {"n_rounds": 30, "min_data_in_leaf": 20} if blender == "lightgbm" else {}
    written = train_stacker(scores, y, {"out": tmp_path / "out", "blender": blender, "trees": trees})
    assert set(written) == {"stacker", "onnx"}
    other, outcome = table(seed=1)
    found = stack_scores(other, load_stacker(written["stacker"]))
    np.testing.assert_array_equal(stack_scores(other, load_stacker(tmp_path / "out")), found)
    session = onnxruntime.InferenceSession(written["onnx"], providers=["CPUExecutionProvider"])
    (exported,) = session.run(["score"], {"scores": other.to_numpy()})
    np.testing.assert_array_equal(exported[:, 0], found)
    alone = max(np.corrcoef(other[name], outcome)[0, 1] for name in SLEEVES)
    assert np.corrcoef(found, outcome)[0, 1] > alone


def test_the_blend_is_fitted_on_rows_with_label_and_score(tmp_path: Path) -> None:
    """Rows whose label is not known yet, and rows without any score, are left out."""
    scores, y = table()
    y.iloc[::7] = np.nan
    scores.iloc[3] = np.nan
    kept = y.notna().to_numpy() & scores.notna().any(axis=1).to_numpy()
    expected = fit_blend(scores.to_numpy()[kept], y.to_numpy()[kept], None, StackConfig(bases=tuple(SLEEVES)), SLEEVES)
    assert load_stacker(train_stacker(scores, y, {"out": tmp_path})["stacker"]) == expected


def test_a_missing_sleeve_falls_back_to_the_others(tmp_path: Path) -> None:
    """A column that is not there is a column of NaN; the order of columns says nothing; others are not read."""
    scores, y = table()
    blend = load_stacker(train_stacker(scores, y, {"out": tmp_path})["stacker"])
    emptied = scores.assign(intraday=np.nan)
    found = stack_scores(scores.drop(columns="intraday"), blend)
    np.testing.assert_array_equal(found, stack_scores(emptied, blend))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(
        stack_scores(scores[SLEEVES[::-1]].assign(other=1.0), blend), stack_scores(scores, blend)
    )
    emptied.iloc[5] = np.nan
    assert np.flatnonzero(np.isnan(stack_scores(emptied, blend))).tolist() == [5]


def test_weights_are_a_weighted_average_of_what_is_there() -> None:
    """2 and 1 of 6 and 3: 5; without the second: 6."""
    scores = pd.DataFrame({"a": [6.0, 6.0, np.nan], "b": [3.0, np.nan, np.nan]})
    np.testing.assert_array_equal(stack_scores(scores, {"a": 2, "b": 1}), [5.0, 6.0, np.nan])
    np.testing.assert_array_equal(stack_scores(scores[["a"]], {"a": 2, "b": 1}), [6.0, 6.0, np.nan])


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda scores, y: (scores, y.iloc[::-1]), "another index"),
        (lambda scores, y: (scores, y.iloc[:10]), "y has 10 rows"),
        (lambda scores, y: (pd.concat([scores, scores]), pd.concat([y, y])), "a row twice"),
        (lambda scores, y: (scores * np.nan, y), "0 of 0 rows have the scores"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change: Any, told: str, tmp_path: Path) -> None:
    """Rows are aligned by {date, symbol} before, not by position."""
    with pytest.raises(ModelError, match=told):
        train_stacker(*change(*table()), {"out": tmp_path})


def test_wrong_settings_and_inputs_are_refused(tmp_path: Path) -> None:
    """Unknown fields, weights for a fitted blender, tables without inputs, columns twice, bad weights."""
    scores, y = table()
    with pytest.raises(ConfigError, match="blendr is not a field; did you mean blender"):
        train_stacker(scores, y, {"out": tmp_path, "blendr": "ridge"})
    with pytest.raises(ConfigError, match="weights belong to `blender: average`"):
        train_stacker(scores, y, {"out": tmp_path, "weights": dict.fromkeys(SLEEVES, 1.0)})
    with pytest.raises(ModelError, match="none of the inputs x, y"):
        stack_scores(scores, {"x": 1, "y": 1})
    with pytest.raises(ModelError, match="the column 'options' twice"):
        stack_scores(pd.concat([scores, scores[["options"]]], axis=1), {"options": 1})
    for weights in ({"equities": -1.0}, {"equities": float("nan")}, {"equities": 0.0}, {}):
        with pytest.raises(ModelError, match="weights"):
            stack_scores(scores, weights)
    with pytest.raises(ModelError, match="cannot read"):
        load_stacker(tmp_path / "absent.json")


def test_the_sleeve_of_a_stack_is_its_runs(tmp_path: Path) -> None:
    """Runs are found by their folders; none, an unknown one or a path is refused."""
    home = Home(tmp_path)
    (home.models_artifacts / "equities" / "run-a").mkdir(parents=True)
    assert sleeve_of(home, ["run-a"]).name == "equities"
    for runs, told in (
        ([], "runs is empty"),
        (["run-a", "run-b"], "no run 'run-b'"),
        (["../equities/run-a"], "no run"),
    ):
        with pytest.raises(ConfigError, match=told):
            sleeve_of(home, runs)
    with pytest.raises(ConfigError, match="runs is empty"):
        train(home, StackerConfig())


def test_the_file_states_the_defaults(repository: Path) -> None:
    """configs/training/stacker.yml holds the values that apply without it."""
    assert load_section(repository / "configs" / "training" / "stacker.yml", StackerConfig) == StackerConfig()
