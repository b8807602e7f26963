"""Training data made by hand, for tests that need no warehouse."""

from collections.abc import Sequence

import numpy as np

from trademl.training.dataset import TrainingData
from trademl.validation.spans import LabelSpans


def panel(
    sessions: int = 80, symbols: int = 12, *, horizon: int = 3, strength: float = 0.5, seed: int = 3
) -> TrainingData:
    """Return ``sessions`` x ``symbols`` rows; ``strength`` of the label is the first of two features."""
    rng = np.random.default_rng(seed)
    n = sessions * symbols
    X = rng.normal(size=(n, 2)).astype(np.float32)
    value = strength * X[:, 0] + np.sqrt(1 - strength**2) * rng.normal(size=n)
    return by_hand(
        np.repeat(np.arange(sessions), symbols), np.tile(np.arange(symbols), sessions), value, X, horizon=horizon
    )


def by_hand(
    session: np.ndarray,
    entity: np.ndarray,
    value: np.ndarray | Sequence[float],
    X: np.ndarray | None = None,
    *,
    target: np.ndarray | None = None,
    regime: np.ndarray | None = None,
    horizon: int = 1,
) -> TrainingData:
    """Return rows with these sessions (from 2020-01-01, every day one), symbol codes and labels."""
    outcomes = np.asarray(value, dtype=np.float64)
    n = len(outcomes)
    goal = outcomes if target is None else np.asarray(target, dtype=np.float64)
    dates = np.datetime64("2020-01-01") + np.asarray(session)
    return TrainingData(
        X=np.zeros((n, 2), dtype=np.float32) if X is None else X,
        target=goal,
        value=outcomes,
        weight=np.ones(n),
        fitted=np.isfinite(goal),
        spans=LabelSpans(np.asarray(session), np.asarray(session) + horizon, np.asarray(entity)),
        entities=tuple(f"S{code:02d}" for code in range(int(np.max(entity)) + 1)),
        dates=dates,
        label_end=dates + horizon,
        regime=np.zeros(n, dtype=np.int64) if regime is None else np.asarray(regime),
        feature_names=("first", "second"),
        label=f"fwd_{horizon}d",
        horizon=horizon,
        data_hash="0" * 64,
    )
