"""A source on another machine, with rsync over ssh: what a device uses unless told otherwise.

rsync appends to what is there of an object, so a connection that was cut costs nothing that had arrived. How to log in
(keys, host keys, jump hosts) is ssh's own configuration; nothing is ever asked, because nobody sits at a device.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trademl.config.lake import Source
from trademl.errors import ReleaseError
from trademl.lake.transports.receiving import KIB, Received, part_size

SSH_OPTIONS = (
    "-o BatchMode=yes",
    "-o ConnectTimeout=20",
    "-o ServerAliveInterval=15",
    "-o ServerAliveCountMax=3",
    "-o ForwardAgent=no",
    "-o ForwardX11=no",
    "-o ClearAllForwardings=yes",
)
QUIET_SECONDS = 60
"""rsync gives up when nothing has come for this long."""

SMALL_FILE_SECONDS = 180.0
SLOWEST_KIB = 4
"""A transfer that is slower than this on average is given up; the next one goes on with what has arrived."""

_LOOK_EVERY = 0.2
_POLITE_SECONDS = 5.0
_SHOWN = 300
_TRY = "try `rsync -e ssh` by hand as the same user; the same command resumes what has begun"


class RsyncTransport:
    """Copies from ``source`` with the programs rsync and ssh.

    Args:
        source: host and folder, as :func:`~trademl.config.lake.parse_source` allows them: they go on a command line.
        limit_kib: KiB a second at most; None means no limit.
        ssh_options: more options for ssh, such as ``-F FILE``.
        program: the rsync to run.
    """

    def __init__(
        self,
        source: Source,
        limit_kib: int | None = None,
        *,
        ssh_options: Sequence[str] = (),
        program: str = "rsync",
    ) -> None:
        self.limit_kib = limit_kib
        self.program = program
        login = f"{source.user}@{source.host}" if source.user else source.host
        self.where = f"{login}:{source.path}"
        port = () if source.port is None else (f"-p {source.port}",)
        self._ssh = " ".join(("ssh", *SSH_OPTIONS, *port, *ssh_options))

    def read(self, name: str, limit: int) -> bytes:
        """Return a small file; see :class:`~trademl.lake.transport.Transport`."""
        with tempfile.TemporaryDirectory(prefix="trademl-pull-") as folder:
            here = Path(folder) / Path(name).name
            command = [*self._command(f"--max-size={limit}b"), "--", f"{self.where}/{name}", folder]
            self._run(command, "", SMALL_FILE_SECONDS, lambda: part_size(here) > limit)
            if not here.is_file() or here.is_symlink() or here.stat().st_size > limit:
                raise ReleaseError(
                    f"{name} of {self.where} has more than {limit} bytes, or is not a plain file",
                    remedy="do not use this source: no release is so",
                )
            return here.read_bytes()

    def fetch(self, sizes: Mapping[str, int], folder: Path, received: Received) -> None:
        """Bring objects; see :class:`~trademl.lake.transport.Transport`."""
        if not sizes:
            return
        watch = _Watch(sizes, folder, received)
        options = ["--inplace", "--append", "--partial", f"--max-size={max(sizes.values())}b"]
        if self.limit_kib is not None:
            options.append(f"--bwlimit={self.limit_kib}")
        command = [*self._command(*options, "--files-from=-"), "--", f"{self.where}/objects/", str(folder)]
        slowest = min(SLOWEST_KIB, self.limit_kib or SLOWEST_KIB) * KIB
        try:
            self._run(command, "\n".join(sizes) + "\n", 600.0 + sum(sizes.values()) / slowest, watch.look)
        finally:
            watch.look()

    def _command(self, *options: str) -> list[str]:
        return [
            self.program,
            "--no-motd",
            f"--timeout={QUIET_SECONDS}",
            *options,
            "-e",
            self._ssh,
        ]

    def _run(self, command: list[str], typed: str, seconds: float, too_much: Callable[[], bool]) -> None:
        """Run rsync to its end, looking now and then at what it has written.

        Raises:
            ReleaseError: it failed, took longer than ``seconds``, or wrote more than it was asked for.
        """
        with tempfile.TemporaryFile() as told:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=told,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            except FileNotFoundError as error:
                raise ReleaseError(
                    f"{self.program} is not installed", remedy="install the package rsync on this machine"
                ) from error
            deadline = time.monotonic() + seconds
            try:
                self._type(process, typed)
                while not _ended(process):
                    if too_much():
                        raise ReleaseError(
                            f"{self.where} sends more than the release says", remedy="do not use this source"
                        )
                    if time.monotonic() > deadline:
                        raise ReleaseError(f"{self.where} took longer than {seconds:,.0f} seconds", remedy=_TRY)
            finally:
                _end(process)
            told.seek(0)
            lines = told.read(64 * KIB).decode(errors="replace").splitlines()
        if process.returncode != 0:
            raise ReleaseError(
                f"rsync from {self.where} ended with {process.returncode}: {_first_complaint(lines)}", remedy=_TRY
            )

    @staticmethod
    def _type(process: "subprocess.Popen[bytes]", typed: str) -> None:
        assert process.stdin is not None  # it was asked for
        try:
            process.stdin.write(typed.encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended early; its exit code and message say why


class _Watch:
    """Follows the growth of parts: reports what has come, and finds what has come too much."""

    def __init__(self, sizes: Mapping[str, int], folder: Path, received: Received) -> None:
        self._received = received
        self._sizes = {folder / name: size for name, size in sizes.items()}
        self._seen = {path: part_size(path) for path in self._sizes}

    def look(self) -> bool:
        """Report growth since the last look; tell whether a part is larger than it may be."""
        now = {path: part_size(path) for path in self._sizes}
        grown = sum(now.values()) - sum(self._seen.values())
        self._seen = now
        if grown > 0:
            self._received(grown)
        return any(now[path] > size for path, size in self._sizes.items())


def _first_complaint(lines: Sequence[str]) -> str:
    """Return the line of an error output that says most: the first that is about an error."""
    telling = [line.strip() for line in lines if line.strip()]
    about = [
        line for line in telling if "error" in line.lower() or "failed" in line.lower() or "denied" in line.lower()
    ]
    chosen = (about or telling or ["it said nothing"])[0]
    return "".join(character for character in chosen if character.isprintable())[:_SHOWN]


def _ended(process: "subprocess.Popen[bytes]") -> bool:
    """Wait for a moment; tell whether the process has ended."""
    try:
        process.wait(_LOOK_EVERY)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End rsync and what it has started: asked first, so that it ends its receiver and ssh itself."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLITE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_with_parent() -> None:
    # A pull that is killed must not leave an rsync behind that writes to the parts of the next one. SIGTERM, because
    # rsync then ends its other processes too.
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
