"""``trademl events``: the group."""

import pytest
from click.testing import CliRunner

from trademl.cli.events import COMMANDS
from trademl.cli.main import main


def test_the_group_lists_its_commands() -> None:
    """Help names every command with its line and loads none of them."""
    done = CliRunner().invoke(main, ["events", "--help"])
    assert done.exit_code == 0
    for name, command in COMMANDS.items():
        assert name in done.output
        assert command.summary.split()[0] in done.output


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_loads_and_explains_itself(name: str) -> None:
    """The table points at commands that exist."""
    done = CliRunner().invoke(main, ["events", name, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage:" in done.output
