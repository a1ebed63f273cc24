"""Notifying: the SMS of an outcome is sent, rather twice than never, and to the right phone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.payment import HELD_MESSAGE, RECEIPT, UNUSABLE_MESSAGE, Status
from chalicelib.services.notify import ATTEMPTS_MAX
from chalicelib.services.ports import (
    Message,
    MessageState,
    OutcomeUnknown,
    SmsFailed,
    TryAgain,
)
from chalicelib.wiring import Wiring
from tests.integration.company import METER, TODAY, Company, FixedClock, claim, plan
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes
from tests.integration.services.interruptions import Interrupted, Lost

PAYMENT_ID = "mpesa_ke.600966-T1"
ASHA, JUMA = "+254700000001", "+254700000002"


class Gateway:
    """Takes SMS, or fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        """Take one SMS."""
        if self.failures:
            self.failures -= 1
            raise SmsFailed
        self.sent.append(message)


@pytest.fixture
def message(company: Company, counter: Counter) -> dict[str, Any]:
    """A completed payment: the message of its token's SMS."""
    company.customer(company.meter())
    counter.accept(METER, 500)
    counter.settle_all()
    counter.vend_all()
    return counter.only("messages")


def send(process: Wiring, message: dict[str, Any]) -> None:
    process.notify.send(message["payment_id"], message["number"], message["customer_id"])


def stored(wiring: Wiring) -> list[tuple[int, MessageState, int]]:
    return [(m.number, m.state, m.attempts) for m in wiring.messages.of_payment(PAYMENT_ID)]


def test_the_sms_goes_to_the_customers_phone_and_is_kept(
    wiring: Wiring, process: Processes, message: dict[str, Any], clock: FixedClock
) -> None:
    gateway = Gateway()
    send(process(sms_gateway=gateway), message)
    (sms,) = gateway.sent
    assert (sms.to, sms.language) == (ASHA, "en")
    (kept,) = wiring.messages.of_payment(PAYMENT_ID)
    assert (kept.body, kept.state, kept.sent_at) == (sms.body, MessageState.SENT, clock.now())


def test_a_message_that_comes_again_sends_nothing_again(
    process: Processes, message: dict[str, Any]
) -> None:
    gateway = Gateway()
    for _ in range(3):
        send(process(sms_gateway=gateway), message)
    assert len(gateway.sent) == 1


def test_an_sms_that_the_gateway_did_not_take_is_sent_when_its_message_comes_back(
    wiring: Wiring, process: Processes, message: dict[str, Any], diary: Diary
) -> None:
    worker = process(sms_gateway=Gateway(failures=1))
    with pytest.raises(SmsFailed):
        send(worker, message)
    assert stored(wiring) == [(1, MessageState.QUEUED, 1)]
    send(worker, message)
    assert stored(wiring) == [(1, MessageState.SENT, 2)]
    assert diary.counted("MessagesFailed") == 1


def test_an_sms_that_the_gateway_never_takes_is_given_up_and_not_tried_for_ever(
    wiring: Wiring, process: Processes, message: dict[str, Any]
) -> None:
    gateway = Gateway(failures=ATTEMPTS_MAX + 1)
    worker = process(sms_gateway=gateway)
    for _ in range(ATTEMPTS_MAX - 1):
        with pytest.raises(SmsFailed):
            send(worker, message)
    for _ in range(2):
        send(worker, message)
    assert stored(wiring) == [(1, MessageState.FAILED, ATTEMPTS_MAX)]
    assert gateway.failures == 1


@pytest.mark.parametrize("error", [TryAgain(), OutcomeUnknown()])
def test_an_sms_whose_sending_could_not_be_noted_is_sent_again_rather_than_never(
    wiring: Wiring, process: Processes, message: dict[str, Any], error: Exception
) -> None:
    gateway = Gateway()
    broken = Interrupted(wiring.messages, put=[error])
    with pytest.raises(type(error)):
        send(process(sms_gateway=gateway, messages=broken), message)
    send(process(sms_gateway=gateway), message)
    assert len(gateway.sent) == 2
    assert stored(wiring) == [(1, MessageState.SENT, 1)]


def test_an_sms_whose_sending_was_noted_unseen_is_not_sent_again(
    wiring: Wiring, process: Processes, message: dict[str, Any]
) -> None:
    gateway = Gateway()
    broken = Interrupted(wiring.messages, put=[Lost(OutcomeUnknown())])
    with pytest.raises(OutcomeUnknown):
        send(process(sms_gateway=gateway, messages=broken), message)
    send(process(sms_gateway=gateway), message)
    assert len(gateway.sent) == 1


@pytest.mark.parametrize("number", [RECEIPT, 2, HELD_MESSAGE])
def test_an_sms_that_is_not_due_is_not_sent(
    wiring: Wiring, process: Processes, message: dict[str, Any], number: int
) -> None:
    gateway = Gateway()
    send(process(sms_gateway=gateway), {**message, "number": number})
    assert gateway.sent == []


def test_an_sms_about_no_payment_is_not_sent(process: Processes, message: dict[str, Any]) -> None:
    gateway = Gateway()
    send(process(sms_gateway=gateway), {**message, "payment_id": "nobody-T9"})
    assert gateway.sent == []


def test_we_are_looking_into_it_is_not_said_once_it_is_solved(
    company: Company, counter: Counter, process: Processes
) -> None:
    company.customer(company.meter())
    counter.accept("47999", 500)
    wiring = counter.wiring
    wiring.accept.accept(claim("47998", 500, "T2", payer_phone=JUMA), money_moved=True)
    counter.settle_all()
    looking_into_it = counter.only("messages")
    assert looking_into_it["number"] == UNUSABLE_MESSAGE
    wiring.resolve.resolve_assign(
        "mpesa_ke.600966-T2", actor=ACTOR, reason="mistyped", serial_number=METER
    )
    gateway = Gateway()
    send(process(sms_gateway=gateway), looking_into_it)
    assert gateway.sent == []


def test_an_old_message_never_tells_one_customer_about_the_payment_of_another(
    company: Company, counter: Counter, process: Processes
) -> None:
    """First held for Asha's meter, then assigned to Juma's SHS, whose plan is missing."""
    company.customer(company.meter(), phone=ASHA)
    company.customer(company.shs("SHS2"), phone=JUMA)
    counter.accept(METER, 500)
    wiring = counter.wiring
    wiring.keep_devices.change_owner(METER, None, reason="returned", actor=ACTOR)
    counter.settle_all()
    to_asha = counter.only("messages")
    wiring.resolve.resolve_assign(
        PAYMENT_ID, actor=ACTOR, reason="meant the SHS", serial_number="SHS2"
    )
    counter.settle_all()
    assert counter.now(PAYMENT_ID).reason == "no_plan"

    gateway = Gateway()
    send(process(sms_gateway=gateway), to_asha)
    assert [sms.to for sms in gateway.sent] == [JUMA]


def test_a_customer_without_an_entry_in_the_register_is_reached_by_the_payers_phone(
    company: Company, counter: Counter, process: Processes
) -> None:
    payment = counter.pay(claim("47999", 500, payer_phone=JUMA))
    (sms,) = counter.wiring.messages.of_payment(payment.payment_id)
    assert (sms.number, sms.to) == (UNUSABLE_MESSAGE, JUMA)


def test_where_no_phone_is_known_it_is_noted_that_nobody_was_told(
    counter: Counter, wiring: Wiring, process: Processes, message: dict[str, Any], diary: Diary
) -> None:
    class WithoutCustomers:
        def view_for_sending(self, *key: Any) -> Any:
            payment, before, _ = wiring.messages.view_for_sending(*key)
            return payment, before, None

    gateway = Gateway()
    send(process(sms_gateway=gateway, messages=WithoutCustomers()), message)
    assert gateway.sent == []
    assert diary.said("nobody_to_tell")


def test_a_payment_of_debts_gets_its_receipt(company: Company, counter: Counter) -> None:
    tv = plan("p-tv", 3000, first_due=TODAY - timedelta(days=1))
    company.customer(company.meter(), plans=(tv,))
    payment = counter.pay(claim(METER, 100))
    assert payment.status is Status.COMPLETED
    assert counter.told(PAYMENT_ID) == [RECEIPT]
