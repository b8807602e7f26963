"""The picture beside the model card: six plots on one sheet."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trademl.artifacts.files import write_atomic
from trademl.reports.card import SHEET, Card, page
from trademl.training.report import draw_decay, draw_deciles
from trademl.validation.performance import equity_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = "card.md"

_FEATURES = 12
_WRITABLE = 0o644


def write_card(card: Card, folder: Path) -> tuple[Path, Path]:
    """Write the page and the picture to ``folder``, each whole or not at all, and return their paths."""
    text, picture = folder / PAGE, folder / SHEET
    write_atomic(picture, sheet(card), _WRITABLE)
    write_atomic(text, page(card).encode(), _WRITABLE)
    return text, picture


def sheet(card: Card) -> bytes:
    """Return the picture as PNG: rank IC, decay, deciles, reliability, importances, drawdown."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8), layout="constrained")
    figure.suptitle(card.run.run_id)
    (ranks, decay, deciles), (reliability, importances, drawdown) = figure.subplots(2, 3)
    _draw_ranks(ranks, card)
    draw_decay(decay, card.decay)
    draw_deciles(deciles, card.deciles)
    _draw_reliability(reliability, card)
    _draw_importances(importances, card)
    _draw_drawdown(drawdown, card)
    image = io.BytesIO()
    # No version in the file: the same card gives the same bytes.
    figure.savefig(image, format="png", dpi=100, metadata={"Software": None})
    return image.getvalue()


def drawdown_curve(net: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the loss from the running peak of wealth after each period, 0 or negative; wealth starts at 1.

    >>> drawdown_curve(np.array([0.5, -0.5, 1.0])).tolist()
    [0.0, -0.5, 0.0]
    """
    wealth = equity_curve(net)
    peak = np.maximum(np.maximum.accumulate(wealth), 1.0)
    return np.asarray(wealth / peak - 1.0)


def _draw_ranks(axes: "Axes", card: Card) -> None:
    for path in sorted({number for _, number, _ in card.daily}):
        found = [(day, value) for day, number, value in card.daily if number == path]
        days = np.array([day for day, _ in found], dtype="datetime64[D]")
        axes.plot(days, np.nancumsum([value for _, value in found]), linewidth=1, label=f"path {path}")
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set(title="Cumulative daily rank IC, out of fold", ylabel="sum of rank IC")
    axes.legend(fontsize=7, ncols=2)


def _draw_reliability(axes: "Axes", card: Card) -> None:
    stated, seen = (np.array(card.calibration[name], dtype=np.float64) for name in ("confidence", "accuracy"))
    axes.plot(stated, seen, marker="o")
    edge = [min(stated.min(), seen.min()), max(stated.max(), seen.max())]
    axes.plot(edge, edge, color="black", linewidth=0.5)
    axes.set(title=f"P({card.run.label} > 0), cross-fitted", xlabel="predicted", ylabel="observed")


def _draw_importances(axes: "Axes", card: Card) -> None:
    shown = card.importances[:_FEATURES][::-1]
    axes.barh([row[0] for row in shown], [row[1] for row in shown], xerr=[row[2] for row in shown], height=0.7)
    axes.set(title="Share of gain, mean and std over splits", xlabel="share")
    axes.tick_params(axis="y", labelsize=7)


def _draw_drawdown(axes: "Axes", card: Card) -> None:
    if not card.returns:
        axes.text(0.5, 0.5, "no returns recorded", ha="center", va="center", transform=axes.transAxes)
    for found in card.returns:
        curve = drawdown_curve(found.net)
        # A long-only book falls with the market; the one that is judged is drawn as an area.
        if found.strategy == "long_short":
            axes.fill_between(found.dates, curve, 0, alpha=0.4, label="long-short")
        else:
            axes.plot(found.dates, curve, linewidth=0.8, color="grey", label="long-only")
        axes.legend(fontsize=7)
    axes.set(title="Drawdown, net of cost", ylabel="loss from the peak")
