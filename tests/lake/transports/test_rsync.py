"""rsync over ssh, through a real sshd on the loopback interface."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lake.loopback_ssh import MISSING, Loopback, loopback_ssh
from tests.lake.small_release import NOON_AFTER, at, newest_close, server_in
from trademl.config.lake import Source
from trademl.errors import ReleaseError
from trademl.lake.layout import Layout
from trademl.lake.pull import pull
from trademl.lake.transports import rsync
from trademl.lake.transports.rsync import RsyncTransport

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

BIG = bytes(range(256)) * 20_000


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with loopback_ssh(tmp_path_factory.mktemp("ssh")) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "objects").mkdir(parents=True)
    (tmp_path / "source" / "RELEASED").write_bytes(b"12\n")
    for name, raw in (("a", BIG), ("b", b"second"), ("empty", b"")):
        (tmp_path / "source" / "objects" / name).write_bytes(raw)
        (tmp_path / "source" / "objects" / name).chmod(0o444)
    (tmp_path / "parts").mkdir()
    return tmp_path / "source"


def through(ssh: Loopback, folder: Path, limit: int | None = None) -> RsyncTransport:
    return RsyncTransport(ssh.source(folder), limit, ssh_options=ssh.options)


def test_objects_arrive_whole_and_are_counted(ssh: Loopback, source: Path, tmp_path: Path) -> None:
    """Three objects in one connection, byte for byte, and no more than was asked for."""
    seen: list[int] = []
    (source / "objects" / "unasked").write_bytes(b"x")
    through(ssh, source).fetch({"a": len(BIG), "b": 6, "empty": 0}, tmp_path / "parts", seen.append)
    found = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    assert found == {"a": BIG, "b": b"second", "empty": b""}
    assert sum(seen) == len(BIG) + 6


def test_nothing_to_fetch_needs_no_connection(tmp_path: Path) -> None:
    """An empty list asks nobody: a host that does not exist is no error, nothing is counted, and no file appears."""
    seen: list[int] = []
    RsyncTransport(Source("ssh", "/x", "nobody.invalid")).fetch({}, tmp_path / "parts", seen.append)
    assert seen == []
    assert list(tmp_path.iterdir()) == []


def test_a_part_is_gone_on_with(ssh: Loopback, source: Path, tmp_path: Path) -> None:
    """What is there is not sent again, even if it is wrong: the hash decides later."""
    (tmp_path / "parts" / "a").write_bytes(b"?" * 5_000_000)
    seen: list[int] = []
    through(ssh, source).fetch({"a": len(BIG)}, tmp_path / "parts", seen.append)
    assert (tmp_path / "parts" / "a").read_bytes() == b"?" * 5_000_000 + BIG[5_000_000:]
    assert sum(seen) == len(BIG) - 5_000_000


@pytest.mark.fault
def test_a_connection_cut_in_mid_file_is_resumed(ssh: Loopback, source: Path, tmp_path: Path) -> None:
    """ssh is killed while an object comes at a limited pace; the next call brings the rest and the bytes are right."""
    part = tmp_path / "parts" / "a"
    came: list[int] = []
    cut = threading.Thread(target=_kill_ssh_when, args=(part, 1_000_000))
    cut.start()
    with pytest.raises(ReleaseError, match=r"rsync from .* ended with"):
        through(ssh, source, 2048).fetch({"a": len(BIG)}, tmp_path / "parts", came.append)
    cut.join()
    begun = part.stat().st_size
    assert 1_000_000 <= begun == sum(came) < len(BIG)
    more: list[int] = []
    through(ssh, source).fetch({"a": len(BIG)}, tmp_path / "parts", more.append)
    assert part.read_bytes() == BIG
    assert sum(more) == len(BIG) - begun


def _kill_ssh_when(part: Path, size: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if part.exists() and part.stat().st_size >= size:
            os.kill(ssh_below(os.getpid()), signal.SIGKILL)
            return
        time.sleep(0.01)


def ssh_below(pid: int) -> int:
    """Return the process id of the ssh client that descends from process ``pid``."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    table = [line.split(None, 2) for line in listed.splitlines()]
    family = {pid}
    for _ in range(4):
        family |= {int(child) for child, parent, _ in table if int(parent) in family}
    return next(int(child) for child, _, command in table if int(child) in family and command.strip() == "ssh")


def test_the_bandwidth_limit_is_kept(ssh: Loopback, source: Path, tmp_path: Path) -> None:
    """2 MB at 1 MiB a second take about two seconds, and not the tenth of one that loopback needs."""
    (source / "objects" / "a").chmod(0o644)
    (source / "objects" / "a").write_bytes(BIG[:2_000_000])
    began = time.monotonic()
    through(ssh, source, 1024).fetch({"a": 2_000_000}, tmp_path / "parts", lambda count: None)
    assert 1.2 < time.monotonic() - began < 20


def test_a_small_file_is_read_up_to_its_limit(ssh: Loopback, source: Path) -> None:
    """Exactly the limit is allowed, a byte more is not sent; a link is not followed; an absent one is named."""
    transport = through(ssh, source)
    assert transport.read("RELEASED", 3) == b"12\n"
    with pytest.raises(ReleaseError, match=r"RELEASED of .* has more than 2 bytes"):
        transport.read("RELEASED", 2)
    (source / "link").symlink_to("/etc/passwd")
    with pytest.raises(ReleaseError, match=r"link of .* is not a plain file"):
        transport.read("link", 100_000)
    with pytest.raises(ReleaseError, match=r"ended with 23: .*ABSENT.* failed: No such file"):
        transport.read("ABSENT", 32)


def test_a_larger_object_is_not_fetched(ssh: Loopback, source: Path, tmp_path: Path) -> None:
    """The release's largest size bounds what is sent; an object that grew beyond its own is stopped on the way."""
    through(ssh, source).fetch({"a": 1000}, tmp_path / "parts", lambda count: None)
    assert not (tmp_path / "parts" / "a").exists()
    with pytest.raises(ReleaseError, match="sends more than the release says"):
        through(ssh, source, 1024).fetch({"a": 1000, "b": len(BIG)}, tmp_path / "parts", lambda count: None)
    assert (tmp_path / "parts" / "a").stat().st_size < len(BIG) // 2


def test_a_missing_object_is_named(ssh: Loopback, source: Path, tmp_path: Path) -> None:
    """What there is arrives; what is missing is in the message."""
    with pytest.raises(ReleaseError, match=r"rsync from .* ended with 23: .*absent.* failed: No such file"):
        through(ssh, source).fetch({"absent": 5, "b": 6}, tmp_path / "parts", lambda count: None)
    assert (tmp_path / "parts" / "b").read_bytes() == b"second"


def test_who_may_not_log_in_is_told_at_once(ssh: Loopback, source: Path, tmp_path: Path) -> None:
    """Without the key, and with an unknown host key, ssh asks nobody: it fails within seconds, with its own words."""
    config = tmp_path / "config"
    for line, told in (
        (f"IdentityFile {tmp_path}/none\nIdentitiesOnly yes\nStrictHostKeyChecking no", "Permission denied"),
        ("StrictHostKeyChecking yes", "verification failed"),
    ):
        config.write_text(f"Host *\nIdentityAgent none\nUserKnownHostsFile {tmp_path}/hosts\n{line}\n")
        (tmp_path / "hosts").unlink(missing_ok=True)
        began = time.monotonic()
        with pytest.raises(ReleaseError, match=told):
            RsyncTransport(ssh.source(source), ssh_options=("-F", str(config))).read("RELEASED", 32)
        assert time.monotonic() - began < 20


def test_a_transfer_has_an_end(ssh: Loopback, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes longer than its time is ended; rsync's own limits on silence and connecting are set."""
    monkeypatch.setattr(rsync, "SMALL_FILE_SECONDS", 0.0)
    monkeypatch.setattr(rsync, "_LOOK_EVERY", 0.001)
    with pytest.raises(ReleaseError, match="took longer than 0 seconds"):
        through(ssh, source).read("RELEASED", 32)
    command = " ".join(through(ssh, source)._command())
    assert f"--timeout={rsync.QUIET_SECONDS}" in command
    assert "ConnectTimeout=20" in command
    assert "BatchMode=yes" in command


def test_without_rsync_its_absence_is_told(source: Path) -> None:
    """A device without the program says so."""
    with pytest.raises(ReleaseError, match="no-such-rsync is not installed"):
        RsyncTransport(Source("ssh", str(source), "127.0.0.1"), program="no-such-rsync").read("RELEASED", 32)


@pytest.mark.fault
def test_rsync_dies_with_the_pull(ssh: Loopback, source: Path, tmp_path: Path) -> None:
    """kill -9 of the process that fetches ends its rsync too: nobody writes to parts behind the next pull's back."""
    victim = os.fork()
    if victim == 0:
        try:
            through(ssh, source, 512).fetch({"a": len(BIG)}, tmp_path / "parts", lambda count: None)
        finally:
            os._exit(0)
    part = tmp_path / "parts" / "a"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (part.exists() and part.stat().st_size):
        time.sleep(0.05)
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    time.sleep(1.0)
    stopped = part.stat().st_size
    time.sleep(1.0)
    assert 0 < stopped == part.stat().st_size < len(BIG)


def test_a_release_is_pulled_through_ssh(ssh: Loopback, tmp_path: Path) -> None:
    """The whole way: publish, pull through rsync, read; then the next release."""
    server, device = server_in(tmp_path), Layout(tmp_path / "device")
    transport = through(ssh, server.layout.root)
    for seq, shift in ((1, 0.0), (2, 0.5)):
        server.publish(seq, shift=shift)
        done = pull(device, server.config(), now=at(NOON_AFTER), transport=transport)
        assert (done.seq, done.changed) == (seq, True)
        assert newest_close(device) == (seq, 3.0 + shift)
    assert done.objects_new == 2
