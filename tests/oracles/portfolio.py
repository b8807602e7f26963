"""The ranked policy once more, in plain loops: ranks by counting, caps by bisection, limits one by one."""

from math import isnan, sqrt
from statistics import median, stdev


def ranked_weights(
    scores: dict[str, float],
    volatility: dict[str, float],
    sectors: dict[str, str],
    *,
    long_only: bool,
    cap: float,
    gross: float,
    max_net: float,
    max_sector: float,
    target_volatility: float | None,
    correlation: float,
    scale: float,
) -> dict[str, float]:
    """Return the weight of each symbol, held being nothing and turnover no limit."""
    convictions = _convictions(scores, volatility, long_only)
    weights = dict.fromkeys(scores, 0.0)
    for sign in (1,) if long_only else (1, -1):
        side = {name: abs(one) for name, one in convictions.items() if one * sign > 0}
        budget = gross if long_only else gross / 2
        for name, size in _filled(side, budget, cap).items():
            weights[name] = sign * size
    for _ in range(1000):
        before = dict(weights)
        for sector in sorted(set(sectors.values())):
            _shrink(weights, [name for name in weights if sectors[name] == sector], max_sector)
        _shrink(weights, list(weights), gross if long_only else max_net)
        if all(abs(weights[name] - before[name]) < 1e-12 for name in weights):
            break
    if target_volatility is not None:
        variance = 0.0
        for one in weights:
            for other in weights:
                rho = 1.0 if one == other else correlation
                variance += rho * weights[one] * volatility[one] * weights[other] * volatility[other]
        if variance > 0:
            scale *= min(1.0, target_volatility / sqrt(variance))
    return {name: weight * scale for name, weight in weights.items()}


def _convictions(scores: dict[str, float], volatility: dict[str, float], long_only: bool) -> dict[str, float]:
    known = {name: score for name, score in scores.items() if not isnan(score)}
    ranks = {
        name: 1 + sum(other < score for other in known.values()) + (sum(o == score for o in known.values()) - 1) / 2
        for name, score in known.items()
    }
    if len(ranks) < 2 or stdev(ranks.values()) == 0:
        return {}
    middle, spread = sum(ranks.values()) / len(ranks), stdev(ranks.values())
    usual = median(volatility.values())
    found = {name: (rank - middle) / spread / (volatility[name] / usual) for name, rank in ranks.items()}
    return {name: max(one, 0.0) for name, one in found.items()} if long_only else found


def _filled(sizes: dict[str, float], budget: float, cap: float) -> dict[str, float]:
    """Find s by bisection such that the sum of min(s x size, cap) is the budget."""
    if len(sizes) * cap <= budget:
        return dict.fromkeys(sizes, cap)
    low, high = 0.0, cap / min(sizes.values())
    for _ in range(200):
        middle = (low + high) / 2
        if sum(min(middle * size, cap) for size in sizes.values()) < budget:
            low = middle
        else:
            high = middle
    return {name: min(high * size, cap) for name, size in sizes.items()}


def _shrink(weights: dict[str, float], members: list[str], limit: float) -> None:
    """Bring the net of some symbols within a limit by making the larger side smaller, in proportion."""
    net = sum(weights[name] for name in members)
    if abs(net) <= limit + 1e-9:
        return
    larger = [name for name in members if weights[name] * net > 0]
    total = sum(abs(weights[name]) for name in larger)
    for name in larger:
        weights[name] *= 1 - (abs(net) - limit) / total
