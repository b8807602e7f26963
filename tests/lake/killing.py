"""Kill a process before any of its steps, or at any moment: what the fault tests of the lake share.

A step is what can be seen from outside: opening a file below a folder for writing, a rename, a removal, a change of
mode, a new folder, a lock, an fsync; and whatever the work itself reports. A process that has loaded everything is
forked for each kill, so a kill takes little time. Nothing that a fork must not inherit (a database connection, a
thread) may exist in it: read and write databases in children too, with :func:`in_child`.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Act = Callable[[str], None]
"""Called with the name of a step before it is made; may not return."""

_SEEN = ("os.rename", "os.remove", "os.chmod", "os.mkdir", "os.rmdir", "fcntl.flock")
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Killed:
    """How a piece of work ended: ``steps`` are those that began, the last of them not made if it was ``killed``."""

    killed: bool
    steps: tuple[str, ...]
    error: str


def in_child(work: Callable[[], Any]) -> Any:
    """Return what ``work`` returns (anything JSON holds) from a forked process, which has ended then.

    Raises:
        RuntimeError: it raised; the message is that of its error.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            answer = {"value": work()}
        except BaseException as error:  # noqa: BLE001 - a forked copy of the caller must not go on
            answer = {"error": f"{type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as stream:
            json.dump(answer, stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    status = os.waitpid(child, 0)[1]
    answer = json.loads(text) if text else {"error": f"the process ended with status {status}"}
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["value"]


def killed_before(stop: int | None, root: Path, work: Callable[[Act], object]) -> Killed:
    """Run ``work`` in a forked process and kill it before step number ``stop``, counted from 1; None lets it end.

    Args:
        stop: the step.
        root: the folder whose files count.
        work: what to do; it may report steps of its own.
    """
    return _watched(work, root, stop, None)


def killed_after(seconds: float, root: Path, work: Callable[[Act], object]) -> Killed:
    """Run ``work`` in a forked process and kill it after ``seconds``, unless it ends before."""
    return _watched(work, root, None, seconds)


def _watched(work: Callable[[Act], object], root: Path, stop: int | None, seconds: float | None) -> Killed:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = _child(work, root, stop, writing)
        os._exit(code)
    os.close(writing)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, errors="replace") as stream:
        lines = stream.read().splitlines()
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    errors = [line[1:] for line in lines if line.startswith("!")]
    return Killed(killed, tuple(line for line in lines if not line.startswith("!")), errors[0] if errors else "")


def _child(work: Callable[[Act], object], root: Path, stop: int | None, writing: int) -> int:
    counted = 0

    def act(name: str) -> None:
        nonlocal counted
        counted += 1
        os.write(writing, f"{name}\n".encode())
        if counted == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    _watch_files(root, act)
    try:
        work(act)
    except BaseException as error:  # noqa: BLE001 - a forked copy of the caller must not go on
        os.write(writing, f"!{type(error).__name__}: {str(error).splitlines()[0]}\n".encode())
        return 1
    return 0


def _watch_files(root: Path, act: Act) -> None:
    """Call ``act`` before each step that touches ``root``; there is no way back, so only in a forked process."""
    below = str(root)

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open":
            if isinstance(arguments[2], int) and arguments[2] & _WRITING and str(arguments[0]).startswith(below):
                act(f"open {_plain(arguments[0])}")
        elif name in _SEEN:
            act(f"{name} {_plain(arguments[1] if name == 'os.rename' else arguments[0])}")

    fsync = os.fsync

    def flush(fd: Any) -> None:
        act("fsync")
        fsync(fd)

    os.fsync = flush
    sys.addaudithook(audit)


def _plain(path: object) -> str:
    name = Path(str(path)).name
    return ".incoming" if name.startswith(".incoming-") else name[:24]
