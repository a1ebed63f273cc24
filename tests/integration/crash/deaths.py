"""Processes that die between two real side effects.

Every AWS call of a process is a side effect with a number. A function under test runs in a child
process of its own, which kills itself (no clean-up, no ``finally``) right before or right after
the call that the test names. What it wrote until then is in the emulator, in this process.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.client

KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Death:
    """Die before or after the ``nth`` call of that AWS operation."""

    when: str
    operation: str
    nth: int = 1


def run(work: Callable[[], object], death: Death | None = None) -> int:
    """Run ``work`` in a child process; answer 0, or ``KILLED`` where it died as told.

    An exception of the work itself is a defect of the test: it is printed and answered as 1.
    """
    child = os.fork()
    if child == 0:
        os._exit(_live(work, death))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _live(work: Callable[[], object], death: Death | None) -> int:
    try:
        if death is not None:
            _arrange(death)
        work()
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _arrange(death: Death) -> None:
    call = botocore.client.BaseClient._make_api_call
    seen = 0

    def counted(client: Any, operation: str, arguments: Any) -> Any:
        nonlocal seen
        if operation != death.operation:
            return call(client, operation, arguments)
        seen += 1
        if seen == death.nth and death.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = call(client, operation, arguments)
        if seen == death.nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    botocore.client.BaseClient._make_api_call = counted  # type: ignore[method-assign]
