"""docs/features.md and the macros that make the features say the same."""

import re
from pathlib import Path

import pytest

from trademl.errors import ConfigError
from trademl.warehouse.catalogue import BEGIN, END, feature_table, with_table

CALL = re.compile(r"(\w+_features)\((.*?)\)")
MACRO = re.compile(r"{% macro (\w+_features)\((.*?)\) -%}(.*?){%- endmacro %}", re.DOTALL)
LOOP = re.compile(r"{%- for (\w+) in (\w+) -%}")
LITERAL = re.compile(r"'(name|formula|unit|quantum)': ('(?:.*?)'(?: ~ \w+ ~ '.*?')*|none)(?=,|$)", re.MULTILINE)
ROW = re.compile(r"^\| \w+ \| `(\w+)` \| `(.+?)` \| (.+?) \| \d+ \| \d+ \| (.+?) \|", re.MULTILINE)

EXAMPLE = ("gaps", "gap_1d", "ln(open / close)", "log return", 1, 2, "1e-12", "open, close", True)


def filled(template: str, values: dict[str, str]) -> str:
    """The text of a Jinja expression such as `'exp(L[t-' ~ n ~ '])'`."""
    pieces = [values.get(piece, piece.strip("'")) for piece in template.split(" ~ ")]
    return "-" if template == "none" else "".join(pieces)


def features_of_macros(macros: Path) -> set[tuple[str, ...]]:
    """(name, formula, unit, quantum) of every feature, from the text of the macros; dbt is not needed."""
    calls = dict(CALL.findall((macros / "equities_features.sql").read_text().split("return(")[1]))
    found: set[tuple[str, ...]] = set()
    for file in macros.glob("*.sql"):
        for name, parameters, body in MACRO.findall(file.read_text()):
            if name not in calls:
                continue
            given = re.findall(r"\[.*?\]|\d+", calls[name])
            arguments = dict(zip(re.findall(r"\w+", parameters), given, strict=True))
            loops = LOOP.split(body)
            blocks: list[tuple[dict[str, str], str]] = [({}, loops[0])] if len(loops) == 1 else []
            for variable, source, block in zip(loops[1::3], loops[2::3], loops[3::3], strict=True):
                blocks += [({variable: n}, block) for n in re.findall(r"\d+", arguments[source])]
            for bound, block in blocks:
                values = {**arguments, **bound}
                literals = [filled(text, values) for _, text in LITERAL.findall(block)]
                # Each feature gives its name, unit, quantum and formula, in this order.
                found |= {
                    (label, formula, unit, quantum)
                    for label, unit, quantum, formula in zip(*[iter(literals)] * 4, strict=True)
                }
    return found


def test_the_page_has_every_feature_of_the_macros(repository: Path) -> None:
    """docs/features.md has exactly the names, formulas, units and quanta of dbt_project/macros/features."""
    wanted = features_of_macros(repository / "dbt_project" / "macros" / "features")
    page = (repository / "docs" / "features.md").read_text(encoding="utf-8")
    table = page[page.index(BEGIN) : page.index(END)]
    assert len(wanted) == 20
    assert set(ROW.findall(table)) == wanted


def test_a_feature_is_one_line_of_the_table() -> None:
    """A row of the catalogue becomes one line, name and formula in code style."""
    lines = feature_table([EXAMPLE]).splitlines()
    assert lines[2] == ("| gaps | `gap_1d` | `ln(open / close)` | log return | 1 | 2 | 1e-12 | open, close | yes |")
    assert [line.count("|") for line in lines] == [10, 10, 10]


def test_the_table_replaces_only_what_lies_between_the_markers() -> None:
    """Text around the markers stays, and writing twice changes nothing."""
    page = with_table(f"above\n{BEGIN}\nold\n{END}\nbelow\n", "new")
    assert page == f"above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"
    assert with_table(page, "new") == page


@pytest.mark.parametrize("page", ["no marker", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    """Each marker must be there once, in order; the remedy shows them."""
    with pytest.raises(ConfigError, match="no place for the catalogue"):
        with_table(page, "new")
