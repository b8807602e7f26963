"""Tripwires: what must hold before an order is sent. Pure functions of what was measured and of the limits.

Every wire that fires is named, not only the first. What cannot be measured counts as fired: a missing grade is not
GREEN, and a model whose age nobody knows is too old. Whoever calls them records the halt
(:mod:`trademl.execution.halts`) and sends nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from trademl.execution.config import TripwireConfig
from trademl.execution.facts import DataFacts, Drift
from trademl.execution.halts import Tripped
from trademl.execution.orders import Plan

TRIPWIRES: dict[str, str] = {
    "coverage": "the decision date is not GREEN in silver.coverage",
    "stale_predictions": "sessions have been decided since the predictions' own",
    "stale_model": "the model's training data ended too long ago",
    "prediction_drift": "today's scores are distributed like no session of the reference",
    "feature_drift": "today's features are",
    "turnover": "the orders change too much of the portfolio",
    "position_limit": "a position would be too large",
    "gross_limit": "all positions together would be too large",
    "order_limit": "one order is too large",
    "daily_loss": "equity fell too far since the last session",
    "drawdown": "equity fell too far from its highest close",
    "reconciliation": "our book and the broker's differ, and nothing explains it",
    "broker_blocked": "the broker does not let the account trade",
    "manual": "a person halted trading",
}
"""Every tripwire by name, and its cause; docs/trading.md lists them."""

_SHOWN = 5
_LIMITS = "`tripwires` in configs/execution.yml"


@dataclass(frozen=True)
class Money:
    """Equity in USD: now, at the last session's plan, and the highest of all plans; None: there was none before."""

    equity_usd: float
    last_usd: float | None
    peak_usd: float | None
    blocked: str = ""


def check_data(facts: DataFacts, limits: TripwireConfig) -> list[Tripped]:
    """Return the wires of data that fire."""
    fired = []
    status, reasons = facts.coverage or ("no grade", "")
    if status != "GREEN":
        fired.append(
            Tripped(
                "coverage",
                None,
                None,
                f"{facts.dt} is {status}{f' ({reasons})' if reasons else ''}, limit GREEN",
                f"land what {facts.dt} lacks and run `trademl build`",
            )
        )
    behind, most = facts.sessions_behind, limits.max_prediction_age_sessions
    if behind is None or behind > most:
        told = "is no session" if behind is None else f"is {behind} decided sessions old"
        fired.append(
            Tripped(
                "stale_predictions",
                None if behind is None else float(behind),
                float(most),
                f"{facts.dt} {told}, limit {most}",
                "score the latest session and build its portfolio",
            )
        )
    age = facts.model_age_days
    if age is None or age > limits.max_model_age_days:
        told = "no training label of the model is known" if age is None else f"training labels ended {age} days before"
        fired.append(
            Tripped(
                "stale_model",
                None if age is None else float(age),
                float(limits.max_model_age_days),
                f"{told} {facts.dt}, limit {limits.max_model_age_days} days",
                "train and promote a new run",
            )
        )
    fired += _drifted("prediction_drift", [facts.prediction] if facts.prediction else None, limits.max_prediction_psi)
    fired += _drifted("feature_drift", facts.features or None, limits.max_feature_psi)
    return fired


def check_plan(
    plan: Plan,
    weights: Mapping[str, float],
    equity_usd: float,
    limits: TripwireConfig,
) -> list[Tripped]:
    """Return the wires of a plan that fire; ``weights`` are those after all of its orders."""
    fired = []
    turnover = plan.traded_usd / equity_usd
    if not turnover <= limits.max_turnover:
        fired.append(
            Tripped(
                "turnover",
                turnover,
                limits.max_turnover,
                f"{len(plan.orders)} orders trade {turnover:.3f} of equity, limit {limits.max_turnover:g}",
                f"check the targets and the positions; if this much is meant, raise max_turnover under {_LIMITS}",
            )
        )
    # A position that is only being reduced may still be above its limit; it is the orders that are judged.
    touched = {one.order.symbol for one in plan.orders}
    over = sorted(
        (
            (abs(weights.get(name, 0.0)), name)
            for name in touched
            if not abs(weights.get(name, 0.0)) <= limits.max_position
        ),
        reverse=True,
    )
    if over:
        listed = ", ".join(f"{name} {weights[name]:+.4f}" for _, name in over[:_SHOWN])
        fired.append(
            Tripped(
                "position_limit",
                over[0][0],
                limits.max_position,
                f"{len(over)} positions above the limit: {listed}; limit {limits.max_position:g}",
                f"check max_name in configs/portfolio.yml against max_position under {_LIMITS}",
            )
        )
    gross = sum(abs(value) for value in weights.values())
    if plan.orders and not gross <= limits.max_gross:
        fired.append(
            Tripped(
                "gross_limit",
                gross,
                limits.max_gross,
                f"positions would add up to {gross:.4f} of equity, limit {limits.max_gross:g}",
                f"check gross in configs/portfolio.yml against max_gross under {_LIMITS}",
            )
        )
    sizes = [(one.order.quantity * one.expected_price, one.order.symbol) for one in plan.orders]
    if sizes and not max(sizes)[0] <= limits.max_order_usd:
        value, symbol = max(sizes)
        fired.append(
            Tripped(
                "order_limit",
                value,
                limits.max_order_usd,
                f"the order for {symbol} is worth {value:,.2f} USD, limit {limits.max_order_usd:,.2f}",
                f"use more slices, or raise max_order_usd under {_LIMITS}",
            )
        )
    return fired


def check_money(money: Money, limits: TripwireConfig) -> list[Tripped]:
    """Return the wires of losses that fire, and that of an account that the broker blocks."""
    fired = []
    for name, before, limit, since in (
        ("daily_loss", money.last_usd, limits.max_daily_loss, "the last session"),
        ("drawdown", money.peak_usd, limits.max_drawdown, "its highest close"),
    ):
        if before is None:
            continue
        loss = 1 - money.equity_usd / before if before > 0 and isfinite(money.equity_usd) else 1.0
        if loss > limit:
            fired.append(
                Tripped(
                    name,
                    loss,
                    limit,
                    f"equity is {money.equity_usd:,.2f} USD, {loss:.2%} below the {before:,.2f} of {since}, limit "
                    f"{limit:.2%}",
                    "find out what lost the money before anything is traded again",
                )
            )
    if money.blocked:
        fired.append(Tripped("broker_blocked", None, None, money.blocked, "ask the broker"))
    return fired


def check_reconciliation(unexplained_usd: float, breaks: Sequence[str], limits: TripwireConfig) -> list[Tripped]:
    """Return the wire of reconciliation when differences without an explanation are worth more than the limit."""
    if not breaks or unexplained_usd <= limits.max_unexplained_usd:
        return []
    listed = "; ".join(breaks[:_SHOWN]) + ("; ..." if len(breaks) > _SHOWN else "")
    return [
        Tripped(
            "reconciliation",
            unexplained_usd if isfinite(unexplained_usd) else None,
            limits.max_unexplained_usd,
            f"{len(breaks)} unexplained differences: {listed}",
            "find each at the broker, and correct it there or in the book",
        )
    ]


def _drifted(name: str, drifts: Sequence[Drift] | None, limit: float) -> list[Tripped]:
    what = name.partition("_")[0]
    if drifts is None:
        return [
            Tripped(
                name,
                None,
                limit,
                f"there is no earlier session to compare the {what} with",
                "score and keep some sessions",
            )
        ]
    far = sorted(((one.index - one.worst, one) for one in drifts if not one.index <= one.worst + limit), key=_excess)
    if not far:
        return []
    listed = ", ".join(f"{one.name} {one.index:.2f} (worst before {one.worst:.2f})" for _, one in far[:_SHOWN])
    return [
        Tripped(
            name,
            far[0][1].index,
            far[0][1].worst + limit,
            f"{len(far)} of {len(drifts)} drifted: population stability index of {listed}; limit {limit:g} above the "
            "worst session of the reference",
            f"look at the day's bars; if the market itself moved so far, raise the limit under {_LIMITS}",
        )
    ]


def _excess(item: tuple[float, Drift]) -> float:
    return -item[0]
