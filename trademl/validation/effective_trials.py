"""How many independent trials were there really? Clusters of correlated trials, and how their Sharpe ratios vary.

Fifty settings of one model are not fifty ideas, and the deflated Sharpe ratio needs the number of ideas and the
variance of their Sharpe ratios. Source: Lopez de Prado & Lewis, "Detection of False Investment Strategies Using
Unsupervised Learning Methods", Quantitative Finance 19(9) (2019) [LL]. As there, the distance of two trials is
``sqrt((1 - correlation) / 2)``, the silhouette decides how many clusters there are, and a cluster's returns are those
of its members weighted by inverse variance. Unlike there, clusters come from average-linkage hierarchical clustering
instead of k-means with random starts, so there is no seed, and the cut is chosen by the mean silhouette (Rousseeuw
1987) instead of its ratio to the standard deviation, which rewards splitting a tight cluster into equally bad halves.

k-means must place every trial in some cluster, even when nothing is correlated, and never finds that there is one
cluster. Here the correlation of 0 is the yardstick: a trial is compared with the nearest other cluster or with a trial
uncorrelated to it, whichever is nearer; clusters are joined only while their mean distance is short enough for a
silhouette of 0.25 against the latter ("no substantial structure" below it: Kaufman & Rousseeuw 1990), about a
correlation of 0.44, and than chance would make it. What is in doubt stays apart: more trials, a higher bar.
"""

from dataclasses import dataclass
from math import sqrt, tanh
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.validation.sharpe import sharpe_variance

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_UNCORRELATED = sqrt(0.5)
_SUBSTANTIAL = 0.25
_CHANCE = 0.05


@dataclass(frozen=True, eq=False)
class EffectiveTrials:
    """Clusters of trials.

    Attributes:
        n_effective: number of clusters, at least 1: the N of :func:`trademl.validation.sharpe.deflated_sharpe_ratio`.
        sharpe_variance: variance (n - 1) of the clusters' Sharpe ratios, per period; 0 for one cluster, which says
            nothing about luck: use at least the variance of one estimate, 1 / (periods - 1), beside it.
        labels: cluster of each trial, shape (trials,), numbered by first appearance; -1 for a trial whose return never
            varied (it made no bet, so it is none of the trials counted).
        quality: mean silhouette of the distinct trials: 0 when no two belong together, near 1 for tight clusters.
    """

    n_effective: int
    sharpe_variance: float
    labels: IntArray
    quality: float


def effective_trials(returns: FloatArray) -> EffectiveTrials:
    """Cluster trials by the correlation of their returns.

    Equal columns are one trial. The order of the columns does not matter, to the last bit.

    Args:
        returns: net returns on the same dates, shape (periods, trials), at least 4 periods and 1 trial.

    Raises:
        ModelError: too few periods or trials, or a return that is not finite.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < 4 or values.shape[1] < 1 or not bool(np.isfinite(values).all()):
        raise ModelError(
            f"returns of shape {values.shape} with {int((~np.isfinite(values)).sum())} not finite",
            remedy="give finite returns of at least 4 periods (rows) and 1 trial (columns)",
        )
    labels = np.full(values.shape[1], -1, dtype=np.int64)
    varies = values.max(axis=0) > values.min(axis=0)
    if not varies.any():
        return EffectiveTrials(1, 0.0, labels, 0.0)
    # Sorted columns make every sum below the same whatever the order was; equal ones become one.
    distinct, member = np.unique(values[:, varies], axis=1, return_inverse=True)
    cluster, quality = _cluster(_distances(distinct), len(distinct))
    labels[varies] = _by_appearance(cluster[member.ravel()])
    sharpes = np.array([_sharpe(distinct[:, cluster == label]) for label in range(int(cluster.max()) + 1)])
    return EffectiveTrials(len(sharpes), sharpe_variance(sharpes), labels, quality)


def _distances(values: FloatArray) -> FloatArray:
    """Return ``sqrt((1 - correlation) / 2)`` of every two columns, shape (n, n): 0 together, 1 opposite [LL]."""
    deviation = values - values.mean(axis=0)
    # Scaled to its largest member first, a series of tiny returns has a length that does not underflow.
    deviation /= np.abs(deviation).max(axis=0)
    unit = deviation / np.sqrt((deviation**2).sum(axis=0))
    correlation = np.clip(unit.T @ unit, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(np.sqrt((1 - (correlation + correlation.T) / 2) / 2))


def _cluster(distance: FloatArray, periods: int) -> tuple[IntArray, float]:
    """Join the two nearest clusters again and again; return the labels of the best cut and its mean silhouette.

    The distance of two clusters is the mean over their pairs of trials. Labels run from 0.
    """
    n = len(distance)
    labels = np.arange(n)
    best, quality = labels.copy(), 0.0
    limit = _longest_join(n, periods)
    size = np.ones(n)
    # total[i, c]: sum of distances from trial i to the trials of cluster c; between: the same from cluster to cluster.
    total, between = distance.copy(), distance.copy()
    np.fill_diagonal(between, np.inf)
    for _ in range(n - 1):
        mean = between / np.outer(size, size)
        one, other = divmod(int(mean.argmin()), len(size))
        if mean[one, other] > limit:
            break
        one, other = min(one, other), max(one, other)
        total[:, one] += total[:, other]
        between[one] += between[other]
        between[:, one] = between[one]
        between[one, one] = np.inf
        size[one] += size[other]
        total, size = np.delete(total, other, axis=1), np.delete(size, other)
        between = np.delete(np.delete(between, other, axis=0), other, axis=1)
        labels = np.where(labels == other, one, labels - (labels > other))
        reached = float(_silhouettes(total, labels, size).mean())
        # Of cuts that are equally good, the coarser one.
        if reached >= quality:
            best, quality = labels.copy(), reached
    return best, quality


def _silhouettes(total: FloatArray, labels: IntArray, size: FloatArray) -> FloatArray:
    """Return each trial's ``(b - a) / max(a, b)``: a its mean distance to its cluster, b to the nearest other.

    No other is taken to be farther than an uncorrelated trial. A trial alone in its cluster has 0.
    """
    trial = np.arange(len(labels))
    own = size[labels]
    inside = total[trial, labels] / np.maximum(own - 1, 1)
    others = total / size
    others[trial, labels] = np.inf
    outside = np.minimum(others.min(axis=1), _UNCORRELATED)
    larger = np.maximum(inside, outside)
    return np.where((own > 1) & (larger > 0), (outside - inside) / np.where(larger > 0, larger, 1.0), 0.0)


def _longest_join(n: int, periods: int) -> float:
    """Return the longest mean distance at which clusters are joined.

    Beside the silhouette's limit stands that of chance: the correlation which the most correlated of all pairs of
    independent trials exceeds once in 20 samples (Fisher's z, Bonferroni).
    """
    pairs = max(n * (n - 1) / 2, 1)
    chance = tanh(NormalDist().inv_cdf(1 - _CHANCE / pairs) / sqrt(periods - 3))
    return min((1 - _SUBSTANTIAL) * _UNCORRELATED, sqrt((1 - chance) / 2))


def _sharpe(members: FloatArray) -> float:
    """Return the Sharpe ratio per period of a cluster's returns, its trials weighted by inverse variance [LL]."""
    members = members / np.abs(members).max()
    variance = members.var(axis=0, ddof=1)
    together = members @ (variance.min() / variance)
    deviation = float(together.std(ddof=1))
    return float(together.mean()) / deviation if deviation > 0 else 0.0


def _by_appearance(labels: IntArray) -> IntArray:
    """Number clusters in the order in which they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int64)[inverse]
