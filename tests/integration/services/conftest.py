"""The real services on a mocked AWS, with Calin as a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from chalicelib.domain.payment import Claim, Payment
from chalicelib.wiring import Wiring
from tests.integration.company import Company, FixedClock
from tests.integration.conftest import Cloud
from tests.integration.vendor import FakeCalin


@pytest.fixture
def calin() -> Iterator[FakeCalin]:
    """Calin, as a server that counts what it issues."""
    with FakeCalin() as fake:
        yield fake


@pytest.fixture
def clock() -> FixedClock:
    """The clock of the services; the test moves it."""
    return FixedClock()


@pytest.fixture
def wiring(cloud: Cloud, calin: FakeCalin, clock: FixedClock) -> Wiring:
    """The parts, wired to the mocked AWS."""
    calin.put_secrets(cloud)
    return Wiring(clock)


@pytest.fixture
def company(wiring: Wiring) -> Company:
    """A company without customers."""
    return Company(wiring)


class Counter:
    """Where payments come in; runs the queues by hand."""

    def __init__(self, cloud: Cloud, wiring: Wiring) -> None:
        self.cloud = cloud
        self.wiring = wiring

    def pay(self, claim: Claim) -> Payment:
        """Accept money that has moved, and work off all that follows."""
        payment = self.wiring.accept.accept(claim, money_moved=True).payment
        self.run_dry()
        return self.now(payment.payment_id)

    def now(self, payment_id: str) -> Payment:
        """The payment as it stands."""
        payment = self.wiring.payments.get(payment_id)
        assert payment is not None
        return payment

    def settle_all(self) -> None:
        """Settle what is queued, and leave what follows in the queues."""
        for message in self.cloud.take("payments"):
            body = message["body"]
            self.wiring.settle.settle(
                body["payment_id"], body["customer_id"], body["serial_number"]
            )

    def vend_all(self) -> int:
        """Take up what is queued to be vended; answer how many messages there were."""
        messages = self.cloud.take("vends")
        for message in messages:
            body = message["body"]
            self.wiring.vend.vend(
                body["payment_id"],
                body["number"],
                body["attempt"],
                body["manufacturer"],
                self.wiring.clock.now() + timedelta(minutes=1),
            )
        return len(messages)

    def send_all(self) -> None:
        """Send what is queued to be sent."""
        for message in self.cloud.take("messages"):
            body = message["body"]
            self.wiring.notify.send(body["payment_id"], body["number"], body["customer_id"])

    def run_dry(self) -> None:
        """Work off all queues."""
        self.settle_all()
        while self.vend_all():
            pass
        self.send_all()


@pytest.fixture
def counter(cloud: Cloud, wiring: Wiring) -> Counter:
    """Where payments come in."""
    return Counter(cloud, wiring)
