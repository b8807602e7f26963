"""The unit files of docs/pi.md: their commands exist, and they fit each other and the exit codes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.test_pages import check
from trademl.cli.main import EXIT_CODES

REPOSITORY = Path(__file__).resolve().parents[2]
UNITS = REPOSITORY / "configs" / "systemd"
SERVICE, TIMER = UNITS / "trademl-edge.service", UNITS / "trademl-edge.timer"


def settings(path: Path) -> dict[str, list[str]]:
    """Return every setting as ``Section.Key``; a key may be there more than once."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        header = re.fullmatch(r"\[(Unit|Service|Timer|Install)\]", line)
        if header:
            section = header[1]
            continue
        key, equals, value = line.partition("=")
        assert equals, f"{path.name}: {line}"
        assert section, f"{path.name}: {line}"
        assert re.fullmatch(r"[A-Z][A-Za-z]+", key), f"{path.name}: {line}"
        found.setdefault(f"{section}.{key}", []).append(value)
    return found


def test_the_service_pulls_and_then_scores() -> None:
    """Both commands exist with their options; a oneshot service runs the second only after the first succeeded."""
    service = settings(SERVICE)
    commands = [Path(line.split()[0]).name + line[len(line.split()[0]) :] for line in service["Service.ExecStart"]]
    assert commands == ["trademl lake pull", "trademl edge score"]
    assert [check(command) for command in commands] == ["", ""]
    assert service["Service.Type"] == ["oneshot"]


def test_a_tripwire_is_not_tried_again_and_an_unreachable_source_is() -> None:
    """Restarts leave out wrong configuration, bad data and tripwires, not exit code 4."""
    (codes,) = settings(SERVICE)["Service.RestartPreventExitStatus"]
    assert codes.split() == ["2", "3", "5"]
    assert {int(code) for code in codes.split()} < set(EXIT_CODES)


def test_the_service_may_write_the_lake_of_its_home_and_no_more() -> None:
    """The file system is read-only but for the lake of the home that the environment names."""
    service = settings(SERVICE)
    (environment,) = service["Service.Environment"]
    home = environment.removeprefix("TRADEML_HOME=")
    assert service["Service.ReadWritePaths"] == [f"{home}/lake"]
    assert service["Service.ProtectSystem"] == ["strict"]


def test_the_timer_starts_the_service() -> None:
    """The timer names the service, on weekdays, in UTC, and makes up for a run that was missed."""
    timer = settings(TIMER)
    assert timer["Timer.Unit"] == [SERVICE.name]
    assert re.fullmatch(r"Mon\.\.Fri \d\d:\d\d UTC", timer["Timer.OnCalendar"][0])
    assert (timer["Timer.Persistent"], timer["Install.WantedBy"]) == (["true"], ["timers.target"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_itself_reads_them() -> None:
    """systemd's own parser finds nothing wrong but commands that are not installed here."""
    done = subprocess.run(
        ["systemd-analyze", "verify", str(SERVICE), str(TIMER)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "trademl-edge" in line and "not executable" not in line]
    assert complaints == []


def test_the_page_has_the_exit_codes_of_the_command_line() -> None:
    """Each exit code that docs/pi.md lists is one of the command line's."""
    page = (REPOSITORY / "docs" / "pi.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert listed == {0, 1, 2, 4, 5}
    assert listed < set(EXIT_CODES)
