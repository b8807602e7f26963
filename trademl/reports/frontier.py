"""The efficient frontier of working an order: what each urgency costs on average, and how uncertain that is.

Almgren & Chriss, "Optimal Execution of Portfolio Transactions" (2000): no schedule of the order has a lower expected
cost at the same variance than one of these. The picture shows the frontier with equal slices and an immediate order
beside it, and the trajectories of a few urgencies.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.execution.schedule import MarketModel, Trajectory, cost_of, efficient_frontier, optimal_trajectory

FloatArray = NDArray[np.float64]

_POINTS = 60
_DECADES = 3
_WRITABLE = 0o644


@dataclass(frozen=True, eq=False)
class Frontier:
    """The frontier of one order; costs in the money of the price.

    Attributes:
        name: what is traded, for the title.
        curve: from the calmest to the most urgent.
        calm: equal slices, the lowest expected cost.
        chosen: the trajectory of the risk aversion that was asked for.
        at_once: everything in the first interval.
    """

    name: str
    shares: float
    days: float
    curve: tuple[Trajectory, ...]
    calm: Trajectory
    chosen: Trajectory
    at_once: Trajectory


def frontier_of(
    name: str, shares: float, days: float, intervals: int, market: MarketModel, risk_aversion: float
) -> Frontier:
    """Compute the frontier of an order for risk aversions of three decades on either side of the one given.

    Raises:
        ConfigError: as :func:`trademl.execution.schedule.optimal_trajectory`.
    """
    middle = np.log10(risk_aversion) if risk_aversion > 0 else -6.0
    aversions = np.logspace(middle - _DECADES, middle + _DECADES, _POINTS)
    at_once = np.zeros(intervals + 1)
    at_once[0] = shares
    return Frontier(
        name=name,
        shares=shares,
        days=days,
        curve=tuple(efficient_frontier(shares, days, intervals, market, aversions)),
        calm=optimal_trajectory(shares, days, intervals, market, 0.0),
        chosen=optimal_trajectory(shares, days, intervals, market, risk_aversion),
        at_once=cost_of(at_once, days, market),
    )


def describe(frontier: Frontier) -> list[str]:
    """Return the frontier as lines: expected cost, deviation and half-life of some of its schedules."""
    rows = [("equal slices", frontier.calm), ("as asked", frontier.chosen), ("at once", frontier.at_once)]
    lines = [f"{frontier.name}: {frontier.shares:,.0f} shares over {frontier.days:g} days"]
    lines.append(
        f"  {'schedule':14}{'lambda':>10}{'expected USD':>16}{'deviation USD':>16}{'half-life':>12}{'first slice':>14}"
    )
    for label, one in rows:
        life = "-" if one is frontier.at_once else f"{one.half_life:.2f} d"
        lines.append(
            f"  {label:14}{one.risk_aversion:>10.1e}{one.expected_cost:>16,.0f}{one.deviation:>16,.0f}{life:>12}"
            f"{one.trades[0] / frontier.shares:>14.1%}"
        )
    return lines


def write_frontier(frontier: Frontier, path: Path) -> Path:
    """Draw the frontier as a PNG and return its path; the same frontier gives the same bytes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    costs, holdings = figure.subplots(1, 2)
    costs.plot(
        [one.deviation for one in frontier.curve], [one.expected_cost for one in frontier.curve], label="efficient"
    )
    for label, one, mark in (
        ("equal slices", frontier.calm, "s"),
        (f"lambda {frontier.chosen.risk_aversion:g}", frontier.chosen, "o"),
        ("at once", frontier.at_once, "x"),
    ):
        costs.plot(one.deviation, one.expected_cost, marker=mark, linestyle="none", label=label)
    costs.set(title=frontier.name, xlabel="standard deviation of the cost, USD", ylabel="expected cost, USD")
    for axis in (costs.xaxis, costs.yaxis):
        axis.set_major_formatter(EngFormatter(sep=""))
    costs.legend(fontsize=8)
    times = np.linspace(0, frontier.days, len(frontier.calm.holdings))
    for one in (frontier.calm, *frontier.curve[:: _POINTS // 5], frontier.chosen):
        bold = one is frontier.chosen
        holdings.plot(
            times,
            one.holdings / frontier.shares,
            linewidth=2.5 if bold else 1,
            color="black" if bold else None,
            label=f"lambda {one.risk_aversion:.1e}",
        )
    holdings.set(title="what is left of the order", xlabel="days", ylabel="share of the order", ylim=(0, 1.02))
    holdings.legend(fontsize=7)
    image = io.BytesIO()
    # No version in the file: the same frontier gives the same bytes.
    figure.savefig(image, format="png", dpi=110, metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, image.getvalue(), _WRITABLE)
    return path
