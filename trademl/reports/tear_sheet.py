"""The tear sheet of a backtest: one picture, and one HTML page that holds it and every table.

The page is a single file without scripts or anything from elsewhere; the same backtest gives the same bytes.
"""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.backtest.figures import COSTS, SESSIONS_A_YEAR, Days
from trademl.reports.card_sheet import drawdown_curve
from trademl.validation.performance import equity_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

PICTURE, PAGE = "tear_sheet.png", "tear_sheet.html"

_WRITABLE = 0o644
_SMOOTH = 63


@dataclass(frozen=True, eq=False)
class TearSheet:
    """What the sheet shows.

    Attributes:
        title: of the page. about: pairs of a name and a text, what was run.
        figures: as recorded. evidence: pairs of a name and a text, on luck and the gate.
        days: of the backtest.
    """

    title: str
    about: tuple[tuple[str, str], ...]
    figures: Mapping[str, Any]
    evidence: tuple[tuple[str, str], ...]
    days: Days


def write_tear_sheet(sheet: TearSheet, folder: Path) -> tuple[Path, Path]:
    """Write picture and page to ``folder``, each whole or not at all, and return their paths: page first."""
    image = picture(sheet)
    page, drawn = folder / PAGE, folder / PICTURE
    write_atomic(drawn, image, _WRITABLE)
    write_atomic(page, render(sheet, image).encode(), _WRITABLE)
    return page, drawn


def monthly_returns(days: Days) -> list[tuple[int, list[float], float]]:
    """Return (year, twelve monthly net returns, the year's), NaN for months without a session.

    Returns compound within a month and a year.
    """
    dates, net = days.date[1:], days.net
    months = dates.astype("datetime64[M]").astype(np.int64)
    table = []
    for year in np.unique(months // 12 + 1970).tolist():
        row = [_compounded(net[months == (year - 1970) * 12 + month]) for month in range(12)]
        table.append((int(year), row, _compounded(net[months // 12 + 1970 == year])))
    return table


def cost_attribution(days: Days) -> list[tuple[str, float, float, float]]:
    """Return (part, USD, basis points a year, basis points of the traded value) of every part that cost something."""
    traded = float(days.columns["traded_usd"][1:].sum())
    rows = []
    for part in (*COSTS, "total"):
        paid = days.cost if part == "total" else days.columns[f"{part}_usd"]
        a_year = float((paid[1:] / days.base[1:]).mean()) * SESSIONS_A_YEAR * 1e4
        total = float(paid.sum())
        if total or part == "total":
            rows.append((part, total, a_year, total / traded * 1e4 if traded else math.nan))
    return rows


def picture(sheet: TearSheet) -> bytes:
    """Return the picture as PNG: equity, drawdown, monthly returns, turnover, exposure, costs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 11), layout="constrained")
    figure.suptitle(sheet.title)
    (wealth, drawdown), (months, turnover), (exposure, costs) = figure.subplots(3, 2)
    days, dates = sheet.days, sheet.days.date[1:]
    wealth.plot(dates, equity_curve(days.gross), linewidth=0.9, color="grey", label="gross")
    wealth.plot(dates, equity_curve(days.net), linewidth=1.2, label="net of cost")
    wealth.axhline(1, color="black", linewidth=0.5)
    wealth.set(title="Wealth, returns compounded, 1 at the start", yscale="log")
    wealth.yaxis.set_major_formatter("{x:.2f}")
    wealth.yaxis.set_minor_formatter("{x:.2f}")
    wealth.legend(fontsize=8)
    drawdown.fill_between(dates, drawdown_curve(days.net), 0, alpha=0.5)
    drawdown.set(title="Drawdown, net of cost", ylabel="loss from the peak")
    _draw_months(months, days)
    turnover.plot(dates, _rolling(days.turnover), linewidth=1)
    turnover.set(title=f"Value traded a session by capital, mean of {_SMOOTH} sessions", ylim=(0, None))
    for name, style in (("gross_usd", "-"), ("net_usd", "--")):
        exposure.plot(dates, days.columns[name][1:] / days.base[1:], style, linewidth=0.8, label=name[:-4])
    exposure.axhline(0, color="black", linewidth=0.5)
    exposure.set(title="Exposure by capital")
    exposure.legend(fontsize=8)
    for part in COSTS:
        paid = np.cumsum(days.columns[f"{part}_usd"][1:] / days.base[1:])
        if paid[-1]:
            costs.plot(dates, paid, linewidth=1, label=part)
    costs.set(title="Cost to date by capital")
    if costs.lines:
        costs.legend(fontsize=8)
    image = io.BytesIO()
    # No version in the file: the same backtest gives the same bytes.
    figure.savefig(image, format="png", dpi=100, metadata={"Software": None})
    return image.getvalue()


def render(sheet: TearSheet, image: bytes) -> str:
    """Return the page: everything escaped, the picture inside."""
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    by_month = [
        [str(year), *(_percent(value, 1) for value in row), _percent(total, 1)]
        for year, row, total in monthly_returns(sheet.days)
    ]
    attributed = [
        [part, f"{usd:,.0f}", f"{a_year:.1f}", "" if math.isnan(traded) else f"{traded:.2f}"]
        for part, usd, a_year, traded in cost_attribution(sheet.days)
    ]
    drawn = base64.b64encode(image).decode()
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>{html.escape(sheet.title)}</title>",
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{html.escape(sheet.title)}</h1>",
            _table([], [list(row) for row in sheet.about]),
            "<h2>Figures</h2>",
            _table([], figure_rows(sheet.figures)),
            "<h2>Luck and the gate</h2>",
            _table([], [list(row) for row in sheet.evidence]),
            f'<p><img alt="equity, drawdown, turnover, costs" src="data:image/png;base64,{drawn}"></p>',
            "<h2>Net return by month</h2>",
            _table(["year", *months, "year"], by_month),
            "<h2>Cost attribution</h2>",
            _table(["part", "USD", "basis points a year", "basis points of what was traded"], attributed),
            "<p>Out-of-fold predictions; a backtest says nothing about the future.</p>",
            "</body></html>",
            "",
        ]
    )


def figure_rows(figures: Mapping[str, Any]) -> list[list[str]]:
    """Return the recorded figures as pairs of a name and a text; what is not known is a dash."""
    told = [
        ("Sharpe ratio, gross", "gross_sharpe", "{:+.2f}"),
        ("Sharpe ratio, net", "net_sharpe", "{:+.2f}"),
        ("mean return a year, gross", "gross_return", "{:+.2%}"),
        ("mean return a year, net", "net_return", "{:+.2%}"),
        ("volatility a year", "volatility", "{:.2%}"),
        ("largest drawdown", "max_drawdown", "{:.2%}"),
        ("value traded a session by capital", "turnover", "{:.3f}"),
        ("filled share of what was ordered", "filled", "{:.1%}"),
        ("mean gross exposure", "gross_exposure", "{:.3f}"),
        ("mean net exposure", "net_exposure", "{:+.3f}"),
        ("equity at the end, USD", "final_equity_usd", "{:,.0f}"),
        ("returns", "sessions", "{:,}"),
    ]
    return [[text, "-" if figures.get(name) is None else layout.format(figures[name])] for text, name, layout in told]


def _draw_months(axes: "Axes", days: Days) -> None:
    table = monthly_returns(days)
    values = np.array([row for _, row, _ in table])
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    axes.imshow(values, cmap="RdYlGn", vmin=-largest, vmax=largest, aspect="auto")
    for (year, month), value in np.ndenumerate(values):
        if math.isfinite(value):
            axes.text(month, year, f"{value:.1%}", ha="center", va="center", fontsize=6)
    axes.set_xticks(range(12), list("JFMAMJJASOND"))
    axes.set_yticks(range(len(table)), [str(year) for year, _, _ in table])
    axes.set(title="Net return by month")


def _compounded(returns: FloatArray) -> float:
    return float(np.prod(1 + returns) - 1) if len(returns) else math.nan


def _rolling(values: FloatArray) -> FloatArray:
    total = np.cumsum(values)
    total[_SMOOTH:] -= total[:-_SMOOTH].copy()
    return np.asarray(total / np.minimum(np.arange(1, len(values) + 1), _SMOOTH), dtype=np.float64)


def _percent(value: float, digits: int) -> str:
    return f"{value:.{digits}%}" if math.isfinite(value) else ""


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<table>"]
    if heading:
        lines.append("<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in heading) + "</tr>")
    lines += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


_STYLE = (
    "body{font:14px/1.5 sans-serif;max-width:1200px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:0 0 1em}"
    "td,th{padding:2px 10px;border-bottom:1px solid #ddd;text-align:right;font-variant-numeric:tabular-nums}"
    "td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)
