"""A function dies between two side effects; afterwards nothing is lost and nothing is doubled.

Each test kills a process at one point of the path, then lets SQS redeliver (the message was not
deleted) or the sweeper run, and looks at what the manufacturer issued and what was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from moto.sqs.models import sqs_backends

from chalicelib.domain.payment import Status, VendState
from chalicelib.wiring import Wiring
from tests.integration.company import METER, SHS, Company, FixedClock, claim, plan
from tests.integration.conftest import Cloud
from tests.integration.crash.deaths import KILLED, Death, run
from tests.integration.vendor import FakeCalin

PAYMENT_ID = "mpesa_ke.600966-T1"


class Line:
    """The functions of the deployment, each run in a process of its own."""

    def __init__(self, cloud: Cloud, clock: FixedClock) -> None:
        self.cloud = cloud
        self.clock = clock

    def confirm(self, serial_number: str, amount: int, death: Death | None = None) -> int:
        """A provider's confirmation arrives."""
        told = claim(serial_number, amount)
        return run(lambda: Wiring(self.clock).accept.accept(told, money_moved=True), death)

    def settle(self, message: Mapping[str, Any], death: Death | None = None) -> int:
        """SQS hands over a payment to settle."""
        return run(
            lambda: Wiring(self.clock).settle.settle(
                message["payment_id"], message["customer_id"], message["serial_number"]
            ),
            death,
        )

    def vend(self, message: Mapping[str, Any], death: Death | None = None) -> int:
        """SQS hands over a vend."""
        deadline = self.clock.now() + timedelta(minutes=1)
        return run(
            lambda: Wiring(self.clock).vend.vend(
                message["payment_id"],
                message["number"],
                message["attempt"],
                message["manufacturer"],
                deadline,
            ),
            death,
        )

    def notify(self, message: Mapping[str, Any]) -> int:
        """SQS hands over an SMS to send."""
        return run(
            lambda: Wiring(self.clock).notify.send(
                message["payment_id"], message["number"], message["customer_id"]
            )
        )

    def sweep(self, after: timedelta) -> None:
        """The sweeper runs, that much later."""
        self.clock.move(after)
        assert run(lambda: Wiring(self.clock).sweep.sweep()) == 0

    def only(self, queue: str) -> Mapping[str, Any]:
        """The one message in that queue."""
        (message,) = self.cloud.take(queue)
        body: Mapping[str, Any] = message["body"]
        return body

    def run_dry(self) -> None:
        """Hand over everything that is queued, until nothing is."""
        handlers = {"payments": self.settle, "vends": self.vend, "messages": self.notify}
        busy = True
        while busy:
            busy = False
            for queue, handle in handlers.items():
                for message in self.cloud.take(queue):
                    busy = True
                    assert handle(message["body"]) == 0


@pytest.fixture
def line(cloud: Cloud, clock: FixedClock, company: Company) -> Line:
    return Line(cloud, clock)


def test_dead_after_storing_before_queueing_the_sweeper_brings_the_payment_home(
    line: Line, company: Company, calin: FakeCalin
) -> None:
    company.customer(company.meter())

    assert line.confirm(METER, 500, Death("before", "SendMessage")) == KILLED
    assert line.cloud.take("payments") == []

    line.sweep(timedelta(minutes=2))
    line.run_dry()
    _completed_once(line, company, calin)


def test_dead_after_storing_the_providers_repeat_brings_the_payment_home(
    line: Line, company: Company, calin: FakeCalin
) -> None:
    company.customer(company.meter())

    assert line.confirm(METER, 500, Death("after", "PutItem", nth=2)) == KILLED
    assert line.confirm(METER, 500) == 0

    line.run_dry()
    _completed_once(line, company, calin)


def test_dead_after_the_settlement_before_queueing_the_redelivery_queues_the_vend(
    line: Line, company: Company, calin: FakeCalin
) -> None:
    customer_id = company.customer(company.meter())
    assert line.confirm(METER, 500) == 0
    message = line.only("payments")

    assert line.settle(message, Death("after", "TransactWriteItems")) == KILLED
    assert line.cloud.take("vends") == []
    before = company.wiring.accounts.get(customer_id)

    assert line.settle(message) == 0
    line.run_dry()
    _completed_once(line, company, calin)
    assert company.wiring.accounts.get(customer_id) == before


def test_dead_after_a_local_token_before_queueing_the_redelivery_sends_that_very_token(
    line: Line, company: Company
) -> None:
    customer_id = company.customer(
        company.shs(plan_id="p-shs"), plans=(plan("p-shs", 7000, serial_number=SHS),)
    )
    assert line.confirm(SHS, 700) == 0
    message = line.only("payments")

    assert line.settle(message, Death("after", "TransactWriteItems")) == KILLED
    stored = company.wiring.payments.get(PAYMENT_ID)
    assert stored is not None

    assert line.settle(message) == 0
    line.run_dry()
    payment = company.wiring.payments.get(PAYMENT_ID)
    assert payment is not None and payment.tokens == stored.tokens
    account = company.wiring.accounts.get(customer_id)
    record = account.device(SHS) if account else None
    assert record is not None and record.counter == 2
    assert [m.number for m in company.wiring.messages.of_payment(PAYMENT_ID)] == [1]


def test_dead_before_the_settlement_nothing_is_written_and_the_redelivery_settles(
    line: Line, company: Company, calin: FakeCalin
) -> None:
    customer_id = company.customer(company.meter())
    assert line.confirm(METER, 500) == 0
    message = line.only("payments")

    assert line.settle(message, Death("before", "TransactWriteItems")) == KILLED
    payment = company.wiring.payments.get(PAYMENT_ID)
    account = company.wiring.accounts.get(customer_id)
    assert payment is not None and payment.status is Status.RECEIVED
    assert account is not None and account.version == 1

    assert line.settle(message) == 0
    line.run_dry()
    _completed_once(line, company, calin)


def test_dead_after_the_lease_before_the_call_nobody_calls_until_a_person_says_so(
    line: Line, company: Company, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    message = _to_the_vend(line)

    assert line.vend(message, Death("after", "UpdateItem")) == KILLED
    assert line.vend(message) == 0
    assert calin.issued == [], "the lease still runs"

    line.sweep(timedelta(minutes=2))
    line.run_dry()
    payment = company.wiring.payments.get(PAYMENT_ID)
    assert payment is not None
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert calin.issued == []

    company.wiring.resolve.retry(
        PAYMENT_ID, actor="ops", reason="the console shows none", not_issued=True
    )
    line.run_dry()
    _completed_once(line, company, calin, vends=2, messages=[2, 90])


def test_dead_after_the_call_before_its_answer_is_stored_there_is_never_a_second_call(
    line: Line, company: Company, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    message = _to_the_vend(line)

    assert line.vend(message, Death("before", "PutItem")) == KILLED
    assert len(calin.issued) == 1

    for _ in range(3):
        line.sweep(timedelta(minutes=5))
        assert line.vend(message) == 0
        line.run_dry()
    assert len(calin.issued) == 1

    company.wiring.resolve.resolve_token(
        PAYMENT_ID, actor="ops", reason="read in the console", token=calin.issued[0]
    )
    line.run_dry()
    _completed_once(line, company, calin, messages=[1, 90])


def test_dead_after_the_answer_before_the_sms_the_redelivery_sends_it(
    line: Line, company: Company, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    message = _to_the_vend(line)

    assert line.vend(message, Death("after", "PutItem")) == KILLED
    assert line.cloud.take("messages") == []

    assert line.vend(message) == 0
    line.run_dry()
    _completed_once(line, company, calin)


def test_dead_after_sending_an_sms_it_is_sent_again_rather_than_never(
    line: Line, company: Company, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    message = _to_the_vend(line)
    assert line.vend(message) == 0
    sms = line.only("messages")

    def send() -> None:
        Wiring(line.clock).notify.send(sms["payment_id"], sms["number"], sms["customer_id"])

    assert run(send, Death("before", "PutItem")) == KILLED
    assert company.wiring.messages.of_payment(PAYMENT_ID) == []
    assert line.notify(sms) == 0
    _completed_once(line, company, calin)


@pytest.mark.parametrize("when", ["before", "after"])
def test_dead_while_a_person_resolves_the_sms_goes_out_if_the_token_was_stored(
    line: Line, company: Company, calin: FakeCalin, when: str
) -> None:
    company.customer(company.meter())
    message = _to_the_vend(line)
    assert line.vend(message, Death("before", "PutItem")) == KILLED
    line.sweep(timedelta(minutes=2))
    line.run_dry()

    def resolve() -> None:
        Wiring(line.clock).resolve.resolve_token(
            PAYMENT_ID, actor="ops", reason="read in the console", token=calin.issued[0]
        )

    assert run(resolve, Death(when, "PutItem")) == KILLED
    line.clock.move(timedelta(minutes=1))
    _let_delays_pass()
    line.run_dry()
    numbers = [m.number for m in company.wiring.messages.of_payment(PAYMENT_ID)]
    assert numbers == ([90] if when == "before" else [1, 90])


def _to_the_vend(line: Line) -> Mapping[str, Any]:
    """Bring a payment for the meter to where its vend is queued."""
    assert line.confirm(METER, 500) == 0
    assert line.settle(line.only("payments")) == 0
    return line.only("vends")


def _let_delays_pass() -> None:
    """Make delayed messages visible now, as time would."""
    for regions in sqs_backends.values():
        for backend in regions.values():
            for queue in backend.queues.values():
                for message in queue._messages:
                    message.delayed_until = 0


def _completed_once(
    line: Line,
    company: Company,
    calin: FakeCalin,
    vends: int = 1,
    messages: list[int] | None = None,
) -> None:
    """One payment, one token, one SMS for it, and the account moved on exactly once."""
    payment = company.wiring.payments.get(PAYMENT_ID)
    assert payment is not None
    assert payment.status is Status.COMPLETED
    assert [v.state for v in payment.vends].count(VendState.DONE) == 1
    assert len(payment.vends) == vends
    assert [t.value for t in payment.tokens] == calin.issued
    assert len(calin.issued) == 1
    numbers = [m.number for m in company.wiring.messages.of_payment(PAYMENT_ID)]
    assert numbers == (messages or [1])
    assert payment.customer_id is not None
    account = company.wiring.accounts.get(payment.customer_id)
    assert account is not None and account.version == 2
    assert payment.account_versions == (2,)
