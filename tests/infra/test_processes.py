"""Detached processes are found and ended with certainty."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import processes
from infra.local.processes import NotReady, ProcessEnded

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(child.pid, flush=True); time.sleep(60)",
]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose processes are ended whatever a test does."""
    yield tmp_path
    processes.stop_all(tmp_path)


def start(state: Path, name: str, command: list[str]) -> None:
    """Starts a process and waits for its first words, if it has any."""
    processes.start(name, command, processes.environment(state), state)


def log(state: Path, name: str) -> str:
    """What a process said first."""
    file = state / "logs" / f"{name}.log"
    processes.wait_until(lambda: file.read_text().endswith("\n"), "a word", state)
    return file.read_text()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be noticed does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_started_process_is_running_until_it_is_stopped(state: Path) -> None:
    start(state, "one", SLEEPER)
    start(state, "two", SLEEPER)
    assert processes.running(state) == ["one", "two"]
    assert processes.stop_all(state) == ["one", "two"]
    assert processes.running(state) == []


def test_a_process_that_was_killed_is_not_running(state: Path) -> None:
    start(state, "one", SLEEPER)
    os.kill(int((state / "processes" / "one.pid").read_text()), signal.SIGKILL)
    deadline = time.monotonic() + 5
    while processes.running(state) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.running(state) == []


def test_children_end_with_their_parent(state: Path) -> None:
    start(state, "parent", PARENT)
    child = int(log(state, "parent"))
    processes.stop_all(state)
    deadline = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(child)


def test_a_process_that_does_not_want_to_end_is_made_to(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_SECONDS_TO_END", 0.2)
    start(state, "stubborn", STUBBORN)
    assert processes.stop_all(state) == ["stubborn"]
    assert processes.running(state) == []


def test_a_number_that_belongs_to_somebody_else_by_now_is_left_alone(state: Path) -> None:
    (state / "processes").mkdir()
    (state / "processes" / "old.pid").write_text(str(os.getpid()))
    assert processes.running(state) == []
    assert processes.stop_all(state) == []


def test_two_state_folders_know_nothing_of_each_other(state: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    start(state, "one", SLEEPER)
    start(other, "one", SLEEPER)
    assert processes.stop_all(other) == ["one"]
    assert processes.running(state) == ["one"]


def test_output_goes_to_the_log(state: Path) -> None:
    start(state, "one", SLEEPER)
    assert log(state, "one") == "up\n"


def test_a_developers_aws_settings_do_not_reach_a_process(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    environment = processes.environment(state)
    assert "AWS_PROFILE" not in environment
    assert environment["AWS_SECRET_ACCESS_KEY"] == "test"
    assert environment["AWS_CONFIG_FILE"] == os.devnull


class TestWaiting:
    def test_it_ends_when_what_was_waited_for_is_there(self, state: Path) -> None:
        answers = iter([False, False, True])
        processes.wait_until(lambda: next(answers), "it", state)

    def test_it_ends_with_an_error_after_its_time(self, state: Path) -> None:
        with pytest.raises(NotReady, match="the moon"):
            processes.wait_until(lambda: False, "the moon", state, seconds=0.1)

    def test_it_ends_at_once_when_a_process_has_ended(self, state: Path) -> None:
        start(state, "brief", [sys.executable, "-c", "pass"])
        with pytest.raises(ProcessEnded, match="brief"):
            processes.wait_until(lambda: False, "it", state)


class TestPorts:
    def test_the_preferred_one_is_taken_if_it_is_free(self) -> None:
        port = processes.free_port(0)
        assert processes.free_port(port) == port

    def test_another_is_taken_if_it_is_not(self) -> None:
        port = processes.free_port(0)
        assert processes.free_port(port, taken=[port]) != port

    def test_a_port_that_somebody_listens_on_is_not_free(self) -> None:
        with socket.socket() as somebody:
            somebody.bind((processes.HOST, 0))
            somebody.listen()
            port = somebody.getsockname()[1]
            assert processes.free_port(port) != port

    def test_a_promised_port_is_not_promised_twice(self) -> None:
        with processes.PromisedPorts() as ours:
            port = ours.choose(processes.free_port(0))
            with processes.PromisedPorts() as theirs:
                assert theirs.choose(port) != port
            assert ours.choose(port) != port

    def test_a_server_can_listen_on_a_promised_port(self) -> None:
        with processes.PromisedPorts() as promised, socket.socket() as server:
            server.bind((processes.HOST, promised.choose(0)))
            server.listen()

    def test_a_port_is_free_again_when_the_promise_is_over(self) -> None:
        with processes.PromisedPorts() as ours:
            port = ours.choose(processes.free_port(0))
        with processes.PromisedPorts() as theirs:
            assert theirs.choose(port) == port
