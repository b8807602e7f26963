import subprocess
import sys
from pathlib import Path

import pytest

from trademl.cli.main import COMMANDS, EXIT_CODES
from trademl.cli.reference import reference


def test_the_command_line_page_is_up_to_date(repository: Path) -> None:
    """docs/cli.md is what `make docs` would write."""
    page = repository / "docs" / "cli.md"
    # A process of its own: click keeps a command's help option from the first time that the command is used.
    command = [sys.executable, "-m", "trademl.cli.reference"]
    written = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
    assert page.read_text(encoding="utf-8") == written, "docs/cli.md is out of date: run `make docs`"


def test_the_page_has_every_command_and_exit_code() -> None:
    """The generated page has a section for each command and a row for each exit code."""
    page = reference()
    for name in COMMANDS:
        assert f"`trademl {name}`" in page
    for code in EXIT_CODES:
        assert f"| {code} |" in page


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is the same in a narrow and in a wide terminal."""
    monkeypatch.setenv("COLUMNS", "40")
    narrow = reference()
    monkeypatch.setenv("COLUMNS", "200")
    assert reference() == narrow
