"""Combinatorial purged cross-validation against a loop oracle, and by hand."""

import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracles.splits import cpcv_splits, folds_of, overlapping_pairs
from tests.validation.panels import dense_panel, random_panels
from trademl.errors import SplitError
from trademl.validation.cpcv import CombinatorialPurgedCV, PurgedKFold
from trademl.validation.spans import LabelSpans
from trademl.validation.splits import Split

PURGES = st.sampled_from(["all", "entity"])
quickly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def splits_or_none(cv: CombinatorialPurgedCV, spans: LabelSpans) -> list[Split] | None:
    try:
        return list(cv.split(spans))
    except SplitError:
        return None


@quickly
@given(random_panels(), st.integers(2, 6), st.integers(1, 3), st.integers(0, 6), PURGES)
def test_splits_equal_those_of_the_loop_oracle(spans: LabelSpans, n: int, k: int, embargo: int, purge: str) -> None:
    """Train and test rows are exactly those that the definitions, applied row by row and pair by pair, leave."""
    k = min(k, n - 1)
    expected = cpcv_splits(spans, n, k, embargo, purge)
    actual = splits_or_none(CombinatorialPurgedCV(n, k, embargo, purge), spans)
    if actual is None:
        assert any(not train for train, _, _ in expected)
        return
    assert [split.split_id for split in actual] == list(range(len(expected)))
    assert [(s.train.tolist(), s.test.tolist(), s.test_groups) for s in actual] == expected


@quickly
@given(random_panels(), PURGES, st.integers(0, 4))
def test_no_train_row_leaks(spans: LabelSpans, purge: str, embargo: int) -> None:
    """No train label overlaps a test label (of its entity, or of any), and no row plays both roles."""
    for split in splits_or_none(CombinatorialPurgedCV(5, 2, embargo, purge), spans) or []:
        train, test = split.train.tolist(), split.test.tolist()
        assert not set(train) & set(test)
        assert overlapping_pairs(spans, train, test, same_entity=purge == "entity") == []


@quickly
@given(random_panels(), st.integers(2, 6), st.integers(1, 3))
def test_each_row_is_tested_once_per_path(spans: LabelSpans, n: int, k: int) -> None:
    """Every row is in exactly one fold and is tested in exactly C(N - 1, k - 1) splits."""
    k = min(k, n - 1)
    cv = CombinatorialPurgedCV(n, k, 0, "entity")
    assert cv.folds(spans).tolist() == folds_of(spans, n)
    tested = np.zeros(len(spans), int)
    for split in splits_or_none(cv, spans) or []:
        tested[split.test] += 1
    assert set(tested.tolist()) <= {cv.n_paths, 0}
    assert len(set(tested.tolist())) == 1


@quickly
@given(random_panels(), st.randoms(use_true_random=False), PURGES)
def test_permuting_the_rows_permutes_the_splits(spans: LabelSpans, random, purge: str) -> None:
    """The order in which rows are given does not matter, and the same rows always give the same splits."""
    order = np.array(random.sample(range(len(spans)), len(spans)))
    cv = CombinatorialPurgedCV(4, 2, 1, purge)
    straight, shuffled = splits_or_none(cv, spans), splits_or_none(cv, spans.take(order))
    if straight is None or shuffled is None:
        assert straight is shuffled
        return
    for one, other in zip(straight, shuffled, strict=True):
        assert np.sort(order[other.train]).tolist() == one.train.tolist()
        assert np.sort(order[other.test]).tolist() == one.test.tolist()


def test_a_block_purges_its_labels_and_embargoes_after_the_last_one() -> None:
    """By hand: 30 sessions, 3 folds, labels of 2 sessions, embargo 3, the middle fold (10 to 19) under test.

    Labels of the test block end at 21. Train rows 8 and 9 reach into it (8 + 2 = 10); 20 and 21 start inside its
    labels; 22, 23 and 24 are embargoed. That leaves 0 to 7 and 25 to 29.
    """
    splits = list(PurgedKFold(3, embargo=3).split(dense_panel(30, 1, 2)))
    assert splits[1].test.tolist() == list(range(10, 20))
    assert splits[1].train.tolist() == [*range(8), *range(25, 30)]


def test_adjacent_test_folds_act_as_one_block() -> None:
    """No embargo is laid between neighbouring test folds, and none after the panel's end."""
    splits = list(CombinatorialPurgedCV(4, 2, embargo=2).split(dense_panel(16, 1, 0)))
    by_folds = {split.test_groups: split.train.tolist() for split in splits}
    assert by_folds[0, 1] == [*range(10, 16)]
    assert by_folds[2, 3] == [*range(8)]
    assert by_folds[0, 2] == [6, 7, 14, 15]


def test_purging_by_entity_keeps_other_entities_inside_the_label_window() -> None:
    """Rows inside the block's label window stay when no test label of their own entity reaches them."""
    start = np.array([0, 1, 2, 3, 4, 5, 6, 7, 3, 4, 5, 6])
    entity = np.array([0] * 8 + [1] * 4)
    end = start + np.where(entity == 0, 2, 0)
    spans = LabelSpans(start, end, entity)
    first_fold_tested = next(iter(PurgedKFold(2, embargo=1, purge="entity").split(spans)))
    # Fold 0 is sessions 0 to 3. Entity 0's labels reach 5, so its 4 and 5 go; entity 1's own label ends at 3, so its
    # 4 and 5 stay; 6 is embargoed for both.
    assert spans.start[first_fold_tested.train].tolist() == [7, 4, 5]
    assert spans.entity[first_fold_tested.train].tolist() == [0, 1, 1]


@pytest.mark.parametrize("n, k", [(6, 2), (5, 2), (8, 2), (10, 3), (4, 1)])
def test_paths_cover_each_split_and_fold_once(n: int, k: int) -> None:
    """Each path tests every fold once, and every (split, tested fold) belongs to exactly one path."""
    cv = CombinatorialPurgedCV(n, k)
    served = [(int(split), fold) for fold, row in enumerate(cv.paths()) for split in row]
    assert sorted(served) == [(s, f) for s, folds in enumerate(combinations(range(n), k)) for f in folds]
    assert cv.paths().shape == (n, cv.n_paths)
    assert cv.n_paths == cv.n_splits * k / n
    path_of = cv.path_of()
    for fold, row in enumerate(cv.paths()):
        assert path_of[row, fold].tolist() == list(range(cv.n_paths))
    assert int((path_of >= 0).sum()) == cv.n_splits * k


@pytest.mark.parametrize(
    "parameters, message",
    [
        (
            {"n_folds": 3, "n_test_folds": 3},
            r"`n_folds=3`, `n_test_folds=3` leaves no training fold\n.*n_test_folds <= 2",
        ),
        ({"n_folds": 1, "n_test_folds": 1}, "`n_folds=1` cannot hold"),
        ({"n_test_folds": 0}, "`n_test_folds=0` tests nothing"),
        ({"embargo": -1}, "`embargo=-1` is negative"),
        ({"purge": "symbol"}, "`purge='symbol'` is not a rule"),
    ],
)
def test_parameters_that_cannot_split_are_refused(parameters: dict, message: str) -> None:
    """What was asked, the value and the remedy are in the message."""
    with pytest.raises(SplitError, match=message):
        CombinatorialPurgedCV(**parameters)


def test_k_fold_has_one_test_fold() -> None:
    """PurgedKFold is the case k = 1 and nothing else."""
    assert (PurgedKFold().n_splits, PurgedKFold().n_paths) == (5, 1)
    with pytest.raises(SplitError, match="is not k-fold"):
        PurgedKFold(n_test_folds=2)


def test_an_embargo_that_eats_all_train_rows_is_refused() -> None:
    """The message names the split, its test folds and how many rows were lost."""
    with pytest.raises(SplitError, match=r"no train row in split 0 \(test folds \(0,\)\).*all 10 rows"):
        list(PurgedKFold(2, embargo=30).split(dense_panel(20, 1, 0)))


def test_too_few_sessions_are_refused_before_the_first_split() -> None:
    """The call itself raises, so that nothing is fitted first."""
    with pytest.raises(SplitError, match="distinct sessions"):
        CombinatorialPurgedCV(8, 2).split(dense_panel(7, 100, 1))


def test_a_fractional_embargo_counts_all_sessions() -> None:
    """5 % of 100 sessions is 5 sessions."""
    spans = dense_panel(100, 2, 3)
    fraction, sessions = PurgedKFold(4, embargo=0.05).split(spans), PurgedKFold(4, embargo=5).split(spans)
    for one, other in zip(fraction, sessions, strict=True):
        assert one.train.tolist() == other.train.tolist()


def test_a_quarter_million_rows_split_fast() -> None:
    """15 splits of 250,000 rows take a fraction of a second (bound wide enough for a busy machine)."""
    spans = dense_panel(500, 500, 5)
    list(CombinatorialPurgedCV(6, 2, 10).split(spans))
    began = time.process_time()
    assert sum(1 for _ in CombinatorialPurgedCV(6, 2, 10).split(spans)) == 15
    assert time.process_time() - began < 0.5
