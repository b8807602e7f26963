"""One trial: what is kept of it, and in which form."""

import math
from pathlib import Path

import numpy as np
import pytest

from tests.training.panels import panel
from trademl.models.ridge import RidgeConfig
from trademl.training.config import ValidationConfig
from trademl.training.cross_validate import CrossValidation, Silent, cross_validate
from trademl.training.evaluate import evaluate
from trademl.training.splits import make_splitter
from trademl.training.tune_trial import Outcome, outcome_document, outcome_of, path_rank_ics


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """A ridge regression under CPCV, four choose two."""
    splitter = make_splitter(ValidationConfig(folds=4, test_folds=2, embargo=2))
    folder: Path = tmp_path_factory.mktemp("trial")
    return cross_validate(panel(), splitter, RidgeConfig(), folder, Silent())


def test_the_value_of_a_path_is_that_of_a_run(validated: CrossValidation) -> None:
    """The mean daily rank IC of each path is the one in metrics/paths.csv of `trademl train`, to the bit."""
    expected = [path["rank_ic"] for path in evaluate(panel(), validated, "regression").paths]
    assert path_rank_ics(panel(), validated) == expected


def test_a_path_without_a_ranking_has_no_value(validated: CrossValidation) -> None:
    """Constant scores have no coefficient on any date."""
    flat = CrossValidation(np.ones_like(validated.scores), validated.split_of, validated.splits, None, 0)
    assert all(math.isnan(value) for value in path_rank_ics(panel(), flat))


def test_an_outcome_reads_back_from_json() -> None:
    """A number that there is none of is null on the way."""
    outcome = Outcome("r", "finished", 0.1, (0.1, math.nan), (0.2, 0.1), 3.5)
    document = outcome_document(outcome)
    assert document["paths"] == [0.1, None]
    back = outcome_of(document)
    assert (back.value, back.passes, back.paths[0], back.state) == (0.1, (0.2, 0.1), 0.1, "finished")
    assert math.isnan(back.paths[1])
    with pytest.raises(TypeError):
        outcome_of({"run_id": "r", "state": "finished", "wrong": 1})
