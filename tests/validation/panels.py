"""Panels that the tests of splitters share."""

import numpy as np
from hypothesis import strategies as st

from trademl.validation.spans import LabelSpans


@st.composite
def random_panels(draw: st.DrawFn, *, min_sessions: int = 6, max_sessions: int = 14) -> LabelSpans:
    """A small panel: sessions with gaps in their ordinals, absent rows, variable horizons, rows in any order."""
    sessions = draw(st.lists(st.integers(0, 40), min_size=min_sessions, max_size=max_sessions, unique=True).map(sorted))
    entities = draw(st.integers(1, 3))
    rows = [
        (session, session + draw(st.integers(0, 5)), entity)
        for session in sessions
        for entity in range(entities)
        # The first entity is always there, so that every session has a row.
        if entity == 0 or draw(st.booleans())
    ]
    start, end, entity = np.array(draw(st.permutations(rows)), dtype=np.int64).T
    return LabelSpans(start, end, entity)


def dense_panel(n_sessions: int, n_entities: int, horizon: int) -> LabelSpans:
    """Every entity on every session, one horizon, sorted by session."""
    start = np.repeat(np.arange(n_sessions), n_entities)
    return LabelSpans(start, start + horizon, np.tile(np.arange(n_entities), n_sessions))
