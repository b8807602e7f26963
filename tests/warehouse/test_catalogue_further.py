"""The tables of the further features in docs/features.md: compact, complete, and those of the macros."""

import re
from pathlib import Path

from tests.warehouse.feature_project import write_project
from trademl.warehouse.catalogue import CORE, FURTHER_BEGIN, FURTHER_END, further_tables, with_table
from trademl.warehouse.feature_macros import evaluate


def test_the_page_shows_the_further_tables(repository: Path) -> None:
    """docs/features.md has exactly the operators, windows, formulas and units that the macros define."""
    page = (repository / "docs/features.md").read_text(encoding="utf-8")
    written = with_table(page, further_tables(evaluate(repository / "dbt_project")), FURTHER_BEGIN, FURTHER_END)
    assert written == page, "run `python -m trademl.warehouse.catalogue docs/features.md` on a built home"


def test_every_feature_is_in_one_line(repository: Path) -> None:
    """A line stands for all numbers that it lists: together they are the features, each once."""
    evaluation = evaluate(repository / "dbt_project")
    text = further_tables(evaluation)
    named: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 9 or not cells[1].startswith("`"):
            continue
        name, numbers = cells[1].strip("`"), cells[5]
        if numbers == "-":
            named.append(name)
            continue
        if " ... " in numbers:
            first, last = map(int, numbers.split(" ... "))
            step = 1 if last > first else -1
            listed = [str(k) for k in range(first, last + step, step)]
        else:
            listed = numbers.split(", ")
        named += [re.sub(r"n(d?)$", rf"{number}\1", name) for number in listed]
    expected = [one.name for table in evaluation.tables if table.name != CORE for one in table.features]
    assert sorted(named) == sorted(expected)
    assert len(named) >= 518
    assert len(text.splitlines()) < 200


def test_windows_share_a_line_and_other_numbers_stay(repository: Path) -> None:
    """The window becomes n in name, alias and formula; the 5 of 2e-5 and the 3 of a mean of three prices do not."""
    text = further_tables(evaluate(repository / "dbt_project"))
    assert (
        "| rolling_prices | `rolling_mean_n` | MAn | `mean(C, n) / C[t]` | ratio | 5, 10, 20, 30, 60 | n - 1 |" in text
    )
    assert "2e-5" in text
    assert "| `vwap_lag_n` | VWAPn | `(H + D + C)[t-n] / 3 / C[t]` | ratio | 59 ... 0 | n |" in text
    # A bar in a formula would end its cell.
    assert "w = \\|C[t] / C[t-1] - 1\\|" in text


def test_twins_and_descriptions_are_shown(tmp_path: Path) -> None:
    """A feature with twins lists them, and those with other twins have a line of their own."""
    lines = further_tables(evaluate(write_project(tmp_path).dbt_project)).splitlines()
    assert lines[:3] == ["### gold.equities_second", "", "2 features and 3 cross-sectional twins."]
    assert lines[6] == (
        "| second | `slow_10` | SLOW10 | `mean(C, 10) / C[t]` Slow. | ratio | - | 9 | close, dividend_amount | `_wz` |"
    )
    assert lines[7].endswith("| `_rank`, `_wz` |")
