"""Cut the connection in mid-file, and pull again: how many bytes come twice?

    python -m benchmarks.rsync_cut                  # half a minute
    python -m benchmarks.rsync_cut --mib 64 --cuts 5

Runs an sshd of its own on the loopback interface (own host key, one login key, an unprivileged port), publishes a
release with a large model, and pulls it with rsync over ssh at a limited pace. The ssh process is killed while the
model arrives, as often as --cuts says; then a last pull completes. Needs rsync, ssh, sshd and ssh-keygen.
Exit code 1 when a byte came twice or the release does not verify in the end.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.lake.loopback_ssh import MISSING, loopback_ssh
from tests.lake.small_release import MODEL, NOON_AFTER, at, newest_close, server_in
from trademl.errors import ReleaseError
from trademl.lake.files import sha256_file
from trademl.lake.layout import Layout
from trademl.lake.pull import pull
from trademl.lake.transports.rsync import RsyncTransport

PATIENCE = 60.0
"""Seconds to wait for a part to reach the size at which the connection is cut."""

PACE_KIB = 8192


def ssh_of(pid: int) -> list[int]:
    """Return the ssh clients that descend from process ``pid``."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    table = [(int(child), int(parent), name.strip()) for child, parent, name in map(str.split, listed.splitlines())]
    family = {pid}
    for _ in range(4):
        family |= {child for child, parent, _ in table if parent in family}
    return [child for child, _, name in table if child in family and name == "ssh"]


def cut_when(part: Path, size: int) -> None:
    """Kill this process's ssh as soon as ``part`` has ``size`` bytes."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if part.exists() and part.stat().st_size >= size:
            for pid in ssh_of(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.005)


def main() -> int:
    """Publish, pull with cuts, pull to the end, and print what came when."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=16, help="size of the model")
    parser.add_argument("--cuts", type=int, default=3, help="how often the connection is cut")
    options = parser.parse_args()
    if MISSING:
        print(f"not installed: {', '.join(MISSING)}")
        return 2
    with tempfile.TemporaryDirectory(prefix="trademl-cut-") as name, loopback_ssh(Path(name) / "ssh") as ssh:
        server, device = server_in(Path(name)), Layout(Path(name) / "device")
        release = server.publish(1, shift=0.5, model=os.urandom(options.mib << 20))
        model = release.assets[MODEL]
        total, came = sum(release.objects().values()), 0
        part = device.parts / model.sha256
        print(f"release of {total:,} bytes, of which the model is {model.bytes:,}; sshd on port {ssh.port}")
        for number in range(1, options.cuts + 1):
            cutter = threading.Thread(target=cut_when, args=(part, number * model.bytes // (options.cuts + 1)))
            cutter.start()
            pieces: list[int] = []
            began = time.monotonic()
            try:
                pull(
                    device,
                    server.config(),
                    now=at(NOON_AFTER),
                    transport=RsyncTransport(ssh.source(server.layout.root), PACE_KIB, ssh_options=ssh.options),
                    progress=lambda done, _, pieces=pieces: pieces.append(done),  # type: ignore[misc]
                )
                told = "completed, too early to be cut"
            except ReleaseError as error:
                told = error.message.partition(" ended with ")[2]
            cutter.join()
            fetched = pieces[-1] - pieces[0] if pieces else 0
            came += fetched
            there = part.stat().st_size if part.exists() else 0
            print(f"cut {number}: {fetched:>12,} bytes in {time.monotonic() - began:4.1f} s, then {told}")
            print(f"       {there:>12,} bytes of the model are there")
        done = pull(
            device,
            server.config(),
            now=at(NOON_AFTER),
            transport=RsyncTransport(ssh.source(server.layout.root), ssh_options=ssh.options),
        )
        came += done.bytes_new
        whole = sha256_file(device.asset(model.sha256)) == model.sha256 and newest_close(device) == (1, 3.5)
        print(f"resumed:{done.bytes_new:>12,} bytes in {done.seconds:4.1f} s")
        told = "whole" if whole else "BROKEN"
        print(f"in all: {came:>12,} bytes for {total:,}: {came - total:,} came twice; the release is {told}")
    return 0 if whole and came == total else 1


if __name__ == "__main__":
    sys.exit(main())
