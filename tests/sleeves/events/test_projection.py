"""Probabilities that hold together, as laws and against a loop."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trademl.sleeves.events.projection import SIDES, project, violations

GRIDS = st.integers(1, 3).flatmap(
    lambda horizons: st.fixed_dictionaries(
        {side: arrays(np.float64, (2, horizons, 3), elements=st.floats(0, 1)) for side in SIDES}
    )
)


def by_loop(reach: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The definition, cell by cell: an envelope is the largest, or smallest, of the cells that bound a cell."""
    found = {}
    _, horizons, rows = reach["either"].shape
    for side in SIDES:
        grid = np.empty_like(reach[side])
        for row in range(rows):
            for k in range(2):
                for h in range(horizons):
                    # Rarer are farther thresholds and shorter horizons.
                    rarer = [reach[side][a, b, row] for a in range(k, 2) for b in range(h + 1)]
                    likelier = [reach[side][a, b, row] for a in range(k + 1) for b in range(h, horizons)]
                    grid[k, h, row] = (max(rarer) + min(likelier)) / 2
        found[side] = grid
    for at in np.ndindex(found["either"].shape):
        through, back = found["break"][at], found["bounce"][at]
        found["either"][at] = min(max(found["either"][at], max(through, back)), min(1.0, through + back))
    return found


@settings(deadline=None, max_examples=200)
@given(GRIDS)
def test_the_outcome_is_sound_and_lies_where_a_loop_puts_it(reach: dict[str, np.ndarray]) -> None:
    """Not one inequality is broken, by not one ulp; and the arrays are those of the definition."""
    sound = project(reach)
    assert violations(sound) == 0
    assert all(((grid >= 0) & (grid <= 1)).all() for grid in sound.values())
    expected = by_loop(reach)
    for side in SIDES:
        np.testing.assert_array_equal(sound[side], expected[side])


@settings(deadline=None)
@given(GRIDS)
def test_a_sound_set_stays_as_it_is(reach: dict[str, np.ndarray]) -> None:
    """Projecting twice is projecting once, bit for bit."""
    once = project(reach)
    twice = project(once)
    for side in SIDES:
        np.testing.assert_array_equal(once[side], twice[side])


@settings(deadline=None)
@given(GRIDS, st.permutations(range(3)))
def test_rows_do_not_know_of_each_other(reach: dict[str, np.ndarray], order: list[int]) -> None:
    """Each event's probabilities depend on its own alone."""
    sound = project(reach)
    mixed = project({side: grid[:, :, order] for side, grid in reach.items()})
    for side in SIDES:
        np.testing.assert_array_equal(mixed[side], sound[side][:, :, order])


def test_a_wrong_order_becomes_the_mean_of_the_two() -> None:
    """By hand: t2 = 0.5 above t1 = 0.3 become 0.4 both; either = 0.9 comes down to the sum of its sides, 0.4 + 0.3."""
    reach = {
        "either": np.array([[[0.9]], [[0.2]]]),
        "break": np.array([[[0.3]], [[0.5]]]),
        "bounce": np.array([[[0.3]], [[0.1]]]),
    }
    sound = project(reach)
    assert sound["break"].ravel().tolist() == [0.4, 0.4]
    assert sound["bounce"].ravel().tolist() == [0.3, 0.1]
    assert sound["either"].ravel().tolist() == [0.7, 0.4]


def test_what_is_broken_is_counted() -> None:
    """One row with t2 above t1 on one side, and a side above both: two thresholds of one horizon."""
    reach = {
        "either": np.array([[[0.5]], [[0.2]]]),
        "break": np.array([[[0.3]], [[0.4]]]),
        "bounce": np.array([[[0.3]], [[0.1]]]),
    }
    # break: 0.4 > 0.3; either of threshold 2: 0.2 < 0.4.
    assert violations(reach) == 2
