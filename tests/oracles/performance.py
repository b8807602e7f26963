"""Slow references for the measures of a return series, one period at a time."""

from collections.abc import Sequence
from math import inf, nan, sqrt


def summary(returns: Sequence[float], year: float) -> dict[str, float]:
    """Every measure of one series by its definition; wealth starts at 1."""
    n = len(returns)
    wealth = peak = 1.0
    drawdown = 0.0
    for value in returns:
        wealth *= 1 + value
        peak = max(peak, wealth)
        drawdown = max(drawdown, (peak - wealth) / peak)
    gains = sum(value for value in returns if value > 0)
    losses = sum(-value for value in returns if value < 0)
    moved = [value for value in returns if value != 0]
    mean = sum(returns) / n
    varies = max(returns) > min(returns)
    deviation = sqrt(sum((value - mean) ** 2 for value in returns) / (n - 1)) if n > 1 and varies else 0.0
    return {
        "total_return": wealth - 1,
        "annualised_return": wealth ** (year / n) - 1,
        "annualised_volatility": deviation * sqrt(year) if n > 1 else nan,
        "annualised_sharpe": mean / deviation * sqrt(year) if deviation > 0 else nan,
        "max_drawdown": drawdown,
        "profit_factor": gains / losses if losses else (inf if gains else nan),
        "win_rate": sum(value > 0 for value in moved) / len(moved) if moved else nan,
    }
