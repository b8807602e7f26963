"""What pages say about files, links and commands is true."""

import re
import shlex
from pathlib import Path

import click
import pytest

from trademl.cli.main import main

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]+\]\((?!https?://|mailto:)([^)#\s]+)(?:#[^)]*)?\)")
OURS = re.compile(r"`((?:trademl|dbt_project|configs|tests|docs|benchmarks|constraints|\.ci)/[A-Za-z0-9_./-]*)`")
COMMAND = re.compile(r"(?:^(?:    |\$ )|`)(trademl(?: [^`\n]*)?)(?:`|$)", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that exists."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@every_page
def test_named_files_exist(page: Path) -> None:
    """Every file or folder of ours that a page names in code style exists, unless its line says it comes later."""
    text = page.read_text(encoding="utf-8")
    # In the table of seeds only the last column is about this repository.
    lines = [line.rpartition(" | ")[2] if page.name == "seeds.md" else line for line in text.splitlines()]
    missing = [
        path
        for line in lines
        for path in OURS.findall(line)
        if "<" not in path and not (REPOSITORY / path).exists() and "comes with" not in line
    ]
    assert missing == []


@every_page
def test_named_commands_exist(page: Path) -> None:
    """Every `trademl ...` command of a page has a command, subcommand and options that exist."""
    wrong = []
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if "comes with" in line:
            continue
        wrong += [f"{found}: {problem}" for found in COMMAND.findall(line) if (problem := check(found))]
    assert wrong == []


def check(line: str) -> str:
    """Return what is wrong with a command line, or nothing."""
    words = shlex.split(line.split(" && ")[0].split(" | ")[0].partition(" #")[0])[1:]
    command: click.Command = main
    context = click.Context(main)
    if words[:1] == ["--home"]:
        words = words[2:]
    while words:
        known = {name for option in command.params for name in [*option.opts, *option.secondary_opts]}
        word = words.pop(0)
        if word == "...":
            return ""
        if word.startswith("--") and word.partition("=")[0] not in known | {"--help", "--version"}:
            return f"no option {word}"
        if isinstance(command, click.Group) and word in valued(command):
            words = words[1:]
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", word):
            child = command.get_command(context, word)
            if child is None:
                return f"no command {word}"
            command = child
    return ""


def valued(group: click.Group) -> set[str]:
    """Return the options of a group that are followed by a value, which is no command."""
    options = [option for option in group.params if isinstance(option, click.Option) and not option.is_flag]
    return {name for option in options for name in option.opts}


@every_page
def test_no_work_is_left_to_the_reader(page: Path) -> None:
    """No page has a placeholder left."""
    marks = ["LEAD-" + "FILL", "TO" + "DO", "<!-- CHECK" + "ED"]
    text = page.read_text(encoding="utf-8")
    assert [mark for mark in marks if mark in text] == []


def test_every_decision_has_its_parts() -> None:
    """Each page of docs/adr/ has a number, a date, a status, and the sections context, decision and consequences."""
    for page in (REPOSITORY / "docs" / "adr").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name
        assert re.search(r"^Date: \d{4}-\d\d-\d\d\. Status: \w+", text, re.MULTILINE), page.name
        for section in ("Context", "Decision", "Consequences"):
            assert f"\n## {section}\n" in text, f"{page.name} has no section {section}"
