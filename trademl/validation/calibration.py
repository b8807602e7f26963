"""Turn scores into probabilities, and measure how honest probabilities are.

Fitted calibrators are plain numbers (knots, or two coefficients) kept as JSON, so that SQL, Python and ONNX apply the
same function, bit for bit: :func:`apply` uses only operations that IEEE 754 fixes to the last bit, and
``validation.calibration_sql`` and ``models.onnx_calibrator`` repeat them in its order. Applying needs numpy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.validation.sigmoid import sigmoid

FloatArray = NDArray[np.float64]
Clip = tuple[float, float]

PROBABILITY_RANGE: Clip = (0.01, 0.99)
"""Published probabilities stay inside it: no sample backs a certainty."""

EVENT_RANGE: Clip = (0.001, 0.999)
"""The same for events that may be rarer than one in a hundred: the heads of the task ``binary``."""


@dataclass(frozen=True, eq=False)
class Knots:
    """A non-decreasing piecewise-linear function: ``y`` at ``x``, straight between, constant outside.

    Attributes:
        x: scores, strictly increasing, shape (k,), k >= 1; the last less the first is a finite number.
        y: probabilities at them, non-decreasing, in [0, 1], shape (k,).
    """

    x: FloatArray
    y: FloatArray

    def __post_init__(self) -> None:
        # Adding 0 turns -0.0 into 0.0, which the engines would not tell apart in the same way.
        x, y = np.asarray(self.x, dtype=np.float64) + 0.0, np.asarray(self.y, dtype=np.float64) + 0.0
        fits = x.ndim == 1 and x.shape == y.shape and len(x) > 0 and bool(np.isfinite(x).all() and np.isfinite(y).all())
        fits = fits and float(x[-1]) - float(x[0]) < np.inf
        if not fits or bool((np.diff(x) <= 0).any() or (np.diff(y) < 0).any()) or y[0] < 0 or y[-1] > 1:
            raise ModelError(
                f"{x.size} knots in x and {y.size} in y are not a calibration curve",
                remedy="x must increase strictly, y must not decrease and lie in [0, 1], both finite and of one length",
            )
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)

    @property
    def slope(self) -> FloatArray:
        """Rise from each knot to the next, per unit of score; 0 from the last one. Shape (k,)."""
        # Between neighbouring tiny numbers the rise overflows; a finite one times a distance of 0 is 0, not NaN.
        with np.errstate(over="ignore"):
            rise = np.diff(self.y) / np.diff(self.x)
        return np.append(np.minimum(rise, np.finfo(np.float64).max), 0.0)

    @property
    def ceiling(self) -> FloatArray:
        """Probability at the next knot, which rounding must not overshoot; at the last one its own. Shape (k,)."""
        return np.append(self.y[1:], self.y[-1])

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON; reading them back gives the same function, bit for bit."""
        return {"kind": "isotonic", "x": self.x.tolist(), "y": self.y.tolist()}


@dataclass(frozen=True)
class Platt:
    """The sigmoid ``1 / (1 + exp(a score + b))``; ``a`` is negative when high scores mean more events (Platt 1999)."""

    a: float
    b: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        return {"kind": "platt", "a": self.a, "b": self.b}


Calibrator = Knots | Platt


def from_dict(stored: Mapping[str, Any]) -> Calibrator:
    """Read a calibrator back from its JSON form.

    Raises:
        ModelError: the kind is unknown or a number is missing.
    """
    kind = stored.get("kind")
    try:
        if kind == "isotonic":
            return Knots(np.array(stored["x"], dtype=np.float64), np.array(stored["y"], dtype=np.float64))
        if kind == "platt":
            return Platt(float(stored["a"]), float(stored["b"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"a stored {kind} calibrator is damaged: {error!r}", remedy="fit it again") from error
    raise ModelError(f"`kind={kind!r}` is not a calibrator", remedy="use 'isotonic' or 'platt'")


def apply(calibrator: Calibrator, score: FloatArray, *, clip: Clip | None = None) -> FloatArray:
    """Return the probability of each score, in the shape given; NaN stays NaN. ``clip`` bounds it, as (0.01, 0.99)."""
    values = np.asarray(score, dtype=np.float64)
    if isinstance(calibrator, Knots):
        result = _interpolated(calibrator, values)
    else:
        # An infinite score is far out on its side; infinity times a slope of 0 is NaN.
        with np.errstate(over="ignore", invalid="ignore"):
            result = sigmoid(-(calibrator.a * values + calibrator.b))
    return result if clip is None else np.clip(result, *clip)


def fit_isotonic(score: FloatArray, y: FloatArray, weight: FloatArray | None = None) -> Knots:
    """Fit the non-decreasing function with least weighted squared error, by pooling adjacent violators.

    Equal scores are pooled first. Each block of the fit gives a knot at its lowest and its highest score, so between
    blocks the curve is a straight line, as in scikit-learn's IsotonicRegression (Zadrozny & Elkan 2002).

    Args:
        score: any real scores, shape (n,); pairs with a NaN are left out.
        y: 0 or 1 (or a rate in [0, 1]), shape (n,).
        weight: positive row weights, shape (n,).

    Raises:
        ModelError: no finite pair, an outcome outside [0, 1], or a weight that is not positive.
    """
    x, target, mass = _clean(score, y, weight)
    order = np.argsort(x, kind="stable")
    x, target, mass = x[order], target[order], mass[order]
    start = np.flatnonzero(np.concatenate(([True], x[1:] != x[:-1])))
    total, mass = np.add.reduceat(target * mass, start), np.add.reduceat(mass, start)
    level, members = _pool_adjacent_violators(total / mass, mass)
    distinct = x[start]
    last = np.cumsum(members) - 1
    low, high = distinct[last - members + 1], distinct[last]
    wide = high > low
    knots_x = np.empty(len(level) + int(wide.sum()))
    place = np.arange(len(level)) + np.concatenate(([0], np.cumsum(wide)[:-1]))
    knots_x[place], knots_x[place[wide] + 1] = low, high[wide]
    knots_y = np.repeat(level, 1 + wide)
    return Knots(knots_x, np.clip(np.maximum.accumulate(knots_y), 0.0, 1.0))


def fit_platt(score: FloatArray, y: FloatArray, weight: FloatArray | None = None) -> Platt:
    """Fit Platt's sigmoid by Newton's method with his smoothed targets (Lin, Lin & Weng 2007, algorithm 1).

    Scores are standardised while fitting, so their unit does not matter.

    Raises:
        ModelError: as :func:`fit_isotonic`, or all outcomes are of one class.
    """
    x, outcome, mass = _clean(score, y, weight)
    positive, negative = float(mass @ outcome), float(mass @ (1 - outcome))
    if positive == 0 or negative == 0:
        raise ModelError(
            f"all {len(x)} outcomes are {outcome[0]:.0f}", remedy="a sigmoid needs both classes; use more history"
        )
    target = outcome * (positive + 1) / (positive + 2) + (1 - outcome) / (negative + 2)
    centre, scale = float(np.average(x, weights=mass)), float(x.std()) or 1.0
    design = np.column_stack(((x - centre) / scale, np.ones_like(x)))
    beta = np.array([0.0, np.log((negative + 1) / (positive + 1))])
    loss = _platt_loss(beta, design, target, mass)
    for _ in range(100):
        probability = sigmoid(-(design @ beta))
        gradient = design.T @ (mass * (target - probability))
        if float(np.abs(gradient).max()) <= 1e-12 * float(mass.sum()):
            break
        curvature = (design * (mass * probability * (1 - probability))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = -np.linalg.solve(curvature, gradient)
        length = 1.0
        # Near the optimum the loss differs by rounding only; Newton's full step is still the better point.
        while (tried := _platt_loss(beta + length * step, design, target, mass)) > loss * (1 + 1e-12) and length > 1e-6:
            length /= 2
        beta, loss = beta + length * step, tried
    return Platt(a=float(beta[0] / scale), b=float(beta[1] - beta[0] * centre / scale))


def brier(p: FloatArray, y: FloatArray) -> float:
    """Mean squared difference of probability and outcome (Brier 1950): 0 is perfect, 0.25 what p = 0.5 gives."""
    probability, outcome, _ = _clean(p, y, None, probabilities=True)
    return float(np.mean((probability - outcome) ** 2))


def log_loss(p: FloatArray, y: FloatArray, *, epsilon: float = 1e-15) -> float:
    """Mean negative log-likelihood in nats; probabilities are first moved ``epsilon`` away from 0 and 1."""
    probability, outcome, _ = _clean(p, y, None, probabilities=True)
    safe = np.clip(probability, epsilon, 1 - epsilon)
    return float(-np.mean(outcome * np.log(safe) + (1 - outcome) * np.log1p(-safe)))


@dataclass(frozen=True)
class BrierParts:
    """``brier = reliability - resolution + uncertainty + within_bins``, exactly.

    Attributes:
        reliability: weighted squared gap between a bin's mean probability and its event rate; 0 is calibrated.
        resolution: weighted squared gap between a bin's event rate and the overall rate; more is sharper.
        uncertainty: rate (1 - rate), what the base rate alone gives.
        within_bins: variance of probabilities in their bin less twice their covariance with the outcome; 0 when a bin
            holds one probability only (Stephenson, Coelho & Jolliffe 2008).
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """Bins that hold at least one row, in order.

    Attributes:
        edges: all bin edges, shape (n_bins + 1,).
        index: which bin, shape (m,).
        count: rows in it. confidence: their mean probability. accuracy: their event rate. All shape (m,).
    """

    edges: FloatArray
    index: NDArray[np.int64]
    count: NDArray[np.int64]
    confidence: FloatArray
    accuracy: FloatArray

    @property
    def gap(self) -> FloatArray:
        """Absolute difference of confidence and accuracy per bin."""
        return np.abs(self.accuracy - self.confidence)

    @property
    def ece(self) -> float:
        """Expected calibration error: mean gap, weighted by rows (Naeini, Cooper & Hauskrecht 2015)."""
        return float(np.average(self.gap, weights=self.count))

    @property
    def mce(self) -> float:
        """Maximum calibration error: the largest gap."""
        return float(self.gap.max())

    @property
    def rmsce(self) -> float:
        """Root mean squared gap, weighted by rows."""
        return float(np.sqrt(np.average(self.gap**2, weights=self.count)))


Strategy = Literal["uniform", "quantile"]


def reliability_bins(
    p: FloatArray, y: FloatArray, *, n_bins: int = 10, strategy: Strategy = "uniform"
) -> ReliabilityBins:
    """Group probabilities into bins and compare their mean with the event rate.

    Bins are open on the left and closed on the right, but for the first, which holds 0: ``[0, e1], (e1, e2], ...``, as
    in scikit-learn's ``calibration_curve`` and torchmetrics. 'uniform' bins have equal width; 'quantile' bins about
    equal counts (equal edges are merged). For several classes pass top-label confidence and correctness.

    Raises:
        ModelError: fewer than 1 bin, no finite pair, or values outside [0, 1].
    """
    if n_bins < 1:
        raise ModelError(f"`n_bins={n_bins}` holds nothing", remedy="use n_bins >= 1")
    if strategy not in ("uniform", "quantile"):
        raise ModelError(f"`strategy={strategy!r}` is not a binning", remedy="use 'uniform' or 'quantile'")
    probability, outcome, _ = _clean(p, y, None, probabilities=True)
    grid = np.linspace(0.0, 1.0, n_bins + 1)
    edges = (
        grid
        if strategy == "uniform"
        else np.unique(np.concatenate(([0.0], np.quantile(probability, grid[1:-1]), [1.0])))
    )
    member = np.searchsorted(edges[1:-1], probability, side="left")
    count = np.bincount(member, minlength=len(edges) - 1)
    filled = np.flatnonzero(count)
    return ReliabilityBins(
        edges=edges,
        index=filled.astype(np.int64),
        count=count[filled].astype(np.int64),
        confidence=(np.bincount(member, probability)[filled] / count[filled]),
        accuracy=(np.bincount(member, outcome)[filled] / count[filled]),
    )


def brier_parts(p: FloatArray, y: FloatArray, *, n_bins: int = 10, strategy: Strategy = "uniform") -> BrierParts:
    """Split the Brier score by the bins of :func:`reliability_bins` (Murphy 1973, eq. 6, with the within-bin terms)."""
    probability, outcome, _ = _clean(p, y, None, probabilities=True)
    bins = reliability_bins(probability, outcome, n_bins=n_bins, strategy=strategy)
    share = bins.count / len(outcome)
    rate = float(outcome.mean())
    member = np.searchsorted(bins.index, np.searchsorted(bins.edges[1:-1], probability, side="left"))
    inside_p, inside_y = probability - bins.confidence[member], outcome - bins.accuracy[member]
    inside_spread = float(np.mean(inside_y**2)) - float(share @ (bins.accuracy * (1 - bins.accuracy)))
    return BrierParts(
        brier=float(np.mean((probability - outcome) ** 2)),
        reliability=float(share @ (bins.confidence - bins.accuracy) ** 2),
        resolution=float(share @ (bins.accuracy - rate) ** 2),
        uncertainty=rate * (1 - rate),
        # The last term is 0 for outcomes of 0 and 1; it keeps the identity exact for rates.
        within_bins=float(np.mean(inside_p**2) - 2 * np.mean(inside_p * inside_y)) + inside_spread,
    )


def ece(p: FloatArray, y: FloatArray, *, n_bins: int = 10, strategy: Strategy = "uniform") -> float:
    """Return the expected calibration error; see :class:`ReliabilityBins`."""
    return reliability_bins(p, y, n_bins=n_bins, strategy=strategy).ece


def mce(p: FloatArray, y: FloatArray, *, n_bins: int = 10, strategy: Strategy = "uniform") -> float:
    """Return the maximum calibration error; see :class:`ReliabilityBins`."""
    return reliability_bins(p, y, n_bins=n_bins, strategy=strategy).mce


def _pool_adjacent_violators(level: FloatArray, mass: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the level of each block of the non-decreasing fit, and how many of the inputs it holds.

    Any order of merging falling neighbours gives the same fit. Whole falling runs are merged at once while that shrinks
    the problem quickly; a stack finishes the rest in one pass.
    """
    members = np.ones(len(level), dtype=np.int64)
    while len(level) > 1:
        rises = np.concatenate(([True], level[1:] > level[:-1]))
        start = np.flatnonzero(rises)
        if len(start) > 0.9 * len(level):
            break
        total, mass = np.add.reduceat(level * mass, start), np.add.reduceat(mass, start)
        level, members = total / mass, np.add.reduceat(members, start)
    stack: list[tuple[float, float, int]] = []
    for value, weight, size in zip(level.tolist(), mass.tolist(), members.tolist(), strict=True):
        block = (value, weight, size)
        while stack and stack[-1][0] >= block[0]:
            lower = stack.pop()
            weight = lower[1] + block[1]
            block = ((lower[0] * lower[1] + block[0] * block[1]) / weight, weight, lower[2] + block[2])
        stack.append(block)
    return np.array([block[0] for block in stack]), np.array([block[2] for block in stack], dtype=np.int64)


def _platt_loss(beta: FloatArray, design: FloatArray, target: FloatArray, mass: FloatArray) -> float:
    exponent = design @ beta
    # -log(1 / (1 + e^z)) = log(1 + e^z), written so that neither tail overflows.
    return float(mass @ (np.logaddexp(0.0, exponent) - (1 - target) * exponent))


def _interpolated(knots: Knots, score: FloatArray) -> FloatArray:
    """Return the curve at ``score``, rounded once per operation: np.interp may fuse two of them, on ARM for one."""
    inside = np.clip(score, knots.x[0], knots.x[-1])
    at = np.searchsorted(knots.x, inside, side="right") - 1
    line = knots.slope[at] * (inside - knots.x[at]) + knots.y[at]
    return np.asarray(np.minimum(line, knots.ceiling[at]), dtype=np.float64)


def _clean(
    score: Any, y: Any, weight: Any, *, probabilities: bool = False
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return finite pairs and their weights, or say what is wrong with them."""
    x, outcome = np.asarray(score, dtype=np.float64), np.asarray(y, dtype=np.float64)
    mass = np.ones_like(outcome) if weight is None else np.asarray(weight, dtype=np.float64)
    if x.ndim != 1 or not x.shape == outcome.shape == mass.shape:
        raise ModelError(
            f"scores have shape {x.shape}, outcomes {outcome.shape}, weights {mass.shape}",
            remedy="give one-dimensional arrays of one length",
        )
    finite = np.isfinite(x) & np.isfinite(outcome)
    x, outcome, mass = x[finite], outcome[finite], mass[finite]
    if len(x) == 0:
        raise ModelError("no pair of score and outcome is finite", remedy="give at least one resolved prediction")
    if not bool((mass > 0).all()):
        raise ModelError(f"the smallest weight is {mass.min()}", remedy="give positive weights")
    if outcome.min() < 0 or outcome.max() > 1:
        raise ModelError(
            f"outcomes lie in [{outcome.min()}, {outcome.max()}], not in [0, 1]", remedy="give 0 or 1 for each event"
        )
    if probabilities and (x.min() < 0 or x.max() > 1):
        raise ModelError(
            f"probabilities lie in [{x.min()}, {x.max()}], not in [0, 1]", remedy="calibrate the scores first"
        )
    return x, outcome, mass
