"""What the simulation did, counted in every process of the test run and told at its end."""

from __future__ import annotations

from typing import Any

import pytest

_counts: dict[str, int] = {}
_KEY = "simulation"


def count(what: str, number: int = 1) -> None:
    """So many more of that."""
    _counts[what] = _counts.get(what, 0) + number


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its counts over to the process that reports."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = dict(_counts)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a worker over."""
    for what, number in getattr(node, "workeroutput", {}).get(_KEY, {}).items():
        count(what, number)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was done."""
    if not _counts:
        return
    terminalreporter.section("crash simulation")
    for what in sorted(_counts):
        terminalreporter.write_line(f"{_counts[what]:6} {what}")
