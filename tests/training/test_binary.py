"""Measures of probabilities, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from tests.training.panels import by_hand
from trademl.training.binary import HEADLINE, forward_calibrated, judge, judge_path, known_rates

# Log-odds of 0.8 and 0.2.
HIGH, LOW = math.log(4), -math.log(4)


def test_measures_by_hand() -> None:
    """Four rows at 0.8, 0.8, 0.2, 0.2 with outcomes 1, 0, 0, 0, beside a base rate of 0.5."""
    found = judge(np.array([HIGH, HIGH, LOW, LOW]), np.array([1.0, 0.0, 0.0, 0.0]), np.full(4, 0.5))
    assert (found.events, found.base_rate) == (1.0, 0.25)
    # Squares: 0.04, 0.64, 0.04, 0.04.
    assert found.brier == pytest.approx(0.76 / 4)
    assert found.brier_of_base_rate == pytest.approx(0.25)
    assert found.log_loss == pytest.approx(-(3 * math.log(0.8) + math.log(0.2)) / 4)
    assert found.log_loss_of_base_rate == pytest.approx(math.log(2))
    # The event wins against two rows and ties with one.
    assert found.auc == pytest.approx(2.5 / 3)
    # Two bins: 0.8 stated and 0.5 seen, 0.2 stated and none seen.
    assert found.ece == pytest.approx((0.3 + 0.2) / 2)


def test_a_base_rate_is_what_was_known_before() -> None:
    """Three sessions with label means 1/2, 1 and 0: the second knows 1/2, the third 3/4; the first only what is not its
    own."""
    data = by_hand(np.repeat([0, 1, 2], 2), np.tile([0, 1], 3), [0.0, 1.0, 1.0, 1.0, 0.0, 0.0], horizon=0)
    rates = known_rates(data, np.array([-1, -1, 0, 0, 1, 1], dtype=np.int16))
    np.testing.assert_allclose(rates, [np.nan, np.nan, 0.5, 0.5, 0.75, 0.75])
    first = known_rates(data, np.array([0, 0, -1, -1, -1, -1], dtype=np.int16))
    np.testing.assert_allclose(first[:2], 0.5)


def test_labels_that_have_not_ended_are_not_known() -> None:
    """With labels of one session, the session right before a block has not ended when the block begins."""
    data = by_hand(np.repeat([0, 1, 2], 2), np.tile([0, 1], 3), [0.0, 1.0, 1.0, 1.0, 0.0, 0.0], horizon=1)
    rates = known_rates(data, np.array([-1, -1, -1, -1, 0, 0], dtype=np.int16))
    np.testing.assert_allclose(rates[4:], 0.5)


def test_a_path_is_judged_on_what_it_tests() -> None:
    """Rows without a score, and rows whose target is missing, count in no measure."""
    y = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]
    data = by_hand(np.repeat([0, 1, 2], 2), np.tile([0, 1], 3), y, target=np.array([0, 1, 1, 0, 1, np.nan]), horizon=0)
    scores = np.array([np.nan, np.nan, HIGH, LOW, HIGH, LOW])
    found = judge_path(data, scores, np.array([-1, -1, 0, 0, 1, 1], dtype=np.int16))
    assert found.events == 2
    assert found.base_rate == pytest.approx(2 / 3)
    assert found.auc == 1.0
    assert set(HEADLINE) < set(found.to_dict())


def test_folds_teach_those_that_follow() -> None:
    """Each fold but the first is held with all folds that begin before it, whatever their numbers."""
    order = np.array([5, 6, 1, 2, 9])
    folds = np.array([0, 0, 7, 7, 3])
    pairs = forward_calibrated(order, folds)
    assert [held.tolist() for held, _ in pairs] == [
        [True, True, False, False, False],
        [False, False, False, False, True],
    ]
    assert [before.tolist() for _, before in pairs] == [
        [False, False, True, True, False],
        [True, True, True, True, False],
    ]
