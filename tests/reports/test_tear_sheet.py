"""The tear sheet: months and costs by hand, a page that needs nothing else, the same bytes twice."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from trademl.backtest.figures import COSTS, Days, summarise
from trademl.reports.tear_sheet import (
    TearSheet,
    cost_attribution,
    figure_rows,
    monthly_returns,
    picture,
    render,
    write_tear_sheet,
)


def days() -> Days:
    """Sessions of December 2019 to February 2020 with a gain of 1 % each, a spread of 1 and a fee of 0.5."""
    dates = np.array(["2019-12-30", "2019-12-31", "2020-01-02", "2020-01-03", "2020-02-03"], dtype="datetime64[D]")
    equity = 100 * 1.01 ** np.arange(5)
    names = ("cash_usd", "gross_usd", "net_usd", "traded_usd", "dividend_usd", "delisted_usd")
    columns = {name: np.zeros(5) for name in (*names, *(f"{part}_usd" for part in COSTS))}
    columns |= {
        "equity_usd": equity,
        "gross_usd": equity,
        "traded_usd": np.array([0, 200.0, 0, 0, 0]),
        "spread_usd": np.array([0, 1.0, 0, 0, 0]),
        "borrow_usd": np.array([0, 0, 0.5, 0, 0]),
    }
    return Days(dates, columns, np.concatenate([equity[:1], equity[:-1]]))


def sheet(title: str = "Backtest bt-1") -> TearSheet:
    """A sheet of these days."""
    found = summarise(days()).document()
    return TearSheet(title, (("run", "run <1> & co"),), found, (("deflated Sharpe ratio", "0.5"),), days())


def test_months_compound_their_sessions() -> None:
    """One session in December, two in January, one in February; other months are not numbers."""
    (year, december, last), (next_year, months, total) = monthly_returns(days())
    assert (year, next_year) == (2019, 2020)
    assert december[11] == pytest.approx(0.01)
    assert last == pytest.approx(0.01)
    assert months[:2] == pytest.approx([1.01**2 - 1, 0.01])
    assert all(math.isnan(value) for value in months[2:])
    assert total == pytest.approx(1.01**3 - 1)


def test_costs_are_told_in_three_units() -> None:
    """1 USD of spread on 200 traded is 50 basis points; parts that cost nothing are left out."""
    rows = {part: rest for part, *rest in cost_attribution(days())}
    assert list(rows) == ["spread", "borrow", "total"]
    assert rows["spread"] == pytest.approx([1, 0.01 / 4 * 252 * 1e4, 50])
    assert rows["total"][0] == pytest.approx(1.5)


def test_the_page_needs_nothing_but_itself() -> None:
    """No script, no address but the picture's own data; text is escaped; all tables are there and tags are closed."""
    page = render(sheet(), b"png")
    assert "run &lt;1&gt; &amp; co" in page
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="([^"]{0,22})', page) == ["data:image/png;base64,"]
    for told in ("Figures", "Luck and the gate", "Net return by month", "Cost attribution", "deflated Sharpe ratio"):
        assert told in page
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []


def test_what_is_not_known_is_a_dash() -> None:
    """A Sharpe ratio without variation."""
    rows = dict(figure_rows({"net_sharpe": None, "turnover": 0.25}))
    assert rows["Sharpe ratio, net"] == "-"
    assert rows["value traded a session by capital"] == "0.250"


def test_the_same_backtest_gives_the_same_bytes(tmp_path: Path) -> None:
    """Picture and page; a PNG of a sheet's size."""
    assert picture(sheet()) == picture(sheet())
    page, drawn = write_tear_sheet(sheet(), tmp_path)
    assert drawn.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert drawn.stat().st_size > 20_000
    assert page.stat().st_size > drawn.stat().st_size


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
