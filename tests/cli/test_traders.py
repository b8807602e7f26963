"""``trademl traders``: the group."""

from click.testing import CliRunner

from trademl.cli.main import LazyCommand, main
from trademl.cli.traders import COMMANDS


def test_the_group_lists_its_commands_without_loading_them() -> None:
    """The help of the group has each command with its line."""
    result = CliRunner().invoke(main, ["traders", "--help"])
    assert result.exit_code == 0, result.output
    for name, command in COMMANDS.items():
        assert name in result.stdout
        assert command.summary in " ".join(result.stdout.split())


def test_every_listed_command_is_there() -> None:
    """Each line of the table loads a command of that name."""
    assert all(isinstance(command, LazyCommand) for command in COMMANDS.values())
    assert {name: command.load().name for name, command in COMMANDS.items()} == {name: name for name in COMMANDS}
