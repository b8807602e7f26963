"""Viewports as rows of ``preds.events``."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.sleeves.events.viewport_doubles import models, moment, table, target
from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.schema import BATCHES
from trademl.sleeves.events.viewport.config import ViewportConfig
from trademl.sleeves.events.viewport.document import Viewport
from trademl.sleeves.events.viewport.rows import rank_pct, viewport_rows, write_viewport
from trademl.sleeves.events.viewport.score import score_viewport


def now() -> datetime:
    """The instant of all batches here."""
    return datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def viewport() -> Viewport:
    """Two targets, one of which the gate refuses."""
    rows = [target("PDH"), target("PDC", price=99.75)]
    return score_viewport(table(*rows), moment(), models(), ViewportConfig())


def test_a_target_is_a_row_per_horizon(viewport: Viewport) -> None:
    """Two targets and two horizons are four rows with every column of the table."""
    rows = list(viewport_rows(viewport, now=now))
    assert [(row["level_id"], row["horizon"]) for row in rows] == [
        ("SPY PDH", 60), ("SPY PDH", 120), ("SPY PDC", 60), ("SPY PDC", 120)
    ]  # fmt: skip
    assert all(set(row) == set(BATCHES["preds.events"].columns) for row in rows)


def test_a_row_says_what_the_document_says(viewport: Viewport) -> None:
    """Names, probabilities of the row's horizon, retrieval, and who refused."""
    first, *_, second = viewport_rows(viewport, now=now)
    shown = viewport.targets[0]
    assert first["event_id"] == "SPY:1767193200000000000:SPY PDH"
    assert first["t1"] == shown["time_to_threshold"]["t1"]["60"]
    assert first["yhat"] == first["strength_signed"] == shown["strength_signed"]
    assert first["prob_up"] == shown["p_break"]
    assert first["retrieval_entropy"] == shown["retrieval"]["entropy"]
    assert (first["refused_by"], second["refused_by"]) == ("", "level_crossed")
    assert (first["rank_pct"], second["rank_pct"]) == (1.0, 0.5)
    assert second["t1"] == viewport.targets[1]["time_to_threshold"]["t1"]["120"]


def test_ranks_are_averages_of_ties() -> None:
    """As pandas ranks: [3, 1, 1, 2] of 4 are 4, 1.5, 1.5 and 3 quarters."""
    assert rank_pct([3.0, 1.0, 1.0, 2.0]) == [1.0, 0.375, 0.375, 0.75]
    assert rank_pct([]) == []


def test_writing_twice_adds_nothing(viewport: Viewport, tmp_path: Path) -> None:
    """One batch, however often the same viewport is written."""
    layout = layout_of(Home(tmp_path))
    assert [write_viewport(layout, viewport, now=now) for _ in range(2)] == [4, 4]
    assert len(layout.batch_files("preds.events")) == 1
