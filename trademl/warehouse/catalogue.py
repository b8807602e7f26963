"""The tables of features in docs/features.md, written from the catalogue of a built warehouse and from the macros.

``python -m trademl.warehouse.catalogue docs/features.md`` replaces what lies between the page's markers; the home is
found as for every command. The core features come from `gold.feature_catalogue`, one line each; those of the further
tables, hundreds, from the macros that dbt makes them from, one line for all windows of an operator.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trademl.config.home import Home, find_home
from trademl.errors import ConfigError
from trademl.lake.files import write_atomic
from trademl.warehouse.feature_macros import CORE, Definition, Evaluation, evaluate
from trademl.warehouse.read import read_snapshot

BEGIN = "<!-- catalogue: begin; written by trademl.warehouse.catalogue -->"
END = "<!-- catalogue: end -->"
FURTHER_BEGIN = "<!-- further tables: begin; written by trademl.warehouse.catalogue -->"
FURTHER_END = "<!-- further tables: end -->"

_QUERY = """
select
    family, name, formula, unit, window_sessions, lookback_sessions, quantum, source_columns,
    (name || '_rank') in (select name from gold.feature_catalogue where table_name = $core) as has_twins
from gold.feature_catalogue
where table_name = $core and not regexp_matches(name, '_(dm|rank|sn)$')
order by family, lookback_sessions, name
"""


def read_catalogue(home: Home) -> list[tuple[Any, ...]]:
    """Return the raw core features of the home's snapshot, one row each, in the order of the page.

    Raises:
        SnapshotError: the home has no snapshot.
    """
    with read_snapshot(home) as snapshot:
        return snapshot.con.execute(_QUERY, {"core": CORE}).fetchall()


def feature_table(features: list[tuple[Any, ...]]) -> str:
    """Return a Markdown table of the rows that `read_catalogue` gives."""
    lines = [
        "| family | feature | formula | unit | window | lookback | quantum | from | twins |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for family, name, formula, unit, window, lookback, quantum, sources, has_twins in features:
        cells = [
            family,
            f"`{name}`",
            f"`{formula}`",
            unit,
            str(window),
            str(lookback),
            quantum or "-",
            sources,
            "yes" if has_twins else "no",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def further_tables(evaluation: Evaluation) -> str:
    """Return a Markdown section for each feature table but the core: a line for all windows of an operator."""
    parts = []
    for table in evaluation.tables:
        if table.name == CORE:
            continue
        twins = sum(len(one.suffixes) - 1 for one in table.features)
        count = f"{len(table.features)} features" + (f" and {twins} cross-sectional twins" if twins else "")
        lines = [
            f"### gold.{table.name}",
            "",
            f"{count}.",
            "",
            "| family | feature | alias | formula | unit | n | lookback | from | twins |",
            "|---|---|---|---|---|---|---|---|---|",
            *map(_line, _grouped(table.features)),
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


_NUMBER = "\0"
"""Stands for the number in which the features of a group differ, until it is shown as n."""


def _grouped(features: Sequence[Definition]) -> list[list[Definition]]:
    """Return the features in groups that differ in one number only, each group where its first feature stands."""
    found: list[list[Definition]] = []
    by_key: dict[tuple[object, ...], list[list[Definition]]] = {}
    for one in features:
        number = _number(one)
        key = (one.family, *_opened(one)[:2], one.unit, one.sources, one.suffixes, one.description)
        groups = by_key.setdefault(key, [])
        fitting = [group for group in groups if _opened(group[0])[2].replace(_NUMBER, number) == one.formula]
        if fitting:
            fitting[0].append(one)
        else:
            groups.append([one])
            found.append(groups[-1])
    return found


def _line(group: Sequence[Definition]) -> str:
    first = group[0]
    name, alias, formula = (first.name, first.alias, first.formula)
    numbers, lookbacks = ["-"], [str(one.lookback) for one in group]
    if len(group) > 1:
        name, alias, formula = (text.replace(_NUMBER, "n") for text in _opened(first))
        numbers = [_number(one) for one in group]
    cells = [
        first.family,
        f"`{name}`",
        alias or "-",
        f"`{formula}`".replace("|", "\\|") + (f" {first.description}" if first.description else ""),
        first.unit,
        _listed(numbers),
        _lookback(numbers, lookbacks),
        ", ".join(first.sources),
        ", ".join(f"`{suffix}`" for suffix in first.suffixes if suffix) or "-",
    ]
    return f"| {' | '.join(cells)} |"


def _lookback(numbers: Sequence[str], lookbacks: Sequence[str]) -> str:
    """Return lookbacks as text, in terms of n where they follow it."""
    if len(set(lookbacks)) == 1:
        return lookbacks[0]
    differences = {int(lookback) - int(number) for lookback, number in zip(lookbacks, numbers, strict=True)}
    if len(differences) == 1:
        less = differences.pop()
        return "n" + (f" {'-' if less < 0 else '+'} {abs(less)}" if less else "")
    return _listed(lookbacks)


def _listed(numbers: Sequence[str]) -> str:
    """Return numbers as text: all of a few, the ends of a run without gaps."""
    if len(numbers) > 5 and abs(int(numbers[-1]) - int(numbers[0])) == len(numbers) - 1:
        return f"{numbers[0]} ... {numbers[-1]}"
    return ", ".join(numbers)


def _number(one: Definition) -> str:
    """Return the number that a feature's name ends in, before a unit of time: its window, or its lag."""
    found = re.search(r"(\d+)d?$", one.name)
    return found.group(1) if found else ""


def _opened(one: Definition) -> tuple[str, str, str]:
    """Return name, alias and formula with a placeholder for that number."""
    number = _number(one)
    if not number:
        return one.name, one.alias, one.formula
    name = re.sub(rf"{number}(d?)$", rf"{_NUMBER}\1", one.name)
    alias = re.sub(rf"{number}$", _NUMBER, one.alias)
    # Not the digits of another number, such as the 5 of 2e-5.
    formula = re.sub(rf"(?<=t-){number}(?![\d.])|(?<![\w.-]){number}(?![\w.])", _NUMBER, one.formula)
    return name, alias, formula


def with_table(page: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """Return ``page`` with the lines between two of its markers replaced by ``table``.

    Raises:
        ConfigError: the page does not have each marker once, in order.
    """
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end or begin in rest or end in after:
        raise ConfigError(
            "the page has no place for the catalogue",
            remedy=f"put the lines {begin!r} and {end!r} where the table belongs, once each",
        )
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def write_page(path: Path, home: Home) -> None:
    """Bring the tables of the page at ``path`` up to date with the home's snapshot and macros."""
    page = with_table(path.read_text(encoding="utf-8"), feature_table(read_catalogue(home)))
    page = with_table(page, further_tables(evaluate(home.dbt_project)), FURTHER_BEGIN, FURTHER_END)
    write_atomic(path, page.encode(), mode=0o644)


if __name__ == "__main__":
    write_page(Path(sys.argv[1]), find_home())
