"""Is a Sharpe ratio luck? Probabilistic and deflated Sharpe ratios, and how long a track record must be.

All Sharpe ratios are per period of the returns they come from (divide an annual one by sqrt(periods a year)), and
kurtosis is Pearson's: 3 for a normal distribution. Sources: Bailey & Lopez de Prado, "The Sharpe Ratio Efficient
Frontier" (2012) [SREF]; "The Deflated Sharpe Ratio" (2014) [DSR]; Bailey, Borwein, Lopez de Prado & Zhu,
"Pseudo-Mathematics and Financial Charlatanism" (2014) [PMFC].
"""

from dataclasses import dataclass
from math import ceil, e, erfc, exp, log, pi, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

FloatArray = NDArray[np.float64]

EULER_MASCHERONI = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True)
class ReturnMoments:
    """What the statistics below need of a return series: all per period, with population skewness and Pearson kurtosis.

    ``sharpe`` is mean / standard deviation (n - 1), NaN for a series without variation; ``n`` is the number of returns.
    """

    sharpe: float
    skew: float
    kurtosis: float
    n: int


def return_moments(returns: FloatArray) -> ReturnMoments:
    """Measure a series of excess returns, shape (n,).

    Raises:
        ModelError: fewer than 2 returns, or one that is not finite.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not bool(np.isfinite(values).all()):
        raise ModelError(
            f"a return series of shape {values.shape} with {int((~np.isfinite(values)).sum())} not finite",
            remedy="give at least 2 finite returns in one dimension",
        )
    if values.max() == values.min():
        return ReturnMoments(sharpe=np.nan, skew=0.0, kurtosis=3.0, n=len(values))
    deviation = values - values.mean()
    variance = float(np.mean(deviation**2))
    return ReturnMoments(
        sharpe=float(values.mean() / values.std(ddof=1)),
        skew=float(np.mean(deviation**3)) / variance**1.5,
        kurtosis=float(np.mean(deviation**4)) / variance**2,
        n=len(values),
    )


def probabilistic_sharpe_ratio(
    sharpe: float, n: int, *, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Return the probability that the true Sharpe ratio exceeds ``benchmark`` [SREF eq. 11].

    Args:
        sharpe: observed, per period.
        n: number of returns, at least 2.
        skew: of the returns.
        kurtosis: of the returns, Pearson's.
        benchmark: per period.

    Raises:
        ModelError: fewer than 2 returns, or moments that no distribution has.

    >>> round(probabilistic_sharpe_ratio(1.585 / 12**0.5, 24, skew=-2.448, kurtosis=10.164), 4)
    0.9132
    """
    if n < 2:
        raise ModelError(f"`n={n}` returns say nothing about a Sharpe ratio", remedy="use at least 2 returns")
    return _cdf((sharpe - benchmark) * sqrt(n - 1) / sqrt(_variance_factor(sharpe, skew, kurtosis)))


def expected_maximum_sharpe(n_trials: float, variance: float, *, mean: float = 0.0) -> float:
    """Return the Sharpe ratio to expect of the best of ``n_trials`` without skill [DSR eq. 1; PMFC eq. 5].

    ``mean + sqrt(variance) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e)))``, with g the Euler-Mascheroni constant and Z the
    normal quantile. One trial has no selection: the mean itself.

    Args:
        n_trials: N, independent trials (may be an effective, fractional number), at least 1.
        variance: of the Sharpe ratios across trials, in the squared unit of the result.
        mean: of the Sharpe ratios across trials under the null.

    Raises:
        ModelError: fewer than 1 trial, or a negative variance.
    """
    if n_trials < 1 or variance < 0:
        raise ModelError(
            f"`n_trials={n_trials}`, `variance={variance}`", remedy="use at least 1 trial and a variance of at least 0"
        )
    if n_trials == 1:
        return mean
    return mean + sqrt(variance) * _standard_maximum(n_trials)


def expected_maximum_exact(n_trials: int) -> float:
    """Return the exact expectation of the largest of ``n_trials`` standard normals, to about 1e-12.

    The integral of ``x N f(x) F(x)^(N-1)``; the trapezium rule converges geometrically on such integrands. The formula
    in :func:`expected_maximum_sharpe` is 0.9 % above it at N = 100.
    """
    if n_trials < 1:
        raise ModelError(f"`n_trials={n_trials}`", remedy="use at least 1 trial")
    step = 1 / 64
    grid = [step * position for position in range(-12 * 64, 12 * 64 + 1)]
    return sum(x * n_trials * exp(-x * x / 2) / sqrt(2 * pi) * _cdf(x) ** (n_trials - 1) for x in grid) * step


def deflated_sharpe_ratio(
    sharpe: float,
    n: int,
    *,
    n_trials: float,
    trials_variance: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """Return the probability that the best trial's true Sharpe ratio is above 0, given how many were tried [DSR eq. 2].

    Args:
        sharpe: of the selected strategy, per period.
        n: number of its returns.
        n_trials: independent trials it was selected from.
        trials_variance: variance of the Sharpe ratios across trials, per period. With few trials n - 1 or n in the
            denominator matters much; trademl uses n - 1 (see :func:`sharpe_variance`).
        skew: of its returns.
        kurtosis: of its returns, Pearson's.

    >>> daily = 250**0.5
    >>> dsr = deflated_sharpe_ratio(2.5 / daily, 1250, n_trials=100, trials_variance=0.5 / 250, skew=-3, kurtosis=10)
    >>> round(dsr, 4)
    0.9004
    """
    threshold = expected_maximum_sharpe(n_trials, trials_variance)
    return probabilistic_sharpe_ratio(sharpe, n, skew=skew, kurtosis=kurtosis, benchmark=threshold)


def sharpe_variance(trial_sharpes: FloatArray, *, ddof: int = 1) -> float:
    """Return the variance of Sharpe ratios across trials; 0 for a single trial."""
    values = np.asarray(trial_sharpes, dtype=np.float64)
    return float(values.var(ddof=ddof)) if len(values) > ddof else 0.0


def minimum_track_record_length(
    sharpe: float, *, benchmark: float = 0.0, skew: float = 0.0, kurtosis: float = 3.0, confidence: float = 0.95
) -> float:
    """Return how many returns (a real number) make PSR reach ``confidence`` [SREF eq. 13]; infinite at or below the
    benchmark.

    The least whole number of returns is ``ceil`` of it; divide by the periods a year for years.

    Raises:
        ModelError: a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ModelError(f"`confidence={confidence}` is not a probability in (0, 1)", remedy="use, say, 0.95")
    if sharpe <= benchmark:
        return np.inf
    quantile = _NORMAL.inv_cdf(confidence)
    return 1 + _variance_factor(sharpe, skew, kurtosis) * (quantile / (sharpe - benchmark)) ** 2


@dataclass(frozen=True)
class MinimumBacktest:
    """``years`` that a backtest must span, and the looser closed form ``upper_bound = 2 ln(N) / target^2``."""

    years: float
    upper_bound: float


def minimum_backtest_length(n_trials: int, *, target_sharpe: float = 1.0) -> MinimumBacktest:
    """Return how long a backtest must be so that the best of ``n_trials`` without skill is not expected at the target.

    ``(E[max of N standard normals] / target)^2`` years, with ``target_sharpe`` annual [PMFC eq. 6].

    Raises:
        ModelError: fewer than 2 trials or a target that is not positive.
    """
    if n_trials < 2 or target_sharpe <= 0:
        raise ModelError(
            f"`n_trials={n_trials}`, `target_sharpe={target_sharpe}`",
            remedy="use at least 2 trials and a positive target",
        )
    return MinimumBacktest(
        years=(_standard_maximum(n_trials) / target_sharpe) ** 2, upper_bound=2 * log(n_trials) / target_sharpe**2
    )


def whole_returns(length: float) -> float:
    """Round a track record length up to whole returns; infinity stays."""
    return length if length == np.inf else float(ceil(length))


def _standard_maximum(n_trials: float) -> float:
    near, far = _NORMAL.inv_cdf(1 - 1 / n_trials), _NORMAL.inv_cdf(1 - 1 / (n_trials * e))
    return (1 - EULER_MASCHERONI) * near + EULER_MASCHERONI * far


def _variance_factor(sharpe: float, skew: float, kurtosis: float) -> float:
    """(n - 1) times the variance of a Sharpe ratio's estimate, for returns with these moments (Mertens 2002)."""
    factor = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if not factor > 0:
        raise ModelError(
            f"skew {skew} and kurtosis {kurtosis} at Sharpe ratio {sharpe} give a variance of {factor}",
            remedy="give Pearson's kurtosis (normal: 3; at least 1 + skew^2) and the Sharpe ratio per period",
        )
    return factor


def _cdf(x: float) -> float:
    return 0.5 * erfc(-x / sqrt(2))
