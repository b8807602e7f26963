"""How far off predictions are, given the prediction and the regime: a small table that any machine can apply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

FloatArray = NDArray[np.float64]

UNKNOWN_REGIME = -1
_FLOOR = 1e-3


@dataclass(frozen=True, eq=False)
class ResidualTable:
    """Standard deviation of out-of-fold residuals by regime and by quantile bin of the prediction.

    Attributes:
        regimes: names of the regimes, such as ("low", "mid", "high"); a regime's code is its position.
        edges: inner bin edges, increasing, shape (b - 1,); bin i holds ``edges[i - 1] < yhat <= edges[i]``.
        std: shape (len(regimes) + 1, b), in the units of the label, finite and positive; the last row is for all
            regimes together and answers for an unknown one.
    """

    regimes: tuple[str, ...]
    edges: FloatArray
    std: FloatArray

    def __post_init__(self) -> None:
        edges, std = np.asarray(self.edges, dtype=np.float64), np.asarray(self.std, dtype=np.float64)
        shape = (len(self.regimes) + 1, edges.size + 1)
        if std.shape != shape or not bool(np.isfinite(std).all() and (std > 0).all() and (np.diff(edges) > 0).all()):
            raise ModelError(
                f"a residual table of shape {std.shape} does not fit {len(self.regimes)} regimes, {edges.size} edges",
                remedy=f"give finite positive values of shape {shape} and increasing edges",
            )
        object.__setattr__(self, "regimes", tuple(self.regimes))
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "std", std)

    def code(self, regime: str | None) -> int:
        """Return the code of a regime's name; -1 (answered by the all-regime row) for None or an unknown name."""
        return self.regimes.index(regime) if regime in self.regimes else UNKNOWN_REGIME

    def lookup(self, yhat: FloatArray, regime: NDArray[np.int64] | int = UNKNOWN_REGIME) -> FloatArray:
        """Return the standard deviation for each prediction, in its shape.

        ``regime`` is one code, or one per prediction; codes outside 0 to len(regimes) - 1 use the all-regime row. A NaN
        prediction gives NaN.
        """
        values = np.asarray(yhat, dtype=np.float64)
        code = np.asarray(regime)
        row = np.where((code >= 0) & (code < len(self.regimes)), code, len(self.regimes))
        found = self.std[row, np.searchsorted(self.edges, values, side="left")]
        return np.where(np.isnan(values), np.nan, found)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON; reading them back gives the same table, bit for bit."""
        return {"regimes": list(self.regimes), "edges": self.edges.tolist(), "std": self.std.tolist()}

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> "ResidualTable":
        """Read a table back from its JSON form.

        Raises:
            ModelError: a part is missing or the shapes do not fit.
        """
        try:
            return ResidualTable(
                tuple(stored["regimes"]),
                np.array(stored["edges"], dtype=np.float64),
                np.array(stored["std"], dtype=np.float64),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"a stored residual table is damaged: {error!r}", remedy="fit it again") from error


def fit_residual_std(
    yhat: FloatArray,
    residual: FloatArray,
    regime: NDArray[np.int64],
    *,
    regimes: Sequence[str] = ("low", "mid", "high"),
    n_bins: int = 10,
    min_rows: int = 200,
) -> ResidualTable:
    """Measure residual dispersion per regime and prediction bin, leaning on wider groups where rows are few.

    With ``v`` the sample variance of a cell's ``n`` residuals and ``w`` that of its bin over all regimes, the cell's
    variance is ``(n v + min_rows w) / (n + min_rows)``: a cell of ``min_rows`` rows stands half on its own data, an
    empty one wholly on its bin. Bins lean on all rows in the same way. No value falls below 0.1 % of the overall one.

    Args:
        yhat: out-of-fold predictions, shape (n,).
        residual: outcome less prediction, shape (n,), in the label's units.
        regime: code of each row's regime at decision time, shape (n,); -1 when unknown (counts in the all-regime row).
        regimes: names of codes 0, 1, ...
        n_bins: quantile bins of ``yhat``; fewer when predictions repeat.
        min_rows: weight of the wider group, in rows.

    Raises:
        ModelError: fewer than 2 finite rows, residuals without variation, or a bad parameter.
    """
    yhat, residual = np.asarray(yhat, dtype=np.float64), np.asarray(residual, dtype=np.float64)
    code = np.asarray(regime)
    if yhat.ndim != 1 or not yhat.shape == residual.shape == code.shape:
        raise ModelError(
            f"predictions, residuals and regimes have shapes {yhat.shape}, {residual.shape}, {code.shape}",
            remedy="give one-dimensional arrays of one length",
        )
    if n_bins < 1 or min_rows < 1:
        raise ModelError(f"`n_bins={n_bins}`, `min_rows={min_rows}`", remedy="use at least 1 of each")
    finite = np.isfinite(yhat) & np.isfinite(residual)
    yhat, residual, code = yhat[finite], residual[finite], code[finite]
    if len(residual) < 2 or residual.max() == residual.min():
        raise ModelError(
            f"{len(residual)} finite residuals without variation say nothing about dispersion",
            remedy="give out-of-fold residuals of at least two rows",
        )
    edges = np.unique(np.quantile(yhat, np.linspace(0, 1, n_bins + 1)[1:-1]))
    edges = edges[edges < yhat.max()]
    bins = len(edges) + 1
    member = np.searchsorted(edges, yhat, side="left")
    overall = float(residual.var(ddof=1))
    count, variance = _variances(residual, member, bins)
    by_bin = _shrink(count, variance, np.full(bins, overall), min_rows)
    known = (code >= 0) & (code < len(regimes))
    cell = code[known].astype(np.int64) * bins + member[known]
    count, variance = _variances(residual[known], cell, len(regimes) * bins)
    by_cell = _shrink(count, variance, np.tile(by_bin, len(regimes)), min_rows)
    std = np.sqrt(np.concatenate((by_cell, by_bin))).reshape(len(regimes) + 1, bins)
    return ResidualTable(tuple(regimes), edges, np.maximum(std, _FLOOR * np.sqrt(overall)))


def _variances(values: FloatArray, group: NDArray[np.int64], n_groups: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return rows and sample variance per group; 0 where a group has fewer than two rows."""
    count = np.bincount(group, minlength=n_groups)
    mean = np.bincount(group, values, n_groups) / np.maximum(count, 1)
    squares = np.bincount(group, (values - mean[group]) ** 2, n_groups)
    return count, squares / np.maximum(count - 1, 1)


def _shrink(count: NDArray[np.int64], variance: FloatArray, wider: FloatArray, weight: int) -> FloatArray:
    own = np.where(count > 1, count, 0)
    shrunk: FloatArray = (own * variance + weight * wider) / (own + weight)
    return shrunk
