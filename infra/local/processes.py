"""Detached processes that belong to one state folder.

Each process holds a lock on its file from its first moment to its last, so whether it runs is
asked of the operating system and never guessed from a number that may be somebody else's by now.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
"""Everything local listens here, and nowhere else."""

SERVER_PORTS = (15_000, 32_000)
"""Below those of connections that go out, on Linux (from 32,768) and elsewhere (from 49,152)."""

_SECONDS_TO_END = 10.0


class ProcessEnded(Exception):
    """A process that should serve has ended; the text names its log."""


class NotReady(Exception):
    """Something that was waited for did not come in time."""


def start(name: str, command: Sequence[str], environment: Mapping[str, str], state: Path) -> None:
    """Starts ``command`` detached, with its output in ``<state>/logs/<name>.log``.

    Args:
        name: what :func:`running` and :func:`stop_all` know it by.
        command: the program and its arguments.
        environment: all of its environment; nothing is inherited.
        state: the state folder; the process works there.
    """
    for folder in ("logs", "processes", "tmp"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    with (
        (state / "logs" / f"{name}.log").open("ab") as log,
        _lock_file(state, name).open("w", encoding="utf-8") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=state,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],  # the lock is the child's from here on
        )
        lock.write(str(process.pid))
    process.returncode = 0  # nobody waits for it here; without this Python warns at the end


def environment(state: Path, **additions: str) -> dict[str, str]:
    """A small environment that keeps a developer's own AWS settings out of the local cloud."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(state / "tmp"),
        **additions,
    }


def is_state(state: Path) -> bool:
    """Whether ``state`` is a folder in which processes were started."""
    return (state / "processes").is_dir()


def running(state: Path) -> list[str]:
    """The names of the processes of ``state`` that run now."""
    locks = sorted((state / "processes").glob("*.pid"))
    return [lock.stem for lock in locks if _is_held(lock)]


def stop_all(state: Path) -> list[str]:
    """Ends every process of ``state`` with all its children; returns their names."""
    names = running(state)
    for name in names:
        _signal(state, name, signal.SIGTERM)
    deadline = time.monotonic() + _SECONDS_TO_END
    while running(state) and time.monotonic() < deadline:
        time.sleep(0.05)
    for name in names:  # also where the parent ended well: a child may have stayed
        _signal(state, name, signal.SIGKILL)
    while running(state):
        time.sleep(0.05)
    return names


def wait_until(ready: Callable[[], bool], what: str, state: Path, seconds: float = 60) -> None:
    """Waits until ``ready`` says so.

    Raises:
        ProcessEnded: a process of ``state`` ended meanwhile.
        NotReady: the time is over.
    """
    expected = {lock.stem for lock in (state / "processes").glob("*.pid")}
    deadline = time.monotonic() + seconds
    while not ready():
        for name in expected.difference(running(state)):
            raise ProcessEnded(f"{name} ended while {what} was awaited: {state}/logs/{name}.log")
        if time.monotonic() > deadline:
            raise NotReady(f"{what} was not ready after {seconds:.0f} seconds: {state}/logs")
        time.sleep(0.05)


def is_listening(port: int) -> bool:
    """Whether something accepts connections on ``port``."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def free_port(preferred: int, taken: Sequence[int] = ()) -> int:
    """``preferred`` if nobody listens there and it is not in ``taken``, else any free port.

    Not one of those that the system gives to connections that go out: between the choice and the
    server's first moment one of thousands of those could get it.
    """
    port = preferred or _any_port()
    while port in taken or _bindable(port) is None:
        port = _any_port()
    return port


def _any_port() -> int:
    return random.randrange(*SERVER_PORTS)  # noqa: S311 - no secret


class PromisedPorts:
    """Free ports that nobody else is promised for as long as this is open.

    Between the choice of a port and the first moment at which its server listens, seconds can
    pass. Another cloud that starts meanwhile must not choose it too, so a UDP socket is bound to
    the number: the servers speak TCP and do not mind, and the system gives the number back by
    itself when this process ends, however it ends.
    """

    def __init__(self) -> None:
        self._promises: dict[int, socket.socket] = {}

    def choose(self, preferred: int) -> int:
        """``preferred`` if it is free and nobody is promised it, else any such port."""
        port = free_port(preferred, taken=list(self._promises))
        while not self._promise(port) or _bindable(port) is None:
            port = free_port(0, taken=list(self._promises))
        return port

    def _promise(self, port: int) -> bool:
        promise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            promise.bind((HOST, port))
        except OSError:
            promise.close()
            return False
        self._promises[port] = promise
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for promise in self._promises.values():
            promise.close()


def _bindable(port: int) -> int | None:
    """``port``, or any for 0, if a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return None
        bound: int = probe.getsockname()[1]
        return bound


def _lock_file(state: Path, name: str) -> Path:
    return state / "processes" / f"{name}.pid"


def _is_held(lock_file: Path) -> bool:
    with lock_file.open(encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _signal(state: Path, name: str, number: signal.Signals) -> None:
    pid = int(_lock_file(state, name).read_text(encoding="utf-8"))
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
