"""Resolving: every way out of held, and who else may be faster than the person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import (
    HELD_MESSAGE,
    Payment,
    Status,
    VendState,
    held,
    vend_done,
)
from chalicelib.manufacturers.calin import Calin
from chalicelib.manufacturers.sts import STEP
from chalicelib.services.follow_up import AHEAD_SECONDS
from chalicelib.services.ports import (
    Device,
    OutcomeUnknown,
    QueueUnavailable,
    RecoveryClass,
    TryAgain,
    VersionConflict,
)
from chalicelib.services.resolve import (
    WRITES_MAX,
    NotHeld,
    PaymentNotFound,
    Resolve,
)
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock, claim
from tests.integration.services.conftest import ACTOR, Counter, Processes, differences
from tests.integration.services.interruptions import Interrupted, Lost
from tests.integration.vendor import FakeCalin

PAYMENT_ID = "mpesa_ke.600966-T1"
A_TOKEN = "12345678901234567890"
SAID: dict[str, Any] = {"actor": ACTOR, "reason": "seen in the vendor's console"}


def unclear(request: dict[str, Any]) -> tuple[int, Any]:
    return 500, {}


def refusing(request: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"result_code": 3, "reason": "no such meter", "result": ""}


@pytest.fixture
def uncertain(company: Company, counter: Counter, calin: FakeCalin) -> Payment:
    """A payment of 500 for the meter, held because its vend is uncertain; the customer knows."""
    company.customer(company.meter())
    calin.behaviours = [unclear]
    return counter.pay(claim(METER, 500))


@pytest.fixture
def refused(company: Company, counter: Counter, calin: FakeCalin) -> Payment:
    """The same, whose vend was refused."""
    company.customer(company.meter())
    calin.behaviours = [refusing]
    return counter.pay(claim(METER, 500))


@pytest.fixture
def two_in_doubt(
    company: Company, counter: Counter, calin: FakeCalin, monkeypatch: pytest.MonkeyPatch
) -> Payment:
    """A payment of 500 that makes a vend of 3 and one of 2 kWh, both uncertain."""

    def rules(self: Calin, device: Device, kind: VendKind) -> VendRules:
        return VendRules(STEP, Fraction(3))

    monkeypatch.setattr(Calin, "rules", rules)
    company.customer(company.meter())
    calin.behaviours = [unclear, unclear]
    return counter.pay(claim(METER, 500))


Way = Callable[[Resolve], Payment]

WAYS: dict[str, Way] = {
    "retry": lambda resolve: resolve.retry(PAYMENT_ID, not_issued=True, **SAID),
    "token": lambda resolve: resolve.resolve_token(PAYMENT_ID, token=A_TOKEN, **SAID),
    "not_issued": lambda resolve: resolve.resolve_not_issued(PAYMENT_ID, **SAID),
    "credit": lambda resolve: resolve.resolve_credit(PAYMENT_ID, **SAID),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def states(payment: Payment) -> list[VendState]:
    return [vend.state for vend in payment.vends]


# --- who may be resolved ------------------------------------------------------------------------


@every_way
def test_what_does_not_exist_cannot_be_resolved(company: Company, wiring: Wiring, way: Way) -> None:
    with pytest.raises(PaymentNotFound):
        way(wiring.resolve)


@every_way
def test_what_is_not_held_is_not_resolved(
    company: Company, counter: Counter, wiring: Wiring, way: Way
) -> None:
    company.customer(company.meter())
    before = counter.pay(claim(METER, 500))
    with pytest.raises(NotHeld):
        way(wiring.resolve)
    assert counter.now(PAYMENT_ID) == before


def test_assigning_too_is_only_for_what_is_there_and_held(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    with pytest.raises(PaymentNotFound):
        wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)
    company.customer(company.meter())
    counter.accept(METER, 500)
    with pytest.raises(NotHeld):
        wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)


@every_way
def test_every_decision_leaves_the_person_and_the_reason(
    counter: Counter, wiring: Wiring, uncertain: Payment, way: Way
) -> None:
    way(wiring.resolve)
    (event,) = [e for e in counter.now(PAYMENT_ID).events if e.actor]
    assert (event.actor, event.reason) == (SAID["actor"], SAID["reason"])


# --- other writers, and a store that does not answer ------------------------------------------


@pytest.mark.parametrize("way", list(WAYS.values())[:3], ids=list(WAYS)[:3])
def test_a_decision_that_meets_another_writer_is_made_on_what_is_stored_then(
    counter: Counter, wiring: Wiring, process: Processes, uncertain: Payment, way: Way
) -> None:
    def noted() -> None:
        wiring.payments.save(uncertain.with_event(uncertain.received_at, "noted"))

    way(process(payments=Interrupted(wiring.payments, save=[noted])).resolve)
    events = [e.what for e in counter.now(PAYMENT_ID).events]
    assert "noted" in events
    assert len([e for e in counter.now(PAYMENT_ID).events if e.actor]) == 1


@every_way
def test_a_late_token_is_faster_than_the_person_who_finds_it_not_held(
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    clock: FixedClock,
    uncertain: Payment,
    way: Way,
) -> None:
    def late_token() -> None:
        wiring.payments.save(vend_done(counter.now(PAYMENT_ID), 1, A_TOKEN, clock.now()))

    meanwhile = Interrupted(wiring.payments, save=[late_token], settle=[late_token])
    with pytest.raises(NotHeld):
        way(process(payments=meanwhile).resolve)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, states(payment)) == (Status.COMPLETED, [VendState.DONE])
    assert differences(counter, "C1") == []


@every_way
def test_a_decision_that_loses_every_race_changes_nothing(
    counter: Counter, wiring: Wiring, process: Processes, uncertain: Payment, way: Way
) -> None:
    conflicts = [VersionConflict() for _ in range(WRITES_MAX)]
    lost = Interrupted(wiring.payments, save=[*conflicts], settle=[*conflicts])
    with pytest.raises(VersionConflict):
        way(process(payments=lost).resolve)
    assert counter.now(PAYMENT_ID) == uncertain


@every_way
@pytest.mark.parametrize("error", [TryAgain(), OutcomeUnknown()])
def test_a_decision_that_could_not_be_written_is_an_error_and_tells_nobody(
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    uncertain: Payment,
    way: Way,
    error: Exception,
) -> None:
    broken = Interrupted(wiring.payments, save=[error], settle=[error])
    with pytest.raises(type(error)):
        way(process(payments=broken).resolve)
    assert counter.now(PAYMENT_ID) == uncertain
    counter.let_delays_pass()
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE]


@pytest.mark.parametrize(("way", "told"), [("token", 1), ("credit", 0)])
def test_a_decision_that_was_written_unseen_is_told_to_the_customer_all_the_same(
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    uncertain: Payment,
    way: str,
    told: int,
) -> None:
    lost = Lost(OutcomeUnknown())
    broken = Interrupted(wiring.payments, save=[lost], settle=[lost])
    with pytest.raises(OutcomeUnknown):
        WAYS[way](process(payments=broken).resolve)
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert counter.delays("messages") == [AHEAD_SECONDS]
    counter.send_all()
    assert counter.told(PAYMENT_ID) == sorted([told, HELD_MESSAGE])


@pytest.mark.parametrize("way", [WAYS["token"], WAYS["credit"]], ids=["token", "credit"])
def test_a_decision_whose_sms_cannot_be_queued_is_not_made(
    counter: Counter, wiring: Wiring, process: Processes, uncertain: Payment, way: Way
) -> None:
    broken = Interrupted(wiring.queues, message=[QueueUnavailable()])
    with pytest.raises(QueueUnavailable):
        way(process(queues=broken).resolve)
    assert counter.now(PAYMENT_ID) == uncertain


def test_a_decision_whose_vend_cannot_be_queued_stands_and_the_sweeper_queues_it(
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    clock: FixedClock,
    uncertain: Payment,
    calin: FakeCalin,
) -> None:
    broken = Interrupted(wiring.queues, vend=[QueueUnavailable()])
    assert WAYS["retry"](process(queues=broken).resolve).status is Status.VENDING
    clock.move(timedelta(minutes=2))
    wiring.sweep.sweep()
    counter.run_dry()
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert len(calin.issued) == 1


# --- retry ----------------------------------------------------------------------------------------


def test_a_refused_vend_is_called_again_under_its_number(
    counter: Counter, wiring: Wiring, refused: Payment, calin: FakeCalin
) -> None:
    assert wiring.resolve.retry(PAYMENT_ID, **SAID).status is Status.VENDING
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    (vend,) = payment.vends
    assert (vend.number, vend.state, vend.attempts) == (1, VendState.DONE, 2)
    assert payment.status is Status.COMPLETED
    assert counter.told(PAYMENT_ID) == [1, HELD_MESSAGE]


def test_a_retry_that_is_refused_again_is_held_again(
    counter: Counter, wiring: Wiring, refused: Payment, calin: FakeCalin
) -> None:
    calin.behaviours = [refusing]
    wiring.resolve.retry(PAYMENT_ID, **SAID)
    counter.run_dry()
    assert counter.now(PAYMENT_ID).reason == "vend_refused"
    assert len(calin.requests) == 2


def test_an_uncertain_vend_is_not_tried_again_unless_it_is_said_that_none_was_issued(
    counter: Counter, wiring: Wiring, uncertain: Payment
) -> None:
    with pytest.raises(FieldError) as caught:
        wiring.resolve.retry(PAYMENT_ID, **SAID)
    assert caught.value.field == "not_issued"
    assert counter.now(PAYMENT_ID) == uncertain


def test_an_uncertain_vend_of_a_manufacturer_that_repeats_safely_needs_no_such_word(
    counter: Counter, wiring: Wiring, uncertain: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    calin = wiring.manufacturers.get("calin")
    repeatable = replace(calin.manufacturer, recovery=RecoveryClass.REPEATABLE)
    monkeypatch.setattr(calin, "manufacturer", repeatable)
    wiring.resolve.retry(PAYMENT_ID, **SAID)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, states(payment)) == (Status.VENDING, [VendState.UNCERTAIN])
    counter.let_delays_pass()
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, states(payment)) == (Status.COMPLETED, [VendState.DONE])
    assert payment.vend(1).attempts == 2


def test_trying_an_uncertain_vend_again_makes_a_new_one_of_the_same_intent(
    counter: Counter, wiring: Wiring, uncertain: Payment, calin: FakeCalin
) -> None:
    WAYS["retry"](wiring.resolve)
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    old, new = payment.vends
    assert (old.state, old.closed, new.state) == (VendState.VOID, True, VendState.DONE)
    assert (new.units, new.money_minor, new.cost_minor) == (
        old.units,
        old.money_minor,
        old.cost_minor,
    )
    assert [t.vend for t in payment.tokens] == [2]
    assert counter.told(PAYMENT_ID) == [2, HELD_MESSAGE]
    assert differences(counter, "C1") == []


def test_a_void_vend_is_tried_again_by_a_new_one(
    counter: Counter, wiring: Wiring, uncertain: Payment
) -> None:
    WAYS["not_issued"](wiring.resolve)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "not_issued")
    wiring.resolve.retry(PAYMENT_ID, **SAID)
    counter.run_dry()
    assert states(counter.now(PAYMENT_ID)) == [VendState.VOID, VendState.DONE]


def test_two_retries_at_once_make_one_vend(
    counter: Counter, wiring: Wiring, process: Processes, uncertain: Payment, calin: FakeCalin
) -> None:
    meanwhile = Interrupted(wiring.payments, save=[lambda: WAYS["retry"](wiring.resolve)])
    with pytest.raises(NotHeld):
        WAYS["retry"](process(payments=meanwhile).resolve)
    counter.run_dry()
    assert len(calin.issued) == 1


def test_only_the_vend_that_is_named_is_tried_again_and_the_payment_stays_held(
    counter: Counter, wiring: Wiring, two_in_doubt: Payment, calin: FakeCalin
) -> None:
    wiring.resolve.retry(PAYMENT_ID, vend=2, not_issued=True, **SAID)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert states(payment) == [VendState.UNCERTAIN, VendState.VOID, VendState.INTENDED]
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert states(payment) == [VendState.UNCERTAIN, VendState.VOID, VendState.DONE]
    assert payment.status is Status.HELD
    assert counter.told(PAYMENT_ID) == [3, HELD_MESSAGE]


@pytest.mark.parametrize("number", [0, 3, 99])
def test_a_vend_that_does_not_need_a_person_cannot_be_named(
    wiring: Wiring, two_in_doubt: Payment, number: int
) -> None:
    with pytest.raises(FieldError) as caught:
        wiring.resolve.retry(PAYMENT_ID, vend=number, not_issued=True, **SAID)
    assert caught.value.field == "vend"


def test_a_stuck_payment_goes_on_where_it_was(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    counter.to_the_vend(METER, 500)
    wiring.payments.save(held(counter.now(PAYMENT_ID), "stuck", clock.now()))
    assert wiring.resolve.retry(PAYMENT_ID, **SAID).status is Status.VENDING
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, len(payment.vends), len(calin.issued)) == (Status.COMPLETED, 1, 1)


def test_a_stuck_payment_whose_vend_is_being_called_has_nothing_that_could_become_credit(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock
) -> None:
    company.customer(company.meter())
    counter.to_the_vend(METER, 500)
    payment = counter.now(PAYMENT_ID)
    calling = payment.with_vend(replace(payment.vend(1), state=VendState.CALLING, attempts=1))
    stuck = wiring.payments.save(held(calling, "stuck", clock.now()))
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert caught.value.field == "outcome"
    assert counter.now(PAYMENT_ID) == stuck


def test_a_payment_that_is_still_not_valid_is_held_again(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    counter.pay(claim("47999", 500))
    numbers = {PAYMENT_ID}
    for _ in range(2):
        assert wiring.resolve.retry(PAYMENT_ID, **SAID).status is Status.RECEIVED
        (message,) = counter.cloud.take("payments")
        numbers.add(message["Attributes"]["MessageDeduplicationId"])
        wiring.settle.settle(PAYMENT_ID, None, "47999")
    assert len(numbers) == 3, "or SQS would take them for one message"
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "unknown_device")


# --- token ----------------------------------------------------------------------------------------


def test_a_token_from_the_console_completes_the_payment_and_is_sent(
    counter: Counter, wiring: Wiring, uncertain: Payment
) -> None:
    payment = wiring.resolve.resolve_token(
        PAYMENT_ID, token="1234 5678-9012 3456 7890", units=Fraction(5), **SAID
    )
    assert payment.status is Status.COMPLETED
    assert [t.value for t in payment.tokens] == [A_TOKEN]
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [1, HELD_MESSAGE]
    assert differences(counter, "C1") == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"token": "1234"}, "token"),
        ({"token": A_TOKEN, "units": Fraction(4)}, "units"),
        ({"token": A_TOKEN, "vend": 2}, "vend"),
    ],
)
def test_a_token_that_cannot_be_the_one_is_refused(
    counter: Counter, wiring: Wiring, uncertain: Payment, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_token(PAYMENT_ID, **given, **SAID)
    assert caught.value.field == field
    assert counter.now(PAYMENT_ID) == uncertain


def test_of_two_vends_in_doubt_the_one_with_the_token_must_be_named(
    counter: Counter, wiring: Wiring, two_in_doubt: Payment
) -> None:
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_token(PAYMENT_ID, token=A_TOKEN, **SAID)
    assert caught.value.field == "vend"
    payment = wiring.resolve.resolve_token(PAYMENT_ID, token=A_TOKEN, vend=2, **SAID)
    assert states(payment) == [VendState.UNCERTAIN, VendState.DONE]
    assert payment.status is Status.HELD


def test_a_refused_vend_has_no_token(wiring: Wiring, refused: Payment) -> None:
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_token(PAYMENT_ID, token=A_TOKEN, **SAID)
    assert caught.value.field == "vend"


def test_what_was_said_not_to_be_issued_can_be_said_once(
    wiring: Wiring, uncertain: Payment
) -> None:
    WAYS["not_issued"](wiring.resolve)
    with pytest.raises(FieldError) as caught:
        WAYS["not_issued"](wiring.resolve)
    assert caught.value.field == "vend"


# --- assign ---------------------------------------------------------------------------------------


def test_money_for_a_mistyped_serial_goes_to_the_device_that_was_meant(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    customer_id = company.customer(company.meter())
    counter.pay(claim("47O01", 500))
    wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.serial_number) == (Status.COMPLETED, METER)
    assert payment.customer_id == customer_id
    assert counter.told(PAYMENT_ID) == [1]
    assert differences(counter, customer_id) == []


def test_the_report_that_comes_again_after_an_assignment_is_still_the_same_one(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    company.customer(company.meter())
    counter.pay(claim("47O01", 500))
    wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)
    assert wiring.accept.accept(claim("47O01", 500), money_moved=True).repeated


@pytest.mark.parametrize("serial_number", ["47999", "47002"])
def test_money_is_not_assigned_to_a_device_that_is_not_there_or_nobodys(
    company: Company, counter: Counter, wiring: Wiring, serial_number: str
) -> None:
    company.customer(company.meter("47002"))
    device = wiring.devices.get("47002")
    assert device is not None
    company.registry.update_device(replace(device, customer_id=None))
    before = counter.pay(claim("47O01", 500))
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=serial_number, **SAID)
    assert (caught.value.field, caught.value.code) == ("serial_number", "unknown_device")
    assert counter.now(PAYMENT_ID) == before


def test_a_settled_payment_is_not_assigned(
    company: Company, counter: Counter, wiring: Wiring, uncertain: Payment
) -> None:
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)
    assert caught.value.field == "outcome"
    assert counter.now(PAYMENT_ID) == uncertain
