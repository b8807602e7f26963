"""One merged graph beside the staged path."""

import dataclasses
from pathlib import Path

import numpy as np

from trademl.models.stacking.xgboost_ridge import XGBoostRidgeModel
from trademl.sleeves.traders.compare import PathComparison, compare_paths
from trademl.sleeves.traders.stack import load_stacked_pipeline


def test_graph_and_stages_agree_to_the_bit(converted: Path) -> None:
    """No difference and no change of rank; a matrix product in another order differs in the last digits only."""
    pipeline = load_stacked_pipeline(converted)
    assert pipeline is not None
    X = np.random.default_rng(4).normal(size=(3000, 97)).astype(np.float32)
    found = compare_paths(pipeline.model, X)
    assert (found.rows, found.largest_difference, found.rank_changes) == (3000, 0.0, 0)
    assert found.largest_difference_of_product < 1e-12 * found.largest_score
    assert str(found) == "largest difference 0 on 3000 rows, ranks identical"
    assert set(found.to_dict()) == {field.name for field in dataclasses.fields(PathComparison)}


def test_a_difference_would_be_told() -> None:
    """The line for people says how many ranks differ."""
    assert str(PathComparison(10, 0.5, 3, 0.0, 0, 1.0)) == "largest difference 0.5 on 10 rows, 3 ranks differ"
    assert XGBoostRidgeModel.has_parts
