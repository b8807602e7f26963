"""Base predictions within one fit: each row is predicted by models that knew neither it nor what overlaps it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError, SplitError
from trademl.models.base import Progress
from trademl.models.boosting.xgboost import QuantisedData, XGBoostModel
from trademl.models.stacking.xgboost_ridge_config import XGBoostRidgeConfig
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.spans import LabelSpans

Array = NDArray[np.float64]


def out_of_fold(
    data: QuantisedData,
    y: Array,
    weight: Array,
    spans: LabelSpans,
    config: XGBoostRidgeConfig,
    progress: Progress | None = None,
) -> Array:
    """Return the out-of-fold prediction of every row by every base, shape (rows, bases).

    The rows are split by CPCV over their sessions (``config.inner``), purged and embargoed by ``spans``; a row's
    prediction is the mean over the splits that test it.

    Args:
        data: the rows of the fit, all of them.
        y: labels, finite, shape (rows,).
        weight: sample weights, at least 0, shape (rows,).
        spans: the rows' label spans.
        config: bases and inner validation.
        progress: called with (base models fitted, to fit), the last ones being those of :func:`fit_bases`.

    Raises:
        ModelError: the rows have too few sessions for the inner folds, or a split is left without weight.
    """
    inner = config.inner
    splitter = CombinatorialPurgedCV(inner.folds, inner.test_folds, inner.embargo)
    total, count = np.zeros((len(y), len(config.bases))), np.zeros(len(y))
    fits = (splitter.n_splits + 1) * len(config.bases)
    done = 0
    try:
        for split in splitter.split(spans):
            train = split.train[weight[split.train] > 0]
            if not len(train):
                raise ModelError(
                    f"split {split.split_id} of the inner validation has no train row with weight",
                    remedy="use fewer model.inner.folds, or weight the rows otherwise",
                )
            own = QuantisedData(
                data.feature_names, len(train), data.matrix[train], data.subset(train), data.max_bin, data.threads
            )
            tested = np.ascontiguousarray(data.matrix[split.test])
            for number, base in enumerate(fit_bases(own, y[train], weight[train], config)):
                total[split.test, number] += base.predict(tested)
                done += 1
                if progress is not None:
                    progress(done, fits)
            count[split.test] += 1
    except SplitError as error:
        raise ModelError(
            f"the {len(y)} rows of a fit cannot be predicted out of fold: {error.message}",
            remedy="use fewer model.inner.folds or a smaller model.inner.embargo, or train on more history",
        ) from error
    if progress is not None:
        progress(fits, fits)
    mean: Array = total / count[:, None]
    return mean


def fit_bases(data: QuantisedData, y: Array, weight: Array, config: XGBoostRidgeConfig) -> Iterator[XGBoostModel]:
    """Yield each base model, fitted on all rows of ``data``."""
    for number in range(len(config.bases)):
        yield XGBoostModel(config.base(number), data.feature_names).fit_rows(data, y, weight=weight)
