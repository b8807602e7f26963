"""Rows on and beside thresholds."""

import numpy as np

from trademl.models.boundaries import CHUNK_ROWS, ODD_VALUES, boundary_rows, odd_rows, threshold_count, used_features
from trademl.models.trees import Tree

NAN, INF = float("nan"), float("inf")


def tree(feature: list[int], threshold: list[float], left: list[int], right: list[int], nan_left: list[bool]) -> Tree:
    return Tree(
        feature=np.array(feature),
        threshold=np.array(threshold),
        left=np.array(left),
        right=np.array(right),
        nan_left=np.array(nan_left),
        leaf_value=np.arange(len(feature) + 1, dtype=np.float64),
    )


def splits_reached(found: Tree, row: np.ndarray) -> set[int]:
    """Walk one row down, in the plainest way, and return the splits on its path."""
    seen, split = set(), 0
    while split >= 0:
        seen.add(split)
        value = row[found.feature[split]]
        goes_left = bool(found.nan_left[split]) if np.isnan(value) else bool(value <= found.threshold[split])
        split = int(found.left[split] if goes_left else found.right[split])
    return seen


def test_four_rows_for_the_only_split() -> None:
    """A stump at 0.5 on feature 1 gives rows with 0.5, one ulp above, one below, and missing; feature 0 stays."""
    rows = np.concatenate(list(boundary_rows([tree([1], [0.5], [-1], [-2], [False])], np.float32([[7.0, 9.0]]))))
    assert rows[:, 0].tolist() == [7.0] * 4
    assert rows[:3, 1].tolist() == [0.5, 0.5 + 2.0**-24, 0.5 - 2.0**-25]
    assert np.isnan(rows[3, 1])


def test_rows_follow_the_path_to_deep_splits() -> None:
    """A split below others is reached: each gets a row at its threshold that a plain walk leads to it."""
    # 0: x0 <= 0 ? 1 : 2;  1: x1 <= 5 ? leaf : 3;  2: x0 <= 4 ? leaf : leaf;  3: x0 <= -3 ? leaf : leaf
    deep = tree([0, 1, 0, 0], [0.0, 5.0, 4.0, -3.0], [1, -1, -3, -4], [2, 3, -2, -5], [True, False, False, True])
    rows = np.concatenate(list(boundary_rows([deep], np.float32([[100.0, -100.0]]))))
    assert len(rows) == 16
    on_threshold = {
        split
        for row in rows
        for split in splits_reached(deep, row)
        if row[deep.feature[split]] == np.float32(deep.threshold[split])
    }
    assert on_threshold == {0, 1, 2, 3}


def test_a_split_that_only_missing_values_reach_is_visited() -> None:
    """Below `x0 <= inf`, missing going right, the right child sees missing x0 only, and is visited so."""
    found = tree([0, 1], [INF, 2.0], [-1, -2], [1, -3], [False, False])
    rows = np.concatenate(list(boundary_rows([found], np.float32([[1.0, 1.0]]))))
    assert any(np.isnan(row[0]) and row[1] == 2.0 for row in rows)
    assert sum(1 in splits_reached(found, row) for row in rows) >= 4


def test_impossible_splits_are_left_out() -> None:
    """Nothing is both <= 1 and > 2: the split there has no rows."""
    found = tree([0, 0, 1], [1.0, 2.0, 0.0], [1, -1, -3], [-2, 2, -4], [False, False, False])
    assert sum(len(rows) for rows in boundary_rows([found], np.float32([[0.0, 0.0]]))) == 8


def test_a_constant_tree_has_no_rows_and_blocks_are_bounded() -> None:
    """A tree that is one leaf gives nothing; many splits come in blocks of at most 16,384 rows, none lost."""
    assert list(boundary_rows([tree([], [], [], [], [])], np.float32([[0.0]]))) == []
    many = [tree([0], [float(at)], [-1], [-2], [False]) for at in range(5000)]
    sizes = [len(rows) for rows in boundary_rows(many, np.float32([[0.0]]))]
    assert sizes == [CHUNK_ROWS, 5000 * 4 - CHUNK_ROWS]


def test_odd_rows_give_each_used_feature_each_odd_value() -> None:
    """Features 0 and 2 of three are used: each has all odd values, one a row, and feature 1 none."""
    trees = [tree([2], [1.0], [-1], [-2], [False]), tree([0], [1.0], [-1], [-2], [False])]
    assert used_features(trees) == [0, 2]
    rows = odd_rows(used_features(trees), np.full((1, 3), 9.5, "f4"))
    assert len(rows) == 2 * len(ODD_VALUES)
    odd = np.array(ODD_VALUES)
    assert np.array_equal(rows[: len(odd), 0].view(np.uint32), odd.view(np.uint32))
    assert np.array_equal(rows[len(odd) :, 2].view(np.uint32), odd.view(np.uint32))
    assert (rows[:, 1] == 9.5).all()


def test_equal_thresholds_count_once() -> None:
    """The same feature and threshold in two trees is one threshold."""
    stump = tree([0], [1.0], [-1], [-2], [False])
    assert threshold_count([stump, stump, tree([1], [1.0], [-1], [-2], [False])]) == 2


def test_thresholds_at_the_ends_of_float32_are_visited_without_warning() -> None:
    """A threshold at the largest or smallest float32 has infinity as its neighbour."""
    largest = float(np.finfo(np.float32).max)
    for at in (largest, -largest):
        (rows,) = boundary_rows([tree([0], [at], [-1], [-2], [False])], np.float32([[0.0]]))
        assert rows[0, 0] == np.float32(at)
        assert np.isinf(rows[1 if at > 0 else 2, 0])
