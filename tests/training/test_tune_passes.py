"""The order of splits in which a trial can be judged early."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.training.config import ValidationConfig
from trademl.training.splits import make_splitter
from trademl.training.tune_passes import balanced_passes, passes_of


@st.composite
def folds(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(2, 10))
    return n, draw(st.integers(1, n - 1))


@given(folds())
def test_every_split_has_its_place_and_every_pass_covers_every_fold(shape: tuple[int, int]) -> None:
    """All splits come once, and p passes have tested each fold at least p times."""
    n, k = shape
    tests = list(combinations(range(n), k))
    passes = balanced_passes(tests, n)
    assert sorted(number for numbers in passes for number in numbers) == list(range(comb(n, k)))
    covered = [0] * n
    for done, numbers in enumerate(passes[:-1], start=1):
        for number in numbers:
            for fold in tests[number]:
                covered[fold] += 1
        assert min(covered) >= done


@pytest.mark.parametrize("n", [2, 4, 6, 8, 10, 16])
def test_two_of_an_even_number_of_folds_are_a_tournament(n: int) -> None:
    """There are n - 1 passes, and each tests every fold exactly once."""
    tests = list(combinations(range(n), 2))
    passes = balanced_passes(tests, n)
    assert len(passes) == n - 1
    for numbers in passes:
        assert sorted(fold for number in numbers for fold in tests[number]) == list(range(n))


def test_half_of_the_folds_come_with_the_other_half() -> None:
    """Three of six folds: ten passes of a choice and its complement."""
    tests = list(combinations(range(6), 3))
    passes = balanced_passes(tests, 6)
    assert [len(numbers) for numbers in passes] == [2] * 10
    assert all(set(tests[first]) | set(tests[second]) == set(range(6)) for first, second in passes)


def test_walk_forward_is_one_pass() -> None:
    """Its blocks are tested once each, so there is nothing to judge before the end."""
    splitter = make_splitter(ValidationConfig(kind="walk_forward", folds=5))
    assert passes_of(splitter) == [[0, 1, 2, 3, 4]]
    assert len(passes_of(make_splitter(ValidationConfig(folds=8, test_folds=2)))) == 7
