"""The planted signal: a drift that follows two features of the simulated past, sized to a known rank IC.

This is the truth of a simulation, not a second definition of a feature: the warehouse computes ``momentum_60d`` and
``realised_volatility_60d`` from the written bars in SQL, and never reads anything from here.

Write r for total log returns, H for the label horizon and, over the members of session t with 60 returns behind them,
u for a feature's rank mapped evenly onto [-1, 1]. The signal is

    s_t = z-score over the cross-section of (w_m u(momentum_60d) + w_v u(realised_volatility_60d)),

and every share gets the drift (a / H) s_t in the *intraday* part of session t + 1. The drift of session t + 1 is thus
decided at the close of t and begins after the next open, where the label begins. Both features move over weeks, so
E[fwd_H | close of t] = (a / H) (s_t + E[s_{t+1} + ... + s_{t+H-1} | t]) is close to a c s_t with c <= 1: the oracle
ranks by s_t.
"""

from dataclasses import dataclass

import numpy as np

from trademl.validation.metrics import ICSummary, information_coefficient, summarise_ic
from trademl.warehouse.simulate.config import FEATURE_WINDOW, SimulationConfig
from trademl.warehouse.simulate.market import Bools, Floats, Noise

TOLERANCE = 5e-5
MAX_ROUNDS = 6


@dataclass(frozen=True)
class Planted:
    """A market with its signal. Arrays are (sessions, symbols).

    ``intraday`` includes the drift; ``signal`` is NaN where the cross-section does not hold the symbol. ``amplitude``
    is a, ``persistence`` c; ``population_ic`` is the calibrated figure, ``oracle_ic`` and ``oracle_error`` the rank IC
    of the signal in this one history and its Newey-West standard error.
    """

    intraday: Floats
    signal: Floats
    amplitude: float
    persistence: float
    population_ic: float
    oracle_ic: float
    oracle_error: float
    oracle_sessions: int


def plant(config: SimulationConfig, noise: Noise, alive: Bools, eligible: Bools) -> Planted:
    """Find the amplitude at which the mean rank IC of the signal is ``planted_ic``, and add the drift.

    The search uses one set of random numbers. In one history, IC(signal, label) = planted part + luck, where the luck
    is IC(signal, label without drift), of expectation zero. Solving IC(signal, label) - IC(signal, label without
    drift) = planted_ic therefore fixes the *population* IC, while the measured IC keeps its luck.
    """
    dispersion = float(np.std((noise.gap + noise.intraday)[alive])) * np.sqrt(config.label_horizon)
    amplitude, previous = 0.0, (0.0, 0.0)
    run = _run(config, noise, alive, eligible, amplitude)
    if config.planted_ic > 0.0:
        amplitude = config.planted_ic * dispersion
        for _ in range(MAX_ROUNDS):
            run = _run(config, noise, alive, eligible, amplitude)
            error = run.population_ic - config.planted_ic
            if abs(error) < TOLERANCE:
                break
            rise, length = run.population_ic - previous[1], amplitude - previous[0]
            if rise * length <= 0.0:
                break  # ranks of a very small market move in steps: the next step is out of reach
            previous = (amplitude, run.population_ic)
            amplitude -= error * length / rise
    return run


def _run(config: SimulationConfig, noise: Noise, alive: Bools, eligible: Bools, amplitude: float) -> Planted:
    horizon = config.label_horizon
    intraday, signal = follow(config, noise, alive, eligible, amplitude)
    weight = np.where(np.isnan(signal), 0.0, signal)
    forward = forward_log_return(noise.gap, intraday, alive, horizon)
    held = np.zeros_like(weight)
    for step in range(horizon):
        ahead = slice(step + 1, len(weight))
        held[: len(weight) - step - 1] += np.where(alive[ahead], weight[step:-1], 0.0)
    noise_only = forward - amplitude / horizon * held
    measured = measure(signal, forward, horizon)
    luck = measure(signal, noise_only, horizon)
    known = np.isfinite(signal) & np.isfinite(forward)
    persistence = float(np.sum(weight[known] * held[known]) / np.sum(weight[known] ** 2) / horizon)
    return Planted(
        intraday=intraday,
        signal=signal,
        amplitude=float(amplitude),
        persistence=persistence,
        population_ic=measured.mean - luck.mean,
        oracle_ic=measured.mean,
        oracle_error=standard_error(measured),
        oracle_sessions=measured.n_dates,
    )


def measure(signal: Floats, forward: Floats, horizon: int) -> ICSummary:
    """Summarise the rank IC per session of two (sessions, symbols) arrays, over the cells where both are finite."""
    session, symbol = np.nonzero(np.isfinite(signal) & np.isfinite(forward))
    daily = information_coefficient(signal[session, symbol], forward[session, symbol], session)
    return summarise_ic(daily.spearman, lags=horizon)


def standard_error(summary: ICSummary) -> float:
    """Return the Newey-West standard error of a mean IC, NaN where there is none."""
    return abs(summary.mean / summary.t_stat) if summary.t_stat else float("nan")


def follow(
    config: SimulationConfig, noise: Noise, alive: Bools, eligible: Bools, amplitude: float
) -> tuple[Floats, Floats]:
    """Simulate session by session: the signal at each close, and the next session's intraday return with its drift."""
    sessions, count = alive.shape
    window = FEATURE_WINDOW
    signal = np.full((sessions, count), np.nan)
    intraday = noise.intraday.copy()
    level = np.zeros((sessions + 1, count))  # cumulated log returns, and their squares, up to the row before
    square = np.zeros((sessions + 1, count))
    drift = np.zeros(count)
    for session in range(sessions):
        intraday[session] += np.where(alive[session], drift, 0.0)
        log_return = noise.gap[session] + intraday[session]
        level[session + 1] = level[session] + log_return
        square[session + 1] = square[session] + log_return**2
        drift = np.zeros(count)
        who = np.flatnonzero(eligible[session])
        if len(who) < 2:
            continue
        momentum = level[session + 1, who] - level[session + 1 - window, who]
        scatter = square[session + 1, who] - square[session + 1 - window, who] - momentum**2 / window
        score = config.momentum_weight * _even_ranks(momentum) + config.volatility_weight * _even_ranks(scatter)
        spread = score.std(ddof=1)
        if spread > 0.0:
            signal[session, who] = (score - score.mean()) / spread
            drift[who] = amplitude / config.label_horizon * signal[session, who]
    return intraday, signal


def _even_ranks(values: Floats) -> Floats:
    """Map a cross-section (n,) by rank evenly onto [-1, 1]."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return 2.0 * ranks / (len(values) - 1) - 1.0


def forward_log_return(gap: Floats, intraday: Floats, alive: Bools, horizon: int) -> Floats:
    """Return (sessions, symbols): log total return from the next open to the close ``horizon`` sessions ahead.

    It stops at the last bar of a delisted symbol and is NaN where there is no next session to enter, or where the
    horizon runs over the end of the simulation.
    """
    sessions, count = alive.shape
    level = np.vstack([np.zeros(count), np.cumsum(gap + intraday, axis=0)])
    forward = np.full((sessions, count), np.nan)
    entry = np.arange(sessions - horizon)
    forward[entry] = level[entry + horizon + 1] - level[entry + 1] - gap[entry + 1]
    forward[entry] = np.where(alive[entry] & alive[entry + 1], forward[entry], np.nan)
    return forward
