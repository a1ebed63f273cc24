"""The worlds of the simulation: one whose functions can be killed, one that is faster."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws
from moto.server import ThreadedMotoServer

from chalicelib.runtime import aws
from tests.integration.company import FixedClock
from tests.integration.conftest import Cloud, forget_clients, install, installed
from tests.simulation import effects
from tests.simulation.outside import Outside
from tests.simulation.tally import (  # noqa: F401 - hooks of pytest
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)
from tests.simulation.world import World


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    """Every way to the outside goes through the observer, and nobody waits."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("random.uniform", lambda low, high: low)
        effects.install(monkeypatch)
        yield monkeypatch


@pytest.fixture(scope="module")
def clock() -> FixedClock:
    """The clock of everybody."""
    return FixedClock()


@pytest.fixture(scope="module")
def outside(clock: FixedClock, patched: pytest.MonkeyPatch) -> Iterator[Outside]:
    """Manufacturers, provider and telephones."""
    with Outside(clock) as outside:
        patched.setenv("SMS_LOG_URL", f"{outside.url}/sms/send")
        yield outside


@pytest.fixture(scope="module")
def mortal_world(
    outside: Outside, clock: FixedClock, patched: pytest.MonkeyPatch
) -> Iterator[World]:
    """A world whose functions run in processes of their own, on an emulator behind HTTP."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patched.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    forget_clients()
    clients = {name: boto3.client(name) for name in ("dynamodb", "sqs", "secretsmanager")}
    cloud = Cloud(clients["dynamodb"], clients["sqs"], clients["secretsmanager"])
    for name, url in install(cloud).items():
        patched.setenv(name, url)
    for client in clients.values():
        client.close()
    aws.client("sqs")  # made once, here: the children find it made
    yield World(outside, clock, in_children=True)
    server.stop()
    forget_clients()


@pytest.fixture(scope="module")
def quick_world(
    outside: Outside, clock: FixedClock, patched: pytest.MonkeyPatch
) -> Iterator[World]:
    """A world whose functions run in this process."""
    with mock_aws():
        forget_clients()
        installed()
        yield World(outside, clock, in_children=False)
    forget_clients()
