"""The picture beside the model card."""

from pathlib import Path

import numpy as np
import pytest

from tests.reports.conftest import Trained
from tests.reports.test_card import card, gain
from trademl.artifacts.run_folder import RunFolder
from trademl.reports.card import page
from trademl.reports.card_sheet import drawdown_curve, sheet, write_card
from trademl.validation.performance import max_drawdown

PNG = b"\x89PNG\r\n\x1a\n"


def test_page_and_picture_are_written_beside_each_other(trained_once: Trained, tmp_path: Path) -> None:
    """card.md names card.png; both are there, the same bytes each time, and the run stays as it was."""
    found = card(trained_once)
    text, picture = write_card(found, tmp_path / "new" / "folder")
    assert (text.name, picture.name) == ("card.md", "card.png")
    assert text.read_text() == page(found)
    assert f"]({picture.name})" in text.read_text()
    first = picture.read_bytes()
    assert first.startswith(PNG)
    assert write_card(found, tmp_path / "new" / "folder")[1].read_bytes() == first
    RunFolder.open(trained_once.folder).verify()


def test_returns_change_the_picture(trained: Trained) -> None:
    """With returns the drawdown is drawn where the sheet said that there are none."""
    before = sheet(card(trained))
    gain(trained, [0.01, -0.02, 0.01, -0.01])
    gain(trained, [0.01, -0.02, 0.03, -0.01], "long_only")
    after = sheet(card(trained))
    assert after.startswith(PNG)
    assert after != before


def test_a_drawdown_is_measured_from_the_peak() -> None:
    """Wealth 1.5, 0.75, 1.5: half is lost and won back; its lowest point is the maximum drawdown."""
    assert drawdown_curve(np.array([0.5, -0.5, 1.0])).tolist() == [0.0, -0.5, 0.0]
    assert drawdown_curve(np.array([-0.25, 0.1])).tolist() == pytest.approx([-0.25, 0.75 * 1.1 - 1])
    net = np.random.default_rng(2).normal(0, 0.01, 500)
    assert -drawdown_curve(net).min() == pytest.approx(max_drawdown(net))
