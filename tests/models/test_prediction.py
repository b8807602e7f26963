"""Predictions in one form, and what is refused at both ends of a model."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.errors import ModelError
from trademl.models.base import BaseModel, ModelConfig, Task
from trademl.models.prediction import PredictionOutput, prediction_output, validate_inputs

DAYS = np.array(["2020-01-02", "2020-01-02", "2020-01-03"], dtype="datetime64[D]")
SYMBOLS = np.array(["A", "B", "A"])
THIRDS = np.array([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])


def output(**changed: Any) -> PredictionOutput:
    """Three rows of classes, with some arrays changed."""
    fields: dict[str, Any] = {
        "predictions": np.array([1, -1, 0]),
        "probabilities": THIRDS,
        "timestamps": DAYS,
        "symbols": SYMBOLS,
        "horizons": np.array([5, 5, 5]),
    }
    return PredictionOutput(**(fields | changed))


def test_the_frame_has_the_columns_of_the_contract() -> None:
    """Seven columns in a fixed order, one row per prediction, the probabilities of short, neutral and long."""
    frame = output().to_dataframe()
    assert list(frame) == ["datetime", "symbol", "horizon", "prediction", "prob_short", "prob_neutral", "prob_long"]
    assert frame["datetime"].dt.strftime("%Y-%m-%d").tolist() == ["2020-01-02", "2020-01-02", "2020-01-03"]
    assert frame["symbol"].tolist() == ["A", "B", "A"]
    assert frame["prediction"].tolist() == [1, -1, 0]
    assert frame["prob_short"].tolist() == [0.2, 0.7, 0.25]
    assert frame["prob_neutral"].tolist() == [0.3, 0.2, 0.5]
    assert frame["prob_long"].tolist() == [0.5, 0.1, 0.25]
    assert frame["horizon"].tolist() == [5, 5, 5]


def test_columns_of_a_frame_are_taken_as_they_are() -> None:
    """Pandas columns and lists do as well as arrays."""
    built = output(
        timestamps=pd.DatetimeIndex(DAYS), symbols=pd.Series(["A", "B", "A"], dtype=object), horizons=[5, 5, 20]
    )
    assert len(built) == 3
    assert built.to_dataframe()["horizon"].tolist() == [5, 5, 20]


def test_a_regression_has_no_probabilities() -> None:
    """All NaN is no class; any finite prediction will do; and no row at all is allowed."""
    nothing = np.full((3, 3), np.nan)
    assert not output(predictions=np.array([0.7, -2.5, 0.0]), probabilities=nothing).has_classes
    assert output().has_classes
    empty = np.array([])
    assert len(PredictionOutput(empty, np.empty((0, 3)), empty, empty, empty).to_dataframe()) == 0


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"predictions": [1, 0]}, r"probabilities has shape \(3, 3\), expected \(2, 3\)"),
        ({"predictions": [[1], [0], [1]]}, r"predictions has shape \(3, 1\), expected \(3,\)"),
        ({"predictions": np.float64(1)}, r"predictions has shape \(\), expected \(1,\)"),
        ({"predictions": ["up", "up", "up"]}, "predictions holds <U2, expected numbers"),
        ({"probabilities": THIRDS[:, :2]}, r"probabilities has shape \(3, 2\), expected \(3, 3\)"),
        ({"timestamps": ["2020", "2020", "2021"]}, "timestamps holds <U4, expected datetime64 without a time zone"),
        ({"horizons": [5.0, 5.0, 5.0]}, "horizons holds float64, expected integers"),
        ({"symbols": [1, 2, 3]}, "symbols holds int64, expected strings"),
        ({"symbols": np.array(["A", None, ""], dtype=object)}, "symbols of 2 of 3 rows are not a name; .* row 1: None"),
        ({"timestamps": np.array(["NaT", *DAYS[1:]], dtype="datetime64[D]")}, "timestamps of 1 of 3 .* row 0: NaT"),
        ({"horizons": [5, 0, -1]}, "horizons of 2 of 3 rows are not at least 1; the first is row 1: 0"),
        ({"symbols": ["A", "A", "A"]}, r"row 1 repeats the timestamp, symbol and horizon \(2020-01-02, A, 5\)"),
        ({"predictions": [1, 2, 3]}, "predictions of 2 of 3 rows are not -1, 0 or 1; the first is row 1: 2"),
        ({"predictions": [1, np.nan, 0]}, "predictions of 1 of 3 rows are not -1, 0 or 1; the first is row 1: nan"),
        ({"probabilities": THIRDS * 0.9}, "probabilities of 3 of 3 rows do not sum to 1; the first is row 0: 0.9"),
        (
            {"probabilities": THIRDS - [0, 0.4, -0.4]},
            r"of 2 of 3 rows are not in \[0, 1\]; the first is row 0: \[0.2, -",
        ),
        (
            {"probabilities": np.where(np.eye(3, dtype=bool)[1], np.nan, THIRDS)},
            r"probabilities of 3 of 3 rows are not in \[0, 1\]; the first is row 0: \[0.2, nan",
        ),
        (
            {"probabilities": np.full((3, 3), np.nan), "predictions": [0.1, np.inf, 0.2]},
            "predictions of 1 of 3 rows are not finite; the first is row 1: inf",
        ),
    ],
)
def test_a_wrong_array_is_named(changed: dict[str, Any], told: str) -> None:
    """Each message has the array, how many rows, the first of them and its value."""
    with pytest.raises(ModelError, match=told):
        output(**changed)


def test_all_faults_are_listed_at_once() -> None:
    """Two wrong shapes are one message; so are five wrong values."""
    with pytest.raises(ModelError) as shapes:
        output(symbols=["A"], horizons=[1, 2])
    assert "symbols has shape (1,)" in shapes.value.message
    assert "horizons has shape (2,)" in shapes.value.message
    with pytest.raises(ModelError) as values:
        output(
            predictions=[7, 0, 0],
            probabilities=np.array([[2.0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 1]]),
            horizons=[0, 1, 1],
            symbols=["", "B", "C"],
        )
    for told in ("horizons of 1", "symbols of 1", "predictions of 1", "not in [0, 1]", "do not sum to 1"):
        assert told in values.value.message


keys = st.tuples(st.integers(0, 3), st.sampled_from("AB"), st.integers(1, 2))


@given(st.lists(keys, min_size=1, max_size=12))
def test_a_repeated_key_is_found_wherever_it_is(rows: list[tuple[int, str, int]]) -> None:
    """The first row whose timestamp, symbol and horizon occurred before is named; without one nothing is refused."""
    first_again = next((at for at, key in enumerate(rows) if key in rows[:at]), None)
    days, symbols, horizons = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    parts = (np.zeros(n), np.full((n, 3), 1 / 3), days.astype("datetime64[D]"), symbols, horizons)
    if first_again is None:
        assert len(PredictionOutput(*parts)) == n
    else:
        with pytest.raises(ModelError, match=f"row {first_again} repeats"):
            PredictionOutput(*parts)


class Fixed:
    """A model that answers what it was told to."""

    def __init__(self, task: Task, scores: Any = (), probabilities: Any = ()) -> None:
        self.config = ModelConfig(kind="fixed", task=task)
        self.scores, self.own = np.asarray(scores, dtype=float), np.asarray(probabilities, dtype=float)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.scores

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        return self.own


def predicted(model: Any) -> PredictionOutput:
    cast: BaseModel = model
    return prediction_output(cast, np.zeros((3, 1), dtype=np.float32), timestamps=DAYS, symbols=SYMBOLS, horizon=10)


def test_three_classes_predict_the_likeliest_and_nothing_on_a_tie() -> None:
    """The class of the highest probability with the model's own probabilities; a tie, of any two, is neutral."""
    found = predicted(Fixed("three_class", probabilities=THIRDS))
    assert found.predictions.tolist() == [1, -1, 0]
    assert found.probabilities is not None
    assert np.array_equal(found.probabilities, THIRDS)
    assert found.horizons.tolist() == [10, 10, 10]
    ties = [[0.4, 0.2, 0.4], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4]]
    assert predicted(Fixed("three_class", probabilities=ties)).predictions.tolist() == [0, 0, 0]


def test_a_binary_score_is_the_log_odds_of_long() -> None:
    """Log-odds of ln 3 and -ln 3 are chances of three quarters and one; 0 is long; nothing is ever neutral."""
    found = predicted(Fixed("binary", scores=[np.log(3), -np.log(3), 0.0]))
    assert found.predictions.tolist() == [1, -1, 1]
    assert found.probabilities == pytest.approx(np.array([[0.25, 0, 0.75], [0.75, 0, 0.25], [0.5, 0, 0.5]]), abs=1e-15)


def test_a_regression_predicts_its_score() -> None:
    """The score as it is, and no probability."""
    found = predicted(Fixed("regression", scores=[0.01, -0.5, 3.0]))
    assert found.predictions.tolist() == [0.01, -0.5, 3.0]
    assert np.isnan(found.probabilities).all()


NAMES = ["a", "b"]
X = np.arange(8, dtype=np.float32).reshape(4, 2)


@pytest.mark.parametrize(
    "task, labels",
    [
        ("regression", [0.1, -4.0, 0.0, 2.5]),
        ("binary", [0, 1, 1, 0]),
        ("three_class", [-1, 0, 1, 0]),
        ("three_class", None),
    ],
)
def test_valid_inputs_pass(task: Task, labels: list[float] | None) -> None:
    """A float32 matrix with missing values and the labels of its task, flat or as sequences."""
    matrix = X.copy()
    matrix[1, 0] = np.nan
    y = None if labels is None else np.array(labels)
    assert validate_inputs(matrix, y, NAMES, task) is None
    assert validate_inputs(np.zeros((4, 60, 2), dtype=np.float32), y, NAMES, task) is None


def test_all_faults_of_inputs_are_listed_at_once() -> None:
    """Dtype, order, infinities by feature, missing, infinite and invalid labels with their counts: one message."""
    matrix = np.asfortranarray(X.astype(np.float64))
    matrix[2, 1] = matrix[3, 1] = np.inf
    matrix[0, 0] = -np.inf
    y = np.array([np.nan, 2.0, np.inf, np.nan, 1.0, 0.5])
    with pytest.raises(ModelError) as caught:
        validate_inputs(matrix, y, NAMES, "binary")
    for told in (
        "X is float64, expected float32",
        "X is not C-order",
        "feature a is infinite in 1 rows, first in row 0",
        "feature b is infinite in 2 rows, first in row 2",
        "y has 6 labels for 4 rows",
        "2 of 6 labels are missing (NaN); the first is that of row 0",
        "1 of 6 labels are infinite; the first is that of row 2",
        "2 labels are 0.5, 2; binary has 0, 1",
    ):
        assert told in caught.value.message


@pytest.mark.parametrize(
    "matrix, y, told",
    [
        (X[:, 0], None, r"X has shape \(4,\), expected \(rows, features\) or \(rows, length, features\)"),
        (np.hstack([X, X[:, :1]]), None, r"X has 3 features, expected 2: a, b"),
        (X[:0], None, "X has no rows"),
        (X, np.zeros((4, 1)), r"y has shape \(4, 1\), expected \(4,\)"),
        (X, np.array(["1", "0", "1", "0"]), "y holds <U1, expected numbers"),
        (X, np.array([1, 2, 3, 4]), "3 labels are 2, 3, 4; three_class has -1, 0, 1"),
        (X, np.arange(2, 6), "4 labels are 2, 3, 4, 5; three_class has -1, 0, 1"),
    ],
)
def test_a_wrong_input_is_named(matrix: np.ndarray, y: np.ndarray | None, told: str) -> None:
    """Shape, width and kind are told with what was expected."""
    with pytest.raises(ModelError, match=told):
        validate_inputs(matrix, y, NAMES, "three_class")


def test_an_infinite_value_far_down_is_found() -> None:
    """Blocks of the scan are joined: counts add up and the first row is of the whole matrix."""
    tall = np.zeros((70_000, 2), dtype=np.float32)
    tall[[65_540, 69_999], 1] = np.inf
    with pytest.raises(ModelError, match="feature b is infinite in 2 rows, first in row 65540"):
        validate_inputs(tall, None, NAMES)
