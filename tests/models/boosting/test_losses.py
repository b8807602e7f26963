"""Losses, exact sums and the best round."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.models.base import Task
from trademl.models.boosting.losses import BestRound, Labels, exactly_summable

NUMBERS = st.lists(st.floats(-1e6, 1e6) | st.floats(-1e-3, 1e-3), min_size=1, max_size=60)


@given(NUMBERS, st.randoms(use_true_random=False))
def test_every_order_of_the_rounded_numbers_has_the_exact_sum(drawn: list[float], random: "object") -> None:
    """Added up in float64 in any order, or in parts, the numbers give their true sum."""
    rounded = exactly_summable(np.array(drawn)).astype(np.float64).tolist()
    true = sum(Fraction(value) for value in rounded)
    for _ in range(5):
        random.shuffle(rounded)  # type: ignore[attr-defined]
        half = len(rounded) // 2
        assert Fraction(sum(rounded, start=0.0)) == true
        assert Fraction(sum(rounded[:half], start=0.0) + sum(rounded[half:], start=0.0)) == true


@given(NUMBERS)
def test_rounding_loses_next_to_nothing(drawn: list[float]) -> None:
    """A number moves by less than float32 moves it plus 2**-52 of the sum of all, and twice is once."""
    values = np.array(drawn)
    rounded = exactly_summable(values)
    total = np.abs(values.astype(np.float32).astype(np.float64)).sum()
    assert (np.abs(rounded - values.astype(np.float32).astype(np.float64)) <= total * 2.0**-52).all()
    assert np.array_equal(exactly_summable(rounded.astype(np.float64)), rounded)


def test_zeros_stay_zeros() -> None:
    """Nothing to sum is no error."""
    assert exactly_summable(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("task", ["regression", "binary", "three_class"])
def test_derivatives_are_those_of_the_loss(task: Task) -> None:
    """First and second differences of the weighted loss agree with the derivatives; the start is where it is least."""
    rng = np.random.default_rng(4)
    y = rng.standard_normal(50) if task == "regression" else (rng.random(50) < 0.3).astype(np.float64)
    if task == "three_class":
        y = rng.integers(-1, 2, 50).astype(np.float64)
    shape = (50, 3) if task == "three_class" else (50,)
    weight, score, h = rng.random(50) + 0.1, 2 * rng.standard_normal(shape), 1e-4
    labels = Labels(y, weight, task)
    # Squared error has no factor 1/2, its derivatives do: half of it is what trees are fitted to.
    scale = weight.sum() * (0.5 if task == "regression" else 1.0)
    # Three classes have the second derivative twice.
    twice = 2.0 if task == "three_class" else 1.0
    first, second = labels.derivatives(score)
    for at in np.ndindex(shape):
        move = np.zeros(shape)
        move[at] = h
        up, middle, down = (labels.loss(score + step * move) * scale for step in (1, 0, -1))
        assert (up - down) / (2 * h) == pytest.approx(first[at], abs=1e-6)
        assert twice * (up - 2 * middle + down) / h**2 == pytest.approx(second[at], abs=1e-4)
    start = labels.start()
    least = labels.loss(np.full(shape, start))
    for number in range(len(start)):
        for step in (-0.01, 0.01):
            moved = start.copy()
            moved[number] += step
            assert least <= labels.loss(np.full(shape, moved))


def test_twice_the_diagonal_bounds_the_second_derivatives_of_three_classes() -> None:
    """diag(h) - (diag(p) - pp') has no negative eigenvalue, so that a step in each class alone does not overshoot."""
    rng = np.random.default_rng(5)
    score = 4 * rng.standard_normal((200, 3))
    _, bound = Labels(np.zeros(200), np.ones(200), "three_class").derivatives(score)
    for margins, h in zip(score, bound, strict=True):
        p = [math.exp(m) / sum(map(math.exp, margins)) for m in margins]
        assert np.linalg.eigvalsh(np.diag(h) - (np.diag(p) - np.outer(p, p))).min() > -1e-12


def test_three_classes_start_at_their_shares_by_hand() -> None:
    """Weights 1, 2 and 5 of 8; a class that is absent starts at one in a million; the loss is minus log P."""
    labels = Labels(np.array([-1.0, 0.0, 1.0]), np.array([1.0, 2.0, 5.0]), "three_class")
    assert labels.start().tolist() == [math.log(1 / 8), math.log(2 / 8), math.log(5 / 8)]
    absent = Labels(np.array([0.0, 1.0]), np.ones(2), "three_class")
    assert absent.start().tolist() == [math.log(1e-6), math.log(1 / 2), math.log(1 / 2)]
    certain = np.array([[1000.0, 0.0, 0.0], [0.0, 1000.0, 0.0], [1000.0, 0.0, 0.0]])
    # The third row weighs 5 of 8 and has all but no chance: its loss is 1000.
    assert labels.loss(certain) == 625.0


def test_one_class_has_a_finite_start_and_large_scores_no_overflow() -> None:
    """All ones start at log-odds of one in a million; scores of 1,000 give probabilities 1 and 0."""
    ones = Labels(np.ones(4), np.ones(4), "binary")
    assert ones.start().tolist() == [pytest.approx(math.log(1e6), abs=1e-5)]
    first, second = ones.derivatives(np.array([1000.0, -1000.0, 0.0, 1.0]))
    assert first[:3].tolist() == [0.0, -1.0, -0.5]
    assert (second > 0).all()
    assert ones.loss(np.array([1000.0, 1000.0, 1000.0, -1000.0])) == 250.0


@pytest.mark.parametrize(
    "losses, patience, best, rounds",
    [([3, 2, 1], 2, 2, 3), ([3, 2, 4, 4, 1], 2, 1, 4), ([1, 1, 1, 1], 3, 0, 4), ([5, 6, 4, 7, 8, 9], 3, 2, 6)],
)
def test_best_round_by_hand(losses: list[float], patience: int, best: int, rounds: int) -> None:
    """The first of equal losses counts, and the rounds stop ``patience`` after the best."""
    found, seen = BestRound(patience), 0
    for loss in losses:
        seen += 1
        if found.stop_after(loss):
            break
    assert (found.number, seen) == (best, rounds)
