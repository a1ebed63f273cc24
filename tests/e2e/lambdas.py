"""The Lambda functions from behind: start them fresh, stop their triggers, kill their processes.

The emulator runs functions as real processes of this machine. Linux tells in ``/proc`` which of
them speaks to whom.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.local.client import Cloud, now, wait_for
from tests.e2e.tables import bring_check_forward


def start_fresh(cloud: Cloud, function: str) -> None:
    """Have the function's next calls made by new processes, which have nothing cached.

    A changed configuration does that, on AWS too. What works through an alias does so once the
    alias points to a version that has it.
    """
    aws, name = cloud.aws("lambda"), cloud.stack["functions"][function]
    memory = aws.get_function_configuration(FunctionName=name)["MemorySize"]
    aws.update_function_configuration(FunctionName=name, MemorySize=memory + 1)
    for alias in aws.list_aliases(FunctionName=name)["Aliases"]:
        version = aws.publish_version(FunctionName=name)["Version"]
        aws.update_alias(FunctionName=name, Name=alias["Name"], FunctionVersion=version)


def invoke(cloud: Cloud, function: str, detail: Mapping[str, Any] | None = None) -> None:
    """Call the function now, as its schedule would, or somebody with the console."""
    event = {
        "version": "0",
        "id": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "detail": detail or {},
        "resources": [],
        **dict.fromkeys(("account", "time", "region"), ""),
    }
    answer = cloud.aws("lambda").invoke(
        FunctionName=cloud.stack["functions"][function], Payload=json.dumps(event).encode()
    )
    assert "FunctionError" not in answer, answer["Payload"].read()


def sweep_now(cloud: Cloud, *payment_ids: str) -> None:
    """Time passes, and the sweeper runs."""
    for payment_id in payment_ids:
        bring_check_forward(cloud, payment_id, now() - timedelta(seconds=1))
    invoke(cloud, "sweep")


@contextmanager
def trigger_stopped(cloud: Cloud, function: str) -> Iterator[None]:
    """While this lasts, nobody takes messages from the function's queue."""
    aws = cloud.aws("lambda")
    name = f"{cloud.stack['functions'][function]}:live"
    [mapping] = aws.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    _switch(aws, mapping["UUID"], on=False)
    try:
        yield
    finally:
        _switch(aws, mapping["UUID"], on=True)


def _switch(aws: Any, uuid: str, *, on: bool) -> None:
    aws.update_event_source_mapping(UUID=uuid, Enabled=on)
    wanted = "Enabled" if on else "Disabled"
    wait_for(
        lambda: aws.get_event_source_mapping(UUID=uuid)["State"], wanted.__eq__, f"it is {wanted}"
    )


def kill_caller_of(address: str, seconds: float = 15) -> int:
    """Kill the one process of this machine that has a connection open to that address.

    SIGKILL: it gets no chance to write anything down, as a machine that loses its power.
    """
    port = urlsplit(address).port
    assert port
    pid = wait_for(lambda: _callers(port), bool, f"somebody calls {address}", seconds)[0]
    os.kill(pid, signal.SIGKILL)
    return pid


def _callers(port: int) -> list[int]:
    sockets = _sockets_towards(port)
    return [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and sockets & _sockets_of(process)
    ]


def _sockets_towards(port: int) -> set[str]:
    """The inodes of established connections whose far end is that port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "01" and int(row[2].rpartition(":")[2], 16) == port}


def _sockets_of(process: Path) -> set[str]:
    found = set()
    try:
        for descriptor in (process / "fd").iterdir():
            target = os.readlink(descriptor)
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass  # it ended, or is not ours
    return found
