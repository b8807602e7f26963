"""From scores to target weights: rank, z-score, risk scaling, caps, and the limits that hold whatever the scores say.

The policy is fixed and transparent. Scores are ranked and standardised; with forecasts of volatility each is divided by
its own, so that equal conviction takes equal risk; the result is scaled to the gross exposure under the cap of each
name; sectors, net exposure and turnover are brought within their limits; a Kelly fraction, the confidence in the sleeve
and a volatility target scale the whole, never above the gross limit. Limits that cannot hold together are named.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError
from trademl.portfolio.config import PortfolioConfig

__all__ = [
    "Candidates",
    "PortfolioConfig",
    "TargetWeights",
    "broken_limits",
    "build",
    "portfolio_volatility",
    "shrunk_to_limits",
    "standardised_ranks",
]

FloatArray = NDArray[np.float64]

_SLACK = 1e-9
_PASSES = 200


@dataclass(frozen=True)
class Candidates:
    """What a date offers, one entry per symbol, all of the same length.

    Attributes:
        symbols: distinct names, in any order.
        scores: higher is better; NaN is not a candidate and gets weight 0.
        volatility: forecast a year, above 0; None: all alike.
        sectors: names; '' is a sector of its own kind; None: no sector limit.
        held: weights held now, of symbols in the same order; None: nothing.
        correlation: assumed between any two names, for the portfolio's volatility; None: the configuration's.
    """

    symbols: tuple[str, ...]
    scores: FloatArray
    volatility: FloatArray | None = None
    sectors: tuple[str, ...] | None = None
    held: FloatArray | None = None
    correlation: float | None = None


@dataclass(frozen=True)
class TargetWeights:
    """Weights by symbol, and what bound them."""

    symbols: tuple[str, ...]
    weights: FloatArray
    notes: tuple[str, ...] = field(default=())

    @property
    def gross(self) -> float:
        return float(np.abs(self.weights).sum())

    @property
    def net(self) -> float:
        return float(self.weights.sum())


def build(candidates: Candidates, config: PortfolioConfig, *, confidence: float | None = None) -> TargetWeights:
    """Return the target weights of one date.

    Args:
        candidates: scores and what is known of each symbol.
        config: limits.
        confidence: in the sleeve, from 0 to 1; scales every weight. None: the configuration's.

    Raises:
        ConfigError: arrays do not fit, a symbol is there twice, a value is missing or out of range, or limits cannot
            hold together: what is held breaks one that the turnover limit keeps it from reaching.
    """
    check_candidates(candidates)
    sure = confidence_of(config, confidence)
    notes: list[str] = []
    conviction = _conviction(candidates, config)
    weights = _within(_allocate(conviction, config, notes), candidates, config, notes)
    weights = weights * _scale(weights, candidates, config, sure, notes)
    weights = _limit_turnover(weights, candidates, config, notes)
    return TargetWeights(candidates.symbols, weights, tuple(dict.fromkeys(notes)))


def portfolio_volatility(weights: FloatArray, volatility: FloatArray, correlation: float) -> float:
    """Return the forecast volatility a year with one correlation between any two names."""
    risk = weights * volatility
    return float(np.sqrt(max(0.0, (1 - correlation) * float((risk**2).sum()) + correlation * float(risk.sum()) ** 2)))


def standardised_ranks(scores: FloatArray) -> FloatArray:
    """Return average-tie ranks with the mean 0 and the standard deviation 1; 0 for NaN, and where all are alike."""
    known = np.isfinite(scores)
    values = np.zeros(len(scores))
    if int(known.sum()) < 2:
        return values
    order = np.sort(scores[known])
    ends = np.searchsorted(order, scores[known], side="right") + np.searchsorted(order, scores[known], side="left")
    ranks = (ends + 1) / 2.0
    spread = float(ranks.std(ddof=1))
    if spread > 0:
        values[known] = (ranks - ranks.mean()) / spread
    return values


def _conviction(candidates: Candidates, config: PortfolioConfig) -> FloatArray:
    """Standardised ranks per unit of risk; without the negative ones where nothing may be sold short."""
    values = standardised_ranks(candidates.scores)
    if candidates.volatility is not None and len(values):
        values /= candidates.volatility / np.median(candidates.volatility)
    return np.maximum(values, 0.0) if config.side == "long_only" else values


def _allocate(conviction: FloatArray, config: PortfolioConfig, notes: list[str]) -> FloatArray:
    """Scale each side to its share of the gross exposure, what exceeds a name's cap going to the others of the side."""
    weights = np.zeros(len(conviction))
    sides = [(1.0, conviction > 0)] if config.side == "long_only" else [(1.0, conviction > 0), (-1.0, conviction < 0)]
    for sign, members in sides:
        budget = config.gross / len(sides)
        count = int(members.sum())
        if count * config.max_name < budget - _SLACK:
            notes.append(
                f"{count} names of at most {config.max_name:g} cannot fill {budget:g} of "
                f"{'long' if sign > 0 else 'short'} exposure"
            )
        weights[members] = sign * _filled(np.abs(conviction[members]), budget, config.max_name)
    return weights


def _filled(sizes: FloatArray, budget: float, cap: float) -> FloatArray:
    """Return min(s x size, cap) with s such that they add up to the budget, or all at the cap."""
    if len(sizes) * cap <= budget:
        return np.full(len(sizes), cap)
    order = np.argsort(-sizes, kind="stable")
    largest = sizes[order]
    # With the k largest at the cap the rest share what is left in proportion.
    rest = np.cumsum(largest[::-1])[::-1]
    for capped in range(len(sizes)):
        scale = (budget - capped * cap) / rest[capped]
        if scale * largest[capped] <= cap:
            return np.asarray(np.minimum(scale * sizes, cap), dtype=np.float64)
    return np.full(len(sizes), cap)


def _limit_sectors(
    weights: FloatArray, sectors: tuple[str, ...] | None, config: PortfolioConfig, notes: list[str]
) -> FloatArray:
    """Shrink the larger side of each sector whose net exposure is above the limit."""
    if sectors is None:
        return weights
    limited = weights.copy()
    names = np.asarray(sectors)
    for name in sorted(set(sectors)):
        members = names == name
        net = float(limited[members].sum())
        if abs(net) <= config.max_sector + _SLACK:
            continue
        larger = members & (np.sign(limited) == np.sign(net))
        total = float(np.abs(limited[larger]).sum())
        limited[larger] *= 1 - (abs(net) - config.max_sector) / total
        notes.append(f"sector {name or '(none)'} shrunk from {net:+.4f} to {config.max_sector:g}")
    return limited


def _limit_net(weights: FloatArray, config: PortfolioConfig, notes: list[str]) -> FloatArray:
    """Shrink the larger side until the net exposure is within its limit."""
    net = float(weights.sum())
    if abs(net) <= config.net_limit + _SLACK:
        return weights
    larger = np.sign(weights) == np.sign(net)
    total = float(np.abs(weights[larger]).sum())
    notes.append(f"net exposure shrunk from {net:+.4f} to {config.net_limit:g}")
    return np.where(larger, weights * (1 - (abs(net) - config.net_limit) / total), weights)


def _scale(
    weights: FloatArray, candidates: Candidates, config: PortfolioConfig, confidence: float, notes: list[str]
) -> float:
    scale = config.kelly_fraction * confidence
    if config.target_volatility is None:
        return scale
    if candidates.volatility is None:
        raise ConfigError(
            f"target_volatility is {config.target_volatility:g}, and no volatility is forecast",
            remedy="give the candidates' volatility, or take the target out",
        )
    forecast = portfolio_volatility(weights, candidates.volatility, correlation_of(candidates, config))
    if forecast == 0:
        return scale
    wanted = config.target_volatility / forecast
    if wanted > 1:
        notes.append(
            f"a forecast volatility of {forecast:.4f} cannot reach {config.target_volatility:g} within the limits"
        )
    return scale * min(1.0, wanted)


def _limit_turnover(
    weights: FloatArray, candidates: Candidates, config: PortfolioConfig, notes: list[str]
) -> FloatArray:
    """Go from what is held towards the target only so far as the limit allows.

    Where drift has carried what is held beyond a limit, that is mended first. Both ends of the rest of the way keep
    every limit, and so does each point between them.
    """
    held = np.zeros(len(weights)) if candidates.held is None else candidates.held
    turnover = float(np.abs(weights - held).sum())
    if turnover <= config.max_turnover + _SLACK:
        return weights
    broken = broken_limits(held, candidates, config)
    start = shrunk_to_limits(held, candidates, config) if broken else held
    spent = float(np.abs(start - held).sum())
    if spent > config.max_turnover + _SLACK:
        raise ConfigError(
            f"a turnover of at most {config.max_turnover:g} cannot mend what is held: {'; '.join(broken)}; to keep "
            f"these limits takes {spent:.4f}, the target {turnover:.4f}",
            remedy="raise max_turnover for this date, or the limits named here",
        )
    if broken:
        notes.append(f"{spent:.4f} of the turnover mends what is held: {'; '.join(broken)}")
    notes.append(f"turnover cut from {turnover:.4f} to {config.max_turnover:g}")
    left = float(np.abs(weights - start).sum())
    part = min(1.0, max(0.0, config.max_turnover - spent) / left) if left else 0.0
    return np.asarray(start + (weights - start) * part, dtype=np.float64)


def shrunk_to_limits(weights: FloatArray, candidates: Candidates, config: PortfolioConfig) -> FloatArray:
    """Shrink positions until every limit but that of turnover holds; weights that keep them all stay as they are."""
    weights = np.clip(weights, 0.0 if config.side == "long_only" else -config.max_name, config.max_name)
    weights = weights * min(1.0, config.gross / max(float(np.abs(weights).sum()), _SLACK))
    return _within(weights, candidates, config, [])


def _within(weights: FloatArray, candidates: Candidates, config: PortfolioConfig, notes: list[str]) -> FloatArray:
    """Bring the sectors and the net exposure of weights within their limits."""
    for _ in range(_PASSES):
        # Each step only shrinks positions, but a smaller long side can leave a sector shorter than before.
        weights = _limit_net(_limit_sectors(weights, candidates.sectors, config, notes), config, notes)
        if not broken_limits(weights, candidates, config):
            break
    return weights


def broken_limits(
    weights: FloatArray, candidates: Candidates, config: PortfolioConfig, slack: float = _SLACK
) -> list[str]:
    """Return each limit that weights do not keep, with the limit and what was found; turnover is not judged."""
    broken = []
    over = np.abs(weights) > config.max_name + slack
    if bool(over.any()):
        worst = int(np.argmax(np.abs(weights)))
        broken.append(f"max_name {config.max_name:g}: {candidates.symbols[worst]} has {weights[worst]:+.4f}")
    if float(np.abs(weights).sum()) > config.gross + slack:
        broken.append(f"gross {config.gross:g}: {float(np.abs(weights).sum()):.4f}")
    if abs(float(weights.sum())) > config.net_limit + slack:
        broken.append(f"max_net {config.net_limit:g}: {float(weights.sum()):+.4f}")
    if config.side == "long_only" and bool((weights < -slack).any()):
        broken.append("long_only: short positions are held")
    if candidates.sectors is not None:
        names = np.asarray(candidates.sectors)
        for name in sorted(set(candidates.sectors)):
            net = float(weights[names == name].sum())
            if abs(net) > config.max_sector + slack:
                broken.append(f"max_sector {config.max_sector:g}: {name or '(none)'} has {net:+.4f}")
    return broken


def correlation_of(candidates: Candidates, config: PortfolioConfig) -> float:
    """Return the correlation that is assumed between any two symbols: the candidates' own, else the configured one."""
    return config.correlation if candidates.correlation is None else candidates.correlation


def confidence_of(config: PortfolioConfig, given: float | None) -> float:
    """Return the confidence to scale by: the one given, else the configured number.

    Raises:
        ConfigError: it is not within 0 and 1, or it is to be measured and none was given.
    """
    confidence = config.confidence if given is None else given
    if isinstance(confidence, str):
        raise ConfigError(
            f"confidence is {confidence!r} in the configuration, and no measurement was given",
            remedy="give a number from 0 to 1, or build the targets from a model's predictions",
        )
    if not 0 <= confidence <= 1:
        raise ConfigError(f"a confidence of {confidence}", remedy="give 0 to 1")
    return confidence


def check_candidates(candidates: Candidates) -> None:
    """Refuse candidates that do not fit together.

    Raises:
        ConfigError: arrays of different lengths, a symbol twice, or a volatility or weight held that makes no sense.
    """
    count = len(candidates.symbols)
    if len(set(candidates.symbols)) != count:
        raise ConfigError(f"{count - len(set(candidates.symbols))} symbols are there twice", remedy="give each once")
    for name in ("scores", "volatility", "sectors", "held"):
        values = getattr(candidates, name)
        if values is not None and len(values) != count:
            raise ConfigError(f"{len(values)} {name} for {count} symbols", remedy="give one for each symbol")
    if candidates.volatility is not None and not bool(np.all(candidates.volatility > 0)):
        raise ConfigError(
            f"volatility has {int(np.sum(~(candidates.volatility > 0)))} values that are missing or not above 0",
            remedy="forecast each candidate's, or leave it out",
        )
    if candidates.held is not None and not bool(np.all(np.isfinite(candidates.held))):
        raise ConfigError("weights held are not all finite", remedy="reconcile the positions first")
