"""The rounding that makes scores exact."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.models.trees import Ensemble, Tree, clear_zero_zone, floor_float32, grid_exponent, round_to_grid

K = np.float32(1e-35)
DOUBLES = st.floats(allow_nan=False, allow_infinity=True, width=64)
SINGLES = st.floats(allow_nan=False, allow_infinity=True, width=32, allow_subnormal=True)
# Near each other, so that a feature often lies exactly on or beside a threshold.
NEIGHBOURS = st.tuples(st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(-3, 3), st.floats(0, 1))


@given(SINGLES, DOUBLES)
def test_floored_threshold_decides_every_float32_alike(x: float, threshold: float) -> None:
    """For every float32 x and double t: x <= floor32(t) exactly when x <= t."""
    floored = floor_float32(np.array([threshold]))[0]
    assert (x <= floored) == (x <= threshold)


@given(NEIGHBOURS)
def test_floored_threshold_decides_its_neighbours_alike(drawn: tuple[float, int, float]) -> None:
    """The same holds when t lies within three ulps of x, between two float32 numbers."""
    start, steps, part = drawn
    x = np.float32(start)
    near = x
    with np.errstate(over="ignore", under="ignore"):
        for _ in range(abs(steps)):
            near = np.nextafter(near, np.float32(np.inf if steps > 0 else -np.inf))
        beside = float(np.nextafter(near, np.float32(-np.inf)))
    # A point between two neighbouring float32 numbers, or one of them where either is infinite.
    threshold = float(near) if np.isinf(beside) or np.isinf(near) else beside + part * (float(near) - beside)
    floored = floor_float32(np.array([threshold]))[0]
    assert (float(x) <= floored) == (float(x) <= threshold)
    assert np.isinf(floored) or float(np.float32(floored)) == floored


@pytest.mark.parametrize(
    "threshold, expected",
    [
        (0.5, 0.5),
        (-3.4028234663852886e38, -3.4028234663852886e38),
        (0.1, 0.099999994039535522),  # the float32 nearest to 0.1 is 0.100000001490116, above it
        (-0.1, -0.100000001490116119),
        (1e300, 3.4028234663852886e38),
        (-1e300, -np.inf),
        (np.inf, np.inf),
        (1e-46, 0.0),
        (-1e-46, -1.401298464324817e-45),
    ],
)
def test_floor_float32_by_hand(threshold: float, expected: float) -> None:
    """Published float32 neighbours: 0.1 lies between 0.09999999403953552 and 0.10000000149011612."""
    assert floor_float32(np.array([threshold]))[0] == expected


@given(SINGLES, st.one_of(SINGLES, st.sampled_from([0.0, -0.0, float(K), -float(K), 1e-40, -1e-40])))
def test_cleared_thresholds_decide_as_if_tiny_values_were_zero(x: float, threshold: float) -> None:
    """For every float32 x and t: x <= clear(t) exactly when (0 if |x| <= zone else x) <= t."""
    cleared = clear_zero_zone(np.array([threshold]), K)[0]
    assert (x <= cleared) == ((0.0 if abs(x) <= float(K) else x) <= threshold)


@pytest.mark.parametrize(
    "largest, exponent", [(15.9, 20), (8.0, 20), (7.9, 21), (16.0, 19), (1.0, 23), (0.05, 28), (2.0**-90, 100)]
)
def test_grid_exponent_by_hand(largest: float, exponent: int) -> None:
    """The grid is 2**-20 while the sum of largest leaves is in [8, 16), one bit finer for every halving."""
    assert grid_exponent([np.array([largest, 0.0])]) == exponent


def test_grid_of_a_sum_that_rounds_up_to_the_limit_is_one_bit_coarser() -> None:
    """A largest leaf just below 1 would round to 2**24 steps of 2**-24: the grid is then 2**-23."""
    assert grid_exponent([np.array([np.nextafter(1.0, 0.0)])]) == 23


def test_grid_of_zero_leaves_is_the_finest() -> None:
    """A model that always says 0 needs no grid; it gets the finest."""
    assert grid_exponent([np.zeros(3), np.zeros(1)]) == 100


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=4), min_size=1, max_size=4))
def test_float32_sums_on_the_grid_are_exact_in_every_order(drawn: list[list[float]]) -> None:
    """Leaves on the grid, one of each tree, add up in float32 to the float64 sum, in every order."""
    trees = [np.array(leaves) for leaves in drawn]
    k = grid_exponent(trees)
    chosen = [round_to_grid(leaves, k)[np.argmax(np.abs(leaves))] for leaves in trees]
    exact = float(np.sum(np.array(chosen, dtype=np.float64)))
    for order in permutations(chosen):
        total = np.float32(0)
        for value in order:
            total = np.float32(total + np.float32(value))
        assert float(total) == exact


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9))
def test_rounding_moves_a_leaf_by_half_a_step_at_most_and_twice_is_once(leaves: list[float]) -> None:
    """Rounded leaves are within half a grid step, never -0.0, and rounding again with a new grid changes nothing."""
    values = np.array(leaves)
    k = grid_exponent([values])
    rounded = round_to_grid(values, k)
    assert (np.abs(rounded - values) <= 2.0 ** -(k + 1)).all()
    assert not np.signbit(rounded[rounded == 0]).any()
    assert np.array_equal(round_to_grid(rounded, grid_exponent([rounded])), rounded)


def walked(tree: Tree, row: np.ndarray) -> float:
    """Walk one row down, in the plainest way, to the value of its leaf."""
    at = 0 if len(tree.feature) else -1
    while at >= 0:
        x = float(row[tree.feature[at]])
        left = bool(tree.nan_left[at]) if np.isnan(x) else x <= tree.threshold[at]
        at = int(tree.left[at] if left else tree.right[at])
    return float(tree.leaf_value[-1 - at])


def drawn_trees(seed: int, count: int = 5) -> tuple[Tree, ...]:
    """Trees of three splits in each of two shapes, with thresholds that rows often hit, and one without a split."""
    rng = np.random.default_rng(seed)
    none = np.empty(0, dtype=np.int64)
    trees = [Tree(none, none.astype(float), none, none, none.astype(bool), np.array([0.3]))]
    for number in range(count):
        shape = ([1, -1, -3], [2, -2, -4]) if number % 2 else ([1, 2, -1], [-4, -3, -2])
        trees.append(
            Tree(
                feature=rng.integers(0, 3, 3),
                threshold=np.round(rng.normal(size=3), 1),
                left=np.array(shape[0]),
                right=np.array(shape[1]),
                nan_left=rng.random(3) < 0.5,
                leaf_value=rng.normal(size=4),
            )
        )
    return tuple(trees)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_a_plain_walk(seed: int) -> None:
    """Row by row and tree by tree, ties, missing and infinite values included."""
    rng = np.random.default_rng(100 + seed)
    X = np.round(rng.normal(size=(200, 3)), 1).astype(np.float32)
    X[rng.random(X.shape) < 0.2] = np.nan
    X[::9, 0] = np.inf
    ensemble = Ensemble(drawn_trees(seed), (0.25,)).canonical()
    expected = [ensemble.constants[0] + sum(walked(tree, row) for tree in ensemble.trees) for row in X]
    assert ensemble.scores(X).tolist() == expected
    assert ensemble.scores(X[:0]).shape == (0,)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_a_canonical_ensemble_sums_exactly_in_float32_with_its_constant(constant: float) -> None:
    """Constant and leaves lie on one grid: float32 sums, constant first or last, are the float64 ones."""
    once = Ensemble(drawn_trees(7, 40), (constant,)).canonical()
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    for row in X:
        leaves = [np.float32(walked(tree, row)) for tree in once.trees]
        exact = once.constants[0] + sum(map(float, leaves))
        for order in ([np.float32(once.constants[0]), *leaves], [*leaves[::-1], np.float32(once.constants[0])]):
            total = np.float32(0)
            for value in order:
                total = np.float32(total + value)
            assert float(total) == exact
    twice = once.canonical()
    assert twice.constants[0] == once.constants[0]
    for one, two in zip(once.trees, twice.trees, strict=True):
        assert np.array_equal(one.threshold, two.threshold)
        assert np.array_equal(one.leaf_value, two.leaf_value)


def test_trees_of_classes_take_turns_by_hand() -> None:
    """Of three constants and six leaves, tree t belongs to class t modulo 3; scores have one column a class."""
    none = np.empty(0, dtype=np.int64)
    flat = [
        Tree(none, none.astype(float), none, none, none.astype(bool), np.array([value]))
        for value in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    ]
    found = Ensemble(tuple(flat), (0.5, 0.0, -0.5)).scores(np.zeros((2, 1), dtype=np.float32))
    assert found.tolist() == [[9.5, 18.0, 35.5]] * 2


def test_the_grid_is_that_of_the_class_with_the_largest_sum() -> None:
    """Sums of 1.5, 3 and 12 want 2**-23, 2**-22 and 2**-20: all classes lie on the last, constants included."""
    none = np.empty(0, dtype=np.int64)
    flat = [
        Tree(none, none.astype(float), none, none, none.astype(bool), np.array([value])) for value in (0.5, 2.0, 11.1)
    ]
    ensemble = Ensemble(tuple(flat), (1.0, -1.0, 0.9))
    assert ensemble.grid() == 20
    for number in (*(tree.leaf_value[0] for tree in ensemble.canonical().trees), *ensemble.canonical().constants):
        assert number * 2.0**20 == round(number * 2.0**20)
    assert Ensemble(tuple(flat[:2]), (1.0, -1.0)).grid() == 22
