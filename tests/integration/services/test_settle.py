"""Settling: payment and account change together, once, whoever else is at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.account import DeviceAccount
from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.errors import InvariantBroken
from chalicelib.domain.payment import (
    HELD_MESSAGE,
    RECEIPT,
    UNUSABLE_MESSAGE,
    Payment,
    Status,
    VendState,
)
from chalicelib.services.ports import (
    OutcomeUnknown,
    QueueUnavailable,
    SecretMissing,
    TryAgain,
    VersionConflict,
)
from chalicelib.services.settle import ROUNDS_MAX
from chalicelib.wiring import Wiring
from tests.integration.company import (
    METER,
    SHS,
    TODAY,
    Company,
    FixedClock,
    claim,
    kes,
    plan,
)
from tests.integration.services.conftest import (
    ACTOR,
    Counter,
    Diary,
    Processes,
    differences,
)
from tests.integration.services.fake_provider import (
    CHANNEL,
    ON_CHANNEL,
    FakeProvider,
    FakeProviders,
)
from tests.integration.services.interruptions import Interrupted, Lost
from tests.integration.vendor import FakeCalin

PAYMENT_ID = "mpesa_ke.600966-T1"
OVERDUE = TODAY - timedelta(days=1)


def settled_by(process: Wiring, message: dict[str, Any]) -> Payment | None:
    return process.settle.settle(
        message["payment_id"], message["customer_id"], message["serial_number"]
    )


def accepted(counter: Counter, serial_number: str, amount: int) -> dict[str, Any]:
    """A payment in the queue: its message."""
    counter.accept(serial_number, amount)
    return counter.only("payments")


# --- what a settlement does -------------------------------------------------------------------


def test_a_payment_of_debts_only_is_completed_at_once_with_a_receipt(
    company: Company, counter: Counter
) -> None:
    tv = plan("p-tv", 3000, first_due=OVERDUE)
    customer_id = company.customer(company.meter(), plans=(tv,))
    payment = counter.pay(claim(METER, 300))
    assert payment.status is Status.COMPLETED
    assert payment.lines == (Line(LineKind.APPLIANCE, "p-tv", kes(300)),)
    assert (payment.vends, payment.account_versions) == ((), (2,))
    assert counter.told(payment.payment_id) == [RECEIPT]
    assert differences(counter, customer_id, tv) == []


def test_one_payment_can_unlock_one_device_and_bring_energy_to_another(
    company: Company, counter: Counter
) -> None:
    shs = plan("p-shs", 700, instalments=1, first_due=OVERDUE, paid=600, serial_number=SHS)
    customer_id = company.customer(company.meter(), company.shs(plan_id="p-shs"), plans=(shs,))
    counter.accept(METER, 600)
    counter.settle_all()
    half_way = counter.now(PAYMENT_ID)
    assert half_way.status is Status.VENDING
    assert {v.kind: v.state for v in half_way.vends} == {
        VendKind.ENERGY: VendState.INTENDED,
        VendKind.UNLOCK: VendState.DONE,
    }
    counter.send_all()
    assert len(counter.told(PAYMENT_ID)) == 1, "the unlock does not wait for the meter's vendor"

    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert payment.status is Status.COMPLETED
    assert sorted(t.kind for t in payment.tokens) == [VendKind.ENERGY, VendKind.UNLOCK]
    assert counter.told(PAYMENT_ID) == [1, 2]
    assert differences(counter, customer_id, shs) == []


def test_a_message_without_a_payment_ends(company: Company, wiring: Wiring, diary: Diary) -> None:
    assert wiring.settle.settle("nobody-T9", None, METER) is None
    assert diary.said("payment_missing")


# --- messages that come again -------------------------------------------------------------------


def test_a_settlement_that_is_repeated_queues_what_follows_and_changes_nothing(
    company: Company, counter: Counter, wiring: Wiring, calin: FakeCalin
) -> None:
    customer_id = company.customer(company.meter())
    message = accepted(counter, METER, 500)
    settled_by(wiring, message)
    first = counter.now(PAYMENT_ID), counter.account(customer_id)
    counter.cloud.take("vends")

    settled_by(wiring, message)
    assert (counter.now(PAYMENT_ID), counter.account(customer_id)) == first
    counter.run_dry()
    assert len(calin.issued) == 1


@pytest.mark.parametrize("failing", ["vend", "message"])
def test_a_queue_that_fails_after_the_commit_brings_the_message_back(
    company: Company, counter: Counter, wiring: Wiring, process: Processes, failing: str
) -> None:
    shs = plan("p-shs", 700, instalments=1, first_due=OVERDUE, paid=600, serial_number=SHS)
    company.customer(company.meter(), company.shs(plan_id="p-shs"), plans=(shs,))
    message = accepted(counter, METER, 600)
    broken = Interrupted(wiring.queues, **{failing: [QueueUnavailable()]})
    with pytest.raises(QueueUnavailable):
        settled_by(process(queues=broken), message)
    assert counter.now(PAYMENT_ID).status is Status.VENDING

    settled_by(wiring, message)
    counter.run_dry()
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert counter.told(PAYMENT_ID) == [1, 2]


def test_a_commit_that_was_not_confirmed_is_found_by_the_redelivery(
    company: Company, counter: Counter, wiring: Wiring, process: Processes, calin: FakeCalin
) -> None:
    customer_id = company.customer(company.meter())
    message = accepted(counter, METER, 500)
    broken = Interrupted(wiring.payments, settle=[Lost(OutcomeUnknown())])
    with pytest.raises(OutcomeUnknown):
        settled_by(process(payments=broken), message)

    settled_by(wiring, message)
    counter.run_dry()
    assert counter.now(PAYMENT_ID).account_versions == (2,)
    assert counter.account(customer_id).version == 2
    assert len(calin.issued) == 1


@pytest.mark.parametrize("error", [TryAgain(), OutcomeUnknown()])
def test_a_store_that_does_not_write_leaves_payment_and_account_as_they_were(
    company: Company, counter: Counter, wiring: Wiring, process: Processes, error: Exception
) -> None:
    customer_id = company.customer(company.meter())
    message = accepted(counter, METER, 500)
    broken = Interrupted(wiring.payments, settle=[error])
    with pytest.raises(type(error)):
        settled_by(process(payments=broken), message)
    assert counter.now(PAYMENT_ID).status is Status.RECEIVED
    assert counter.account(customer_id).version == 1


# --- other writers --------------------------------------------------------------------------------


def test_a_settlement_that_lost_a_race_is_computed_anew_from_what_is_stored_then(
    company: Company, counter: Counter, wiring: Wiring, process: Processes
) -> None:
    tv = plan("p-tv", 3000, first_due=OVERDUE)
    customer_id = company.customer(company.meter(), plans=(tv,))
    message = accepted(counter, METER, 500)
    other = claim(METER, 300, "T2")
    meanwhile = Interrupted(wiring.payments, settle=[lambda: counter.pay(other)])
    settled_by(process(payments=meanwhile), message)

    assert counter.now("mpesa_ke.600966-T2").lines[0].kind is LineKind.APPLIANCE
    assert counter.now(PAYMENT_ID).lines == (Line(LineKind.ENERGY, METER, kes(500)),)
    counter.run_dry()
    assert differences(counter, customer_id, tv) == []


def test_a_token_computed_for_a_lost_race_is_never_stored(
    company: Company, counter: Counter, wiring: Wiring, process: Processes
) -> None:
    shs = plan("p-shs", 7000, serial_number=SHS)
    customer_id = company.customer(company.shs(plan_id="p-shs"), plans=(shs,))
    message = accepted(counter, SHS, 700)
    other = claim(SHS, 1400, "T2")
    meanwhile = Interrupted(wiring.payments, settle=[lambda: counter.pay(other)])
    settled_by(process(payments=meanwhile), message)

    (first,), (second,) = counter.now("mpesa_ke.600966-T2").vends, counter.now(PAYMENT_ID).vends
    assert (first.count, second.count) == (1, 2)
    record = counter.account(customer_id).device(SHS)
    assert record is not None and record.counter == 4
    assert counter.now(PAYMENT_ID).tokens != counter.now("mpesa_ke.600966-T2").tokens


def test_a_settlement_that_loses_every_race_writes_nothing_and_its_message_comes_back(
    company: Company, counter: Counter, wiring: Wiring, process: Processes
) -> None:
    customer_id = company.customer(company.meter())
    message = accepted(counter, METER, 500)
    lost = Interrupted(wiring.payments, settle=[VersionConflict()] * ROUNDS_MAX)
    with pytest.raises(VersionConflict):
        settled_by(process(payments=lost), message)
    assert lost.calls["settle"] == ROUNDS_MAX
    assert counter.now(PAYMENT_ID).status is Status.RECEIVED
    assert counter.account(customer_id).version == 1


def test_of_two_workers_with_the_same_payment_one_settles_and_both_queue(
    company: Company, counter: Counter, wiring: Wiring, process: Processes, calin: FakeCalin
) -> None:
    customer_id = company.customer(company.meter())
    message = accepted(counter, METER, 500)
    meanwhile = Interrupted(wiring.payments, settle=[lambda: settled_by(wiring, message)])
    settled_by(process(payments=meanwhile), message)

    assert counter.account(customer_id).version == 2
    counter.run_dry()
    assert len(calin.issued) == 1
    assert differences(counter, customer_id) == []


# --- serials that are not valid (any more) ----------------------------------------------------


def moved_to(company: Company, serial_number: str, customer_id: str | None) -> None:
    device = company.wiring.devices.get(serial_number)
    assert device is not None
    company.registry.update_device(replace(device, customer_id=customer_id))


def held_after(counter: Counter, message: dict[str, Any], customer_id: str | None) -> str | None:
    """Settle; the payment is held, unsettled, and nobody's account has changed."""
    before = customer_id and counter.account(customer_id)
    settled_by(counter.wiring, message)
    payment = counter.now(message["payment_id"])
    assert (payment.status, payment.settled_at, payment.lines) == (Status.HELD, None, ())
    assert before == (customer_id and counter.account(customer_id))
    assert counter.cloud.take("vends") == []
    return payment.reason


def test_money_for_an_unknown_device_is_held_and_credited_to_nobody(
    company: Company, counter: Counter
) -> None:
    customer_id = company.customer(company.meter())
    message = accepted(counter, "47999", 500)
    assert held_after(counter, message, customer_id) == "unknown_device"
    assert counter.cloud.take("messages") == [], "nobody is known to be told"


def test_whoever_paid_for_an_unknown_device_is_told_where_the_phone_is_known(
    company: Company, counter: Counter
) -> None:
    payment = counter.pay(claim("47999", 500, payer_phone="+254700000009"))
    (message,) = counter.wiring.messages.of_payment(payment.payment_id)
    assert (message.number, message.to) == (UNUSABLE_MESSAGE, "+254700000009")


@pytest.mark.parametrize(
    ("new_owner", "reason"), [("C2", "device_moved"), (None, "device_unassigned")]
)
def test_money_for_a_device_that_changed_hands_since_is_held(
    company: Company, counter: Counter, new_owner: str | None, reason: str
) -> None:
    customer_id = company.customer(company.meter())
    company.customer(company.meter("47002"), phone="+254700000002")
    message = accepted(counter, METER, 500)
    moved_to(company, METER, new_owner)
    assert held_after(counter, message, customer_id) == reason
    assert counter.account("C2").version == 1
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE]


def test_money_for_a_device_that_was_registered_after_the_report_waits_for_a_person(
    company: Company, counter: Counter
) -> None:
    message = accepted(counter, METER, 500)
    customer_id = company.customer(company.meter())
    assert held_after(counter, message, customer_id) == "device_moved"

    counter.wiring.resolve.retry(PAYMENT_ID, actor=ACTOR, reason="it is his meter")
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.customer_id) == (Status.COMPLETED, customer_id)


def test_an_account_without_the_device_is_not_charged(company: Company, counter: Counter) -> None:
    customer_id = company.customer(company.meter("47002"))
    company.customer(company.meter(), phone="+254700000002")
    moved_to(company, METER, customer_id)
    message = accepted(counter, METER, 500)
    assert held_after(counter, message, customer_id) == "device_unassigned"


def test_a_device_whose_owner_has_no_account_is_held(company: Company, counter: Counter) -> None:
    company.customer(company.meter())
    moved_to(company, METER, "C99")
    message = accepted(counter, METER, 500)
    assert held_after(counter, message, None) == "device_moved"


def without_tariff(company: Company) -> DeviceAccount:
    meter = company.meter()
    (tenure,) = meter.tenures
    return replace(meter, tenures=(replace(tenure, until=tenure.since),))


@pytest.mark.parametrize(
    ("device", "serial_number", "reason"),
    [
        (without_tariff, METER, "no_tariff"),
        (lambda company: company.shs(), SHS, "no_plan"),
    ],
)
def test_money_for_a_device_without_tariff_or_plan_is_held(
    company: Company,
    counter: Counter,
    device: Callable[[Company], DeviceAccount],
    serial_number: str,
    reason: str,
) -> None:
    customer_id = company.customer(device(company))
    message = accepted(counter, serial_number, 500)
    assert held_after(counter, message, customer_id) == reason


def test_money_of_another_currency_is_held_and_never_counted_as_ours(
    company: Company, counter: Counter
) -> None:
    customer_id = company.customer(company.meter())
    counter.wiring.accept.accept(claim(METER, 500, currency="UGX"), money_moved=True)
    message = counter.only("payments")
    assert held_after(counter, message, customer_id) == "wrong_currency"


def test_of_two_workers_that_hold_a_payment_one_does(
    company: Company, counter: Counter, wiring: Wiring, process: Processes
) -> None:
    company.customer(company.meter())
    message = accepted(counter, METER, 500)
    moved_to(company, METER, None)
    meanwhile = Interrupted(wiring.payments, save=[lambda: settled_by(wiring, message)])
    settled_by(process(payments=meanwhile), message)
    assert counter.now(PAYMENT_ID).status is Status.HELD
    assert [e.what for e in counter.now(PAYMENT_ID).events] == ["held"]


# --- where money can go back, it waits for its time, not for a person ---------------------------


def due_after(counter: Counter, serial_number: str) -> Payment:
    """A payment through a provider that can give back, when it is settled."""
    wiring = counter.wiring
    wiring.accept.accept(claim(serial_number, 500, **ON_CHANNEL), money_moved=True)
    settled_by(wiring, counter.only("payments"))
    return counter.now(f"{CHANNEL}-T1")


@pytest.fixture
def refundable(wiring: Wiring) -> None:
    """The provider of the channel can give money back."""
    wiring.providers = FakeProviders(FakeProvider())


def test_money_without_a_valid_device_is_due_to_go_back_where_it_can(
    company: Company, counter: Counter, clock: FixedClock, diary: Diary, refundable: None
) -> None:
    payment = due_after(counter, "47999")
    assert (payment.status, payment.reason) == (Status.REFUND_DUE, "unknown_device")
    assert payment.refund_at == payment.check_at == clock.now() + timedelta(minutes=15)
    assert (payment.settled_at, payment.lines, payment.refunds) == (None, (), ())
    assert counter.delays("provider-calls") == [15 * 60]
    assert diary.counted("RefundsDue") == 1


def test_money_for_a_device_that_changed_hands_is_due_to_go_back_where_it_can(
    company: Company, counter: Counter, refundable: None
) -> None:
    customer_id = company.customer(company.meter())
    company.customer(company.meter("47002"), phone="+254700000002")
    wiring = counter.wiring
    wiring.accept.accept(claim(METER, 500, **ON_CHANNEL), money_moved=True)
    moved_to(company, METER, "C2")
    settled_by(wiring, counter.only("payments"))
    payment = counter.now(f"{CHANNEL}-T1")
    assert (payment.status, payment.reason) == (Status.REFUND_DUE, "device_moved")
    assert [counter.account(c).version for c in (customer_id, "C2")] == [1, 1]
    counter.send_all()
    assert counter.told(payment.payment_id) == [UNUSABLE_MESSAGE]


def test_where_no_time_is_left_to_a_person_the_refund_is_queued_at_once(
    company: Company, counter: Counter, clock: FixedClock, refundable: None
) -> None:
    company.choose(refund_after_minutes=0)
    assert due_after(counter, "47999").refund_at == clock.now()
    assert counter.delays("provider-calls") == [0]


def test_a_settlement_that_is_repeated_puts_off_no_refund(
    company: Company, counter: Counter, clock: FixedClock, refundable: None
) -> None:
    before = due_after(counter, "47999")
    clock.move(timedelta(minutes=5))
    counter.let_delays_pass()
    counter.cloud.take("provider-calls")
    counter.wiring.settle.settle(before.payment_id, None, "47999")
    assert counter.now(before.payment_id) == before
    assert counter.delays("provider-calls") == [10 * 60]


def test_a_token_that_cannot_be_computed_waits_for_a_person_although_money_could_go_back(
    company: Company, counter: Counter, refundable: None
) -> None:
    shs = plan("p-shs", 7000, serial_number=SHS)
    record = replace(company.shs(plan_id="p-shs"), counter=None)
    company.customer(record, plans=(shs,))
    payment = due_after(counter, SHS)
    assert (payment.status, payment.reason) == (Status.HELD, "no_counter")


# --- messages that are older than a person's decision -----------------------------------------


def assigned(counter: Counter, serial_number: str) -> dict[str, Any]:
    """A payment for nobody's device, held, and then assigned; its first message again."""
    message = accepted(counter, "47999", 500)
    settled_by(counter.wiring, message)
    counter.wiring.resolve.resolve_assign(
        PAYMENT_ID, actor=ACTOR, reason="mistyped", serial_number=serial_number
    )
    return message


def test_an_old_message_settles_the_payment_for_the_device_it_was_assigned_to(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    customer_id = company.customer(company.meter())
    old = assigned(counter, METER)
    settled_by(wiring, old)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.customer_id) == (Status.VENDING, customer_id)


def test_an_old_message_never_puts_the_money_into_the_device_that_was_paid_first(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    """Both devices are the same customer's, so only the serial tells them apart."""
    customer_id = company.customer(company.meter(), company.meter("47002"))
    message = accepted(counter, METER, 500)
    moved_to(company, METER, None)
    settled_by(wiring, message)
    moved_to(company, METER, customer_id)
    wiring.resolve.resolve_assign(
        PAYMENT_ID, actor=ACTOR, reason="meant the shop's", serial_number="47002"
    )
    settled_by(wiring, message)
    assert [line.ref for line in counter.now(PAYMENT_ID).lines] == ["47002"]
    assert [vend.serial_number for vend in counter.now(PAYMENT_ID).vends] == ["47002"]


# --- tokens that are computed here --------------------------------------------------------------


def test_a_device_whose_key_was_never_entered_holds_the_payment_and_changes_nothing(
    company: Company, counter: Counter
) -> None:
    shs = plan("p-shs", 7000, serial_number=SHS)
    customer_id = company.customer(company.shs(plan_id="p-shs"), plans=(shs,))
    device = counter.wiring.devices.get(SHS)
    assert device is not None
    company.registry.update_device(replace(device, technical={}))
    message = accepted(counter, SHS, 700)
    assert held_after(counter, message, customer_id) == "no_key"

    stored = counter.wiring.devices.get(SHS)
    assert stored is not None
    company.registry.update_device(replace(stored, technical=device.technical))
    counter.wiring.resolve.retry(PAYMENT_ID, actor=ACTOR, reason="the key is entered")
    counter.run_dry()
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert differences(counter, customer_id, shs) == []


@pytest.mark.parametrize(
    ("counted", "reason"), [(None, "no_counter"), (100_001, "count_out_of_range")]
)
def test_a_counter_from_which_no_token_follows_holds_the_payment(
    company: Company, counter: Counter, counted: int | None, reason: str
) -> None:
    shs = plan("p-shs", 7000, serial_number=SHS)
    record = replace(company.shs(plan_id="p-shs"), counter=counted)
    customer_id = company.customer(record, plans=(shs,))
    message = accepted(counter, SHS, 700)
    assert held_after(counter, message, customer_id) == reason


def test_while_the_keys_cannot_be_read_the_message_comes_back_and_nothing_is_written(
    company: Company, counter: Counter, process: Processes
) -> None:
    shs = plan("p-shs", 7000, serial_number=SHS)
    customer_id = company.customer(company.shs(plan_id="p-shs"), plans=(shs,))
    message = accepted(counter, SHS, 700)
    counter.cloud.put_secret("device-keys", {"current": "k1", "keys": {}})
    with pytest.raises(SecretMissing):
        settled_by(process(), message)
    assert counter.now(PAYMENT_ID).status is Status.RECEIVED
    assert counter.account(customer_id).version == 1


def test_a_plan_whose_device_is_not_in_the_register_is_a_defect_that_writes_nothing(
    company: Company, counter: Counter, wiring: Wiring, process: Processes
) -> None:
    class NoDevices:
        def get(self, serial_number: str) -> None:
            return None

    shs = plan("p-shs", 700, instalments=1, first_due=OVERDUE, serial_number=SHS)
    company.customer(company.meter(), company.shs(plan_id="p-shs"), plans=(shs,))
    message = accepted(counter, METER, 700)
    with pytest.raises(InvariantBroken):
        settled_by(process(devices=NoDevices()), message)
    assert counter.now(PAYMENT_ID).status is Status.RECEIVED


def test_more_days_than_one_token_carries_come_as_several_and_their_counts_follow(
    company: Company, counter: Counter
) -> None:
    shs = plan("p-shs", 14_000, instalments=200, serial_number=SHS)
    customer_id = company.customer(company.shs(plan_id="p-shs"), plans=(shs,))
    payment = counter.pay(claim(SHS, 12_000))
    assert [v.units for v in payment.vends] == [Fraction(995), Fraction(205)]
    assert [v.count for v in payment.vends] == [1, 2]
    assert counter.told(payment.payment_id) == [1, 2]
    assert differences(counter, customer_id, shs) == []


# --- the sweeper finds what is lost ---------------------------------------------------------------


def test_a_settlement_whose_message_is_lost_is_brought_home_by_the_sweeper(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock
) -> None:
    company.customer(company.meter())
    accepted(counter, METER, 500)
    clock.move(timedelta(minutes=2))
    wiring.sweep.sweep()
    counter.run_dry()
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
