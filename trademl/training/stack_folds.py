"""Fold-consistent cross-validation of a stack: no meta-learner ever learns from what it is tested on, not even through
its bases.

Bases were validated by CPCV(N, k) with k >= 2: for any two folds g and h there is a split that tests both, whose base
models have seen no label of either. To predict fold g, the meta-learner trains on the rows of each other fold h with
the scores of **the first split, in the splitter's order, that tests g and h** (with k = 2 there is one); rows whose
labels overlap those of g, or lie in the embargo after them, are left out. The meta-learner of g then blends the scores
that each split gave the rows of g, so that a stack has the paths of its bases.

Plain out-of-fold scores would not do: those of fold h come from models that were mostly fitted on g, so a meta-learner
trained on them has learned from the labels of g.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError, SplitError
from trademl.governance.assignments import encode_splits, write_columns
from trademl.models.stacking.blend import Blend
from trademl.models.stacking.config import StackConfig
from trademl.models.stacking.fit import fit_blend
from trademl.training.dataset import TrainingData
from trademl.training.splits import Splitter
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.splits import Split

UNUSED = -1
"""Input split of a row that does not train a meta-learner."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FoldInputs:
    """What the meta-learner of one fold trains on.

    Attributes:
        fold: the fold that it predicts.
        rows: row of each training row.
        split: the split that made its base scores, shape (n,).
        scores: those scores, shape (n, bases), NaN where a base does not predict the row.
    """

    fold: int
    rows: NDArray[np.int64]
    split: NDArray[np.int64]
    scores: Scores


def checked_splitter(splitter: Splitter) -> CombinatorialPurgedCV:
    """Return the splitter if a stack can be validated under it.

    Raises:
        ConfigError: it is walk-forward, or tests one fold at a time.
    """
    if not isinstance(splitter, CombinatorialPurgedCV):
        raise ConfigError(
            "validation.kind=walk_forward: a block has predictions of one split, fitted on all blocks before it, so "
            "no two blocks are held out together and a meta-learner would learn from what it is tested on",
            remedy="train the runs, and the stack, with --validation cpcv --test-folds 2",
        )
    if splitter.n_test_folds < 2:
        raise ConfigError(
            f"validation.test_folds={splitter.n_test_folds}: no split holds out two folds, so a meta-learner would "
            "learn from scores of models that were fitted on the fold it is tested on",
            remedy="train the runs, and the stack, with --test-folds 2 or more",
        )
    return splitter


def meta_splits(splitter: CombinatorialPurgedCV, data: TrainingData) -> Iterator[Split]:
    """Yield the split of each fold's meta-learner: purged and embargoed like any other, one fold under test.

    Raises:
        SplitError: a meta-learner has no row to train on.
    """
    alone = CombinatorialPurgedCV(splitter.n_folds, 1, splitter.embargo, splitter.purge)
    for split in alone.split(data.spans):
        train = split.train[data.fitted[split.train]]
        if not len(train):
            raise SplitError(
                f"the meta-learner of fold {split.split_id} has {len(split.train)} train rows, none of which the "
                "configuration fits",
                remedy="choose more regimes, fewer folds or a wider date range",
            )
        yield split._replace(train=train)


def input_splits(splitter: CombinatorialPurgedCV, fold: int) -> NDArray[np.int64]:
    """Return for each fold the split whose scores of it train the meta-learner of ``fold``, shape (n_folds,).

    It is the first that tests both; for ``fold`` itself it is :data:`UNUSED`.

    >>> input_splits(CombinatorialPurgedCV(n_folds=4, n_test_folds=2), 1).tolist()
    [0, -1, 3, 4]
    """
    found = np.full(splitter.n_folds, UNUSED, dtype=np.int64)
    for other in range(splitter.n_folds):
        if other != fold:
            found[other] = next(
                number for number, tested in enumerate(splitter.test_folds) if fold in tested and other in tested
            )
    return found


def fold_inputs(
    splitter: CombinatorialPurgedCV, data: TrainingData, scores: Sequence[Scores], meta: Split
) -> FoldInputs:
    """Return what the meta-learner of the split ``meta`` trains on.

    Args:
        splitter: that of the bases.
        data: the stack's rows.
        scores: of each base, shape (n_paths, n_rows): row p is path p.
        meta: one of :func:`meta_splits`.
    """
    fold = meta.test_groups[0]
    folds = splitter.folds(data.spans)[meta.train]
    split = input_splits(splitter, fold)[folds]
    path = splitter.path_of()[split, folds]
    chosen = np.column_stack([base[path, meta.train] for base in scores])
    return FoldInputs(fold, meta.train, split, chosen)


def write_meta_assignments(path: Path, splitter: CombinatorialPurgedCV, data: TrainingData) -> Path:
    """Write which rows each meta-learner trains on and tests, as :mod:`trademl.governance.assignments` does.

    Column ``input_g`` says beside it which split made the base scores on which the row trains the meta-learner of fold
    g, :data:`UNUSED` where it does not.
    """
    folds = splitter.folds(data.spans)
    splits = list(meta_splits(splitter, data))
    columns = encode_splits(splits, len(data))
    for split in splits:
        used = np.full(len(data), UNUSED, dtype=np.int16)
        used[split.train] = input_splits(splitter, split.split_id)[folds[split.train]]
        columns[f"input_{split.split_id}"] = used
    return write_columns(path, columns)


@dataclass(frozen=True, eq=False)
class BlendedFold:
    """One fold, predicted by its meta-learner.

    Attributes:
        fold: its number.
        blend: the meta-learner.
        train_rows: how many rows it was fitted on, before those without the scores it needs were left out.
        rows: the fold's rows.
        scores: blended scores of each path, shape (n_paths, n), NaN where no base predicts the row.
    """

    fold: int
    blend: Blend
    train_rows: int
    rows: NDArray[np.int64]
    scores: Scores


def blend_folds(
    splitter: CombinatorialPurgedCV, data: TrainingData, scores: Sequence[Scores], config: StackConfig
) -> Iterator[BlendedFold]:
    """Fit the meta-learner of each fold and yield what it predicts; ``scores`` as in :func:`fold_inputs`.

    Raises:
        ModelError: a meta-learner cannot be fitted.
        SplitError: it has no row to train on.
    """
    for meta in meta_splits(splitter, data):
        inputs = fold_inputs(splitter, data, scores, meta)
        given = np.isfinite(inputs.scores).any(axis=1)
        rows = inputs.rows[given]
        blend = fit_blend(inputs.scores[given], data.target[rows], data.weight[rows], config, config.bases)
        blended = [
            blend.predict(np.column_stack([base[path, meta.test] for base in scores]))
            for path in range(splitter.n_paths)
        ]
        yield BlendedFold(inputs.fold, blend, len(rows), meta.test, np.stack(blended))


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return each base's score averaged over the paths that have one, shape (n_rows, bases), NaN where none has."""
    columns = []
    for base in scores:
        known = np.isfinite(base)
        count = known.sum(axis=0)
        total = np.where(known, base, 0.0).sum(axis=0)
        columns.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.column_stack(columns)


def mean_shares(folds: Sequence[BlendedFold]) -> Mapping[str, float]:
    """Return each base's share of the blend, averaged over the folds."""
    shares = [fold.blend.shares() for fold in folds]
    return {name: float(np.mean([share[name] for share in shares])) for name in shares[0]}
