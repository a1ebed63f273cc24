"""The world of the simulation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.integration.company import FixedClock
from tests.integration.conftest import forget_clients, installed
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
def world(outside: Outside, clock: FixedClock, patched: pytest.MonkeyPatch) -> Iterator[World]:
    """A deployment with an empty company; the tables are made once."""
    with mock_aws():
        forget_clients()
        installed()
        yield World(outside, clock)
    forget_clients()
