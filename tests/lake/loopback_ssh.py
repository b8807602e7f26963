"""An sshd of one's own on the loopback interface: unprivileged port, its own host key, one key that may log in."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trademl.config.lake import Source

MISSING = [
    program
    for program in ("rsync", "ssh", "ssh-keygen", "sshd")
    if shutil.which(program, path="/usr/sbin:" + os.environ["PATH"]) is None
]
"""What is needed and not installed here."""

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Loopback:
    """A running sshd: ``options`` for ssh, and its log."""

    port: int
    options: tuple[str, ...]
    log: Path

    def source(self, folder: Path) -> Source:
        """Return the source that is ``folder`` seen through this sshd."""
        return Source("ssh", str(folder), _HOST, getpass.getuser(), self.port)


@contextmanager
def loopback_ssh(folder: Path) -> Iterator[Loopback]:
    """Run an sshd whose files lie in ``folder``; it ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port = probe.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress {_HOST}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user.pub\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
    )
    (folder / "known_hosts").write_text(f"[{_HOST}]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "ssh_config").write_text(
        f"Host *\nIdentityFile {folder}/user\nIdentitiesOnly yes\nIdentityAgent none\n"
        f"UserKnownHostsFile {folder}/known_hosts\nStrictHostKeyChecking yes\n"
    )
    log = folder / "log"
    sshd = shutil.which("sshd", path="/usr/sbin:" + os.environ["PATH"])
    assert sshd is not None
    server = subprocess.Popen([sshd, "-D", "-f", str(folder / "sshd_config"), "-E", str(log)])
    try:
        _wait_for(port, server)
        yield Loopback(port, ("-F", str(folder / "ssh_config")), log)
    finally:
        server.terminate()
        server.wait(timeout=10)


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(100):
        if server.poll() is not None:
            raise OSError(f"sshd ended with {server.returncode}")
        try:
            socket.create_connection((_HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise OSError(f"nothing answers on port {port}")
