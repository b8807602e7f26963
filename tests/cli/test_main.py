import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from trademl import errors
from trademl.cli.main import BROKEN_PIPE, COMMANDS, EXIT_CODES, EXTRA_OF, TrademlGroup, main

HEAVY = {
    "catboost", "cryptography", "dbt", "duckdb", "exchange_calendars", "lightgbm", "matplotlib", "mlflow", "numpy",
    "onnx", "onnxruntime", "pandas", "pyarrow", "pydantic", "scipy", "sklearn", "tqdm", "xgboost", "yaml",
}  # fmt: skip


def group_that_raises(error: BaseException) -> TrademlGroup:
    @click.group(cls=TrademlGroup, table={})
    def group() -> None:
        raise error

    @group.command()
    def inner() -> None:
        pass

    group.table["inner"] = FixedCommand(inner)  # type: ignore[assignment]
    return group


class FixedCommand:
    summary = "a command that is already here"

    def __init__(self, command: click.Command) -> None:
        self.command = command

    def load(self) -> click.Command:
        return self.command


def run(error: BaseException) -> tuple[int, str, str]:
    result = CliRunner().invoke(group_that_raises(error), ["inner"])
    return result.exit_code, result.stdout, result.stderr


def imported_by(*arguments: str) -> set[str]:
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "trademl", *arguments], capture_output=True, text=True, check=True
    )
    lines = [line for line in process.stderr.splitlines() if line.startswith("import time:") and "|" in line]
    assert len(lines) > 20
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    """Neither `--help` nor `--version` loads numpy, duckdb, pydantic or anything of the train extra."""
    assert imported_by(*arguments) & HEAVY == set()


def test_help_lists_every_command_with_its_line() -> None:
    """`trademl --help` shows each command of the table and its summary without importing it."""
    result = CliRunner().invoke(main, ["--help"], terminal_width=120)
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    for name, entry in COMMANDS.items():
        assert f"{name} {entry.summary}" in shown


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_of_the_table_exists(name: str) -> None:
    """Each row of the table names a click command called as in the table, with a help text of its own."""
    command = COMMANDS[name].load()
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help


def test_an_unknown_command_is_a_usage_error() -> None:
    """A command that is not in the table exits 2 and names the help."""
    result = CliRunner().invoke(main, ["trian"])
    assert result.exit_code == 2
    assert "No such command 'trian'" in result.stderr


@pytest.mark.parametrize(
    "error, code",
    [
        (errors.IngestError("no such file"), 1),
        (errors.ConfigError("k=0"), 2),
        (errors.QueryRefused("COPY"), 2),
        (errors.DataGateError("2014-03-04 is RED"), 3),
        (errors.LeakageError("split 3 leaks"), 3),
        (errors.ParityError("bits differ"), 1),
    ],
)
def test_an_intended_error_is_one_message_with_its_exit_code(error: errors.TrademlError, code: int) -> None:
    """A TrademlError prints `error: ...` on standard error, nothing on standard output, and exits with its code."""
    assert run(error) == (code, "", f"error: {error.message}\n")


def test_the_remedy_is_shown_on_a_line_of_its_own() -> None:
    """The remedy of an error follows its message."""
    _, _, stderr = run(errors.BuildError("dbt failed", remedy="read logs/dbt.log"))
    assert stderr == "error: dbt failed\n  remedy: read logs/dbt.log\n"


def test_an_unexpected_error_is_one_line_and_exit_70() -> None:
    """Any other exception is reported as internal, without a traceback, with the hint to get one."""
    code, stdout, stderr = run(ValueError("first line\nsecond line"))
    assert (code, stdout) == (70, "")
    assert stderr.splitlines()[0] == "error: internal error: ValueError: first line"
    assert "TRADEML_DEBUG=1" in stderr
    assert "Traceback" not in stderr


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With TRADEML_DEBUG=1 the traceback comes before the message."""
    monkeypatch.setenv("TRADEML_DEBUG", "1")
    with pytest.raises(SystemExit) as stop:
        group_that_raises(ValueError("no")).main(["inner"])
    stderr = capsys.readouterr().err
    assert stop.value.code == 70
    assert stderr.startswith("Traceback")
    assert "error: internal error: ValueError: no" in stderr


def test_an_interrupt_says_how_to_resume() -> None:
    """Ctrl-C exits 130 and says that the same command resumes."""
    code, _, stderr = run(KeyboardInterrupt())
    assert code == 130
    assert stderr.strip() == "interrupted; run the same command again to resume"


@pytest.mark.fault
def test_a_real_interrupt_signal_exits_130(tmp_path: Path) -> None:
    """SIGINT to a real process in the middle of a command gives exit code 130 and no traceback."""
    script = tmp_path / "waits.py"
    script.write_text(
        "import signal, time, click\n"
        # A job in the background of a shell is born deaf to interrupts, and so are its children.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from trademl.cli.main import TrademlGroup, LazyCommand\n"
        "@click.command()\n"
        "def wait():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "table = {'wait': LazyCommand('__main__:wait', 'Wait.')}\n"
        "group = TrademlGroup(name='trademl', table=table)\n"
        "group.main(['wait'])\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "interrupted" in stderr


@pytest.mark.fault
def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    """Writing into a closed pipe, as before `head`, exits 141 without a message."""
    script = tmp_path / "writes.py"
    script.write_text(
        "import click\n"
        "from trademl.cli.main import TrademlGroup, LazyCommand\n"
        "@click.command()\n"
        "def write():\n    for number in range(100000):\n        click.echo('a line of output %d' % number)\n"
        "TrademlGroup(name='trademl', table={'write': LazyCommand('__main__:write', 'Write.')}).main(['write'])\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read()
    process.stderr.close()
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.returncode == BROKEN_PIPE
    assert stderr == ""


def test_a_missing_package_names_the_extra() -> None:
    """Importing a package of an extra that is not installed exits 1 and gives the pip command."""
    code, _, stderr = run(ModuleNotFoundError("No module named 'dbt'", name="dbt.cli.main"))
    assert code == 1
    assert stderr == "error: the package 'dbt' is not installed\n  remedy: pip install 'trademl[train]'\n"


def test_a_missing_module_of_ours_is_an_internal_error() -> None:
    """A module that no extra brings is a bug, not a missing extra."""
    code, _, stderr = run(ModuleNotFoundError("No module named 'trademl.nothing'", name="trademl.nothing"))
    assert code == 70
    assert "internal error" in stderr


def test_every_importable_package_of_an_extra_has_its_row(repository: Path) -> None:
    """The table of extras names, for each run-time extra of pyproject.toml, exactly its importable packages."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    modules = {
        "SQLAlchemy": "sqlalchemy",
        "alpaca-py": "alpaca",
        "cvxpy-base": "cvxpy",
        "dbt-core": "dbt",
        "dbt-duckdb": "dbt",
        "exchange-calendars": "exchange_calendars",
        "faiss-cpu": "faiss",
        "xgboost-cpu": "xgboost",
    }
    declared: dict[str, str] = {}
    for extra in ("train", "broker", "events", "portfolio", "s3", "sources"):  # of two extras, the last
        for requirement in project["optional-dependencies"][extra]:
            name = requirement.partition(">")[0]
            if name != "protobuf":  # a bound only: nothing here imports it
                declared[modules.get(name, name)] = extra
    assert declared == EXTRA_OF


def test_home_option_reaches_the_command_and_is_forgotten_after(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--home DIR` is the home of that one command, also for processes it starts."""
    root = home.root  # type: ignore[attr-defined]
    result = CliRunner().invoke(main, ["--home", str(root), "status"])
    assert result.exit_code == 0, result.output
    assert str(root) in result.stdout
    assert "TRADEML_HOME" not in os.environ


def test_a_home_that_is_none_names_the_remedy(tmp_path: Path) -> None:
    """`--home` with a folder that is no home exits 1 and names `trademl init`."""
    result = CliRunner().invoke(main, ["--home", str(tmp_path), "status"])
    assert result.exit_code == 1
    assert f"trademl init {tmp_path}" in result.stderr


def test_every_exit_code_of_an_error_is_documented() -> None:
    """Each code that an error can give has a line in the table of exit codes."""
    pending = [errors.TrademlError]
    while pending:
        kind = pending.pop()
        pending.extend(kind.__subclasses__())
        assert kind.exit_code in EXIT_CODES


def test_module_run_is_the_command() -> None:
    """`python -m trademl --version` prints the version of the package."""
    from trademl import __version__

    process = subprocess.run([sys.executable, "-m", "trademl", "--version"], capture_output=True, text=True, check=True)
    assert process.stdout == f"trademl {__version__}\n"
