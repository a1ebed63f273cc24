"""An emulated AWS served over HTTP by this process, so that child processes can die in it."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from chalicelib.wiring import Wiring
from tests.integration.company import Company, FixedClock
from tests.integration.conftest import Cloud, forget_clients, install
from tests.integration.vendor import FakeCalin


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The address of the emulator."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def cloud(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An empty installation in the emulator, at which this process and its children point."""
    reset = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    forget_clients()
    made = Cloud(
        dynamodb=boto3.client("dynamodb"),
        sqs=boto3.client("sqs"),
        secrets=boto3.client("secretsmanager"),
        s3=boto3.client("s3"),
    )
    for name, url in install(made).items():
        monkeypatch.setenv(name, url)
    yield made
    forget_clients()


@pytest.fixture
def calin() -> Iterator[FakeCalin]:
    """Calin, as a server that counts what it issues."""
    with FakeCalin() as fake:
        yield fake


@pytest.fixture
def clock() -> FixedClock:
    """The clock of every process; the test moves it."""
    return FixedClock()


@pytest.fixture
def company(cloud: Cloud, calin: FakeCalin, clock: FixedClock) -> Company:
    """A company without customers."""
    calin.put_secrets(cloud)
    return Company(Wiring(clock))
