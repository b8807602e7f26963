"""``trademl lake``: the commands of a server's and a device's releases."""

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.lake.small_release import CREATED, NOON_AFTER, Server, newest_close, server_in
from trademl.cli import lake as commands
from trademl.cli.main import main
from trademl.clock import FIXED_NOW
from trademl.config.home import Home
from trademl.edge import golden
from trademl.errors import ParityError
from trademl.lake.files import write_atomic
from trademl.lake.layout import layout_of
from trademl.lake.manifest import current_seq
from trademl.sleeves import equities_release


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return server_in(tmp_path)


@pytest.fixture
def device(server: Server, home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that pulls from the server, at noon; small releases have no golden values to compute."""
    configure(home, source=str(server.layout.root), trusted_keys=[server.public])
    monkeypatch.setenv(FIXED_NOW, NOON_AFTER.isoformat())
    monkeypatch.setattr(golden, "check_release", lambda layout, manifest, release: None)
    return home


def configure(home: Home, **fields: object) -> None:
    (home.configs / "lake.yml").write_text(yaml.safe_dump(fields))


def run(home: Home, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--home", str(home.root), "lake", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_keygen_prints_the_public_key_alone(home: Home, tmp_path: Path) -> None:
    """Standard output is what goes into lake.yml; how to go on is told on standard error."""
    result = run(home, "keygen", "--out", str(tmp_path / "release.key"))
    (public,) = result.stdout.splitlines()
    configure(home, trusted_keys=[public])
    assert "TRADEML_RELEASE_KEY" in result.stderr
    assert (tmp_path / "release.key").stat().st_mode & 0o777 == 0o600
    assert "no release yet" in run(home, "status").stdout
    run(home, "keygen", "--out", str(tmp_path / "release.key"), code=2)
    run(home, "keygen", "--out", str(home.lake / "release.key"), code=2)


def test_publish_tells_what_was_released(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Number, session, model, bytes in all and new; the run is passed on; steps go to standard error."""
    asked: list[str | None] = []

    def publish(home: Home, run_id: str | None, *, progress: equities_release.Told) -> equities_release.Published:
        asked.append(run_id)
        progress("extracting tables")
        return equities_release.Published(7, date(2024, 3, 1), "run-7", 1_234_567, 8_901, home.lake / "x.json")

    monkeypatch.setattr(equities_release, "publish", publish)
    result = run(home, "publish", "--run", "run-7")
    assert asked == ["run-7"]
    assert result.stderr == "extracting tables\n"
    assert result.stdout.splitlines()[:2] == [
        "released 7: 2024-03-01, model run-7",
        "bytes    1,234,567, of which 8,901 are new since the release before",
    ]
    run(home, "publish")
    assert asked[1] is None


def test_pull_tells_what_came_and_that_it_was_checked(server: Server, device: Home) -> None:
    """The first time all of it, the second time nothing; a note says so."""
    release = server.publish(1)
    total = sum(release.objects().values())
    result = run(device, "pull")
    assert result.stderr.splitlines() == [f"fetching {total:,} bytes", f"fetched {total:,} of {total:,} bytes"]
    first, second, third = result.stdout.splitlines()
    assert first == "release  1: 2024-01-04, model run-1"
    assert second.startswith(f"fetched  6 objects, {total:,} bytes, in ")
    assert third.endswith("hashes, footers and golden values")
    assert newest_close(layout_of(device)) == (1, 3.0)
    again = run(device, "pull")
    assert "nothing to do" in again.stderr
    assert again.stdout.splitlines()[0] == "release  1, as before: 2024-01-04, model run-1"
    document = json.loads(run(device, "pull", "--format", "json").stdout)
    assert (document["seq"], document["changed"], document["bytes_new"]) == (1, False, 0)


def test_a_refused_release_exits_4(server: Server, device: Home) -> None:
    """What is refused has the exit code of refusals of releases, and says what, and what to do."""
    server.publish(1)
    write_atomic(server.layout.release(1), server.layout.release(1).read_bytes() + b" ")
    told = run(device, "pull", code=4).stderr
    assert "does not fit the document" in told
    assert "remedy:" in told


def test_golden_values_that_differ_stop_a_pull(server: Server, device: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command computes golden values with the machine that will score, before the release is used."""
    server.publish(1)
    seen: list[int] = []

    def differ(layout: object, manifest: object, release: object) -> None:
        seen.append(1)
        raise ParityError("this machine computes differently")

    monkeypatch.setattr(golden, "check_release", differ)
    run(device, "pull", code=1)
    assert seen == [1]
    assert current_seq(layout_of(device)) is None


def test_rollback_verify_gc_and_status_of_a_device(server: Server, device: Home) -> None:
    """The way of a device: two releases, back to the first, a look at everything, and the second again."""
    assert run(device, "status", "--offline").stdout.splitlines()[0] == "lake      has no release yet"
    for seq, shift in ((1, 0.0), (2, 0.5)):
        server.publish(seq, shift=shift)
        run(device, "pull")
    assert "rolled back from release 2 to 1: 2024-01-04, model run-1 (fwd_5d)" in run(device, "rollback").stdout
    assert "release 2 was rolled back here" in run(device, "pull").stderr
    lines = dict(line.split(None, 1) for line in run(device, "status").stdout.splitlines())
    assert lines["lake"] == "pulls releases"
    assert lines["release"] == "1: 2024-01-04, model run-1 (fwd_5d)"
    assert lines["age"] == "14 hours, until 2024-03-06 21:30 UTC"
    assert lines["holds"].startswith("3 sessions, 2 tables, ")
    assert lines["kept"] == "1, 2"
    assert lines["rollback"] == "release 2 was left and is not pulled again"
    assert lines["source"] == str(server.layout.root)
    assert lines["offers"].startswith("release 2, 2024-01-04: 0 objects, 0 bytes")
    assert run(device, "verify").stdout.startswith("release 1 is whole: 6 objects, ")
    assert len(run(device, "verify", "--all").stdout.splitlines()) == 2
    assert run(device, "pull", "--again").stdout.startswith("release  2: ")
    assert run(device, "gc", "--keep", "1").stdout.startswith("removed 5 files (releases 1), ")
    assert "removed 0 files, 0 bytes" in run(device, "gc").stdout


def test_an_expired_rollback_warns(server: Server, device: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done, and the warning says that nothing will be scored with it."""
    for seq, shift in ((1, 0.0), (2, 0.5)):
        server.publish(seq, shift=shift)
        run(device, "pull")
    monkeypatch.setenv(FIXED_NOW, (CREATED + timedelta(days=6)).isoformat())
    result = run(device, "rollback")
    assert "release 1 expired at 2024-03-06 21:30 UTC" in result.stderr
    assert "expired at 2024-03-06 21:30 UTC" in run(device, "status", "--offline").stdout


def test_status_as_json(server: Server, device: Home) -> None:
    """Every figure for programs; a source that cannot be read is a problem and no failure."""
    server.publish(1)
    empty = json.loads(run(device, "status", "--format", "json").stdout)
    assert (empty["role"], empty["release"], empty["offered"]["objects"]) == ("builder", None, 6)
    run(device, "pull")
    write_atomic(server.layout.released, b"x")
    found = json.loads(run(device, "status", "--format", "json").stdout)
    assert (found["role"], found["release"]["seq"], found["sessions"], found["kept"]) == ("device", 1, 3, [1])
    assert found["offered"] is None
    assert "not a number" in found["problem"]
    assert "problem   RELEASED of" in run(device, "status").stdout


def test_status_of_a_server(server: Server, home: Home) -> None:
    """The server's own home shows what it offers, and asks no source."""
    shutil.rmtree(home.lake)
    home.lake.symlink_to(server.layout.root)
    server.publish(1)
    lines = run(home, "status").stdout.splitlines()
    assert lines[0] == "lake      publishes releases"
    assert lines[1].startswith("release   1: ")
    assert [line.split()[0] for line in lines] == ["lake", "release", "age", "holds", "kept"]


def test_progress_says_speed_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    """After 2 of 10 MiB in 4 seconds: 512 KiB/s and 16 seconds; what was there before does not count as speed."""
    now = [0.0]
    shown = commands._Shown(clock=lambda: now[0])
    mib = 1 << 20
    shown.tell(5 * mib, 15 * mib)
    now[0] = 4.0
    shown.tell(7 * mib, 15 * mib)
    shown.end()
    first, second = capsys.readouterr().err.splitlines()
    assert first == "fetching 15,728,640 bytes, 5,242,880 of them are here already"
    assert second == "fetched 7,340,032 of 15,728,640 bytes, 512 KiB/s, 16 s left"
