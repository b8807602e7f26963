"""The table of features in docs/features.md, written from the catalogue of a built warehouse.

``python -m trademl.warehouse.catalogue docs/features.md`` replaces what lies between the page's two markers; the home
is found as for every command. The formulas come from `gold.feature_catalogue`, which dbt makes from the same list as
the features themselves.
"""

import sys
from pathlib import Path
from typing import Any

from trademl.config.home import Home, find_home
from trademl.errors import ConfigError
from trademl.lake.files import write_atomic
from trademl.warehouse.read import read_snapshot

BEGIN = "<!-- catalogue: begin; written by trademl.warehouse.catalogue -->"
END = "<!-- catalogue: end -->"

_QUERY = """
select
    family, name, formula, unit, window_sessions, lookback_sessions, quantum, source_columns,
    (name || '_rank') in (select name from gold.feature_catalogue) as has_twins
from gold.feature_catalogue
where not regexp_matches(name, '_(dm|rank|sn)$')
order by family, lookback_sessions, name
"""


def read_catalogue(home: Home) -> list[tuple[Any, ...]]:
    """Return the raw features of the home's snapshot, one row each, in the order of the page.

    Raises:
        SnapshotError: the home has no snapshot.
    """
    with read_snapshot(home) as snapshot:
        return snapshot.con.execute(_QUERY).fetchall()


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


def with_table(page: str, table: str) -> str:
    """Return ``page`` with the lines between its two markers replaced by ``table``.

    Raises:
        ConfigError: the page does not have each marker once, in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ConfigError(
            "the page has no place for the catalogue",
            remedy=f"put the lines {BEGIN!r} and {END!r} where the table belongs, once each",
        )
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def write_page(path: Path, home: Home) -> None:
    """Bring the table of the page at ``path`` up to date with the home's snapshot."""
    page = with_table(path.read_text(encoding="utf-8"), feature_table(read_catalogue(home)))
    write_atomic(path, page.encode(), mode=0o644)


if __name__ == "__main__":
    write_page(Path(sys.argv[1]), find_home())
