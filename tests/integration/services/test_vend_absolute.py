"""Absolute vends (Angaza is told until when): whatever happens, the last word is the latest end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import Payment, Status, VendState
from chalicelib.services.ports import OutcomeUnknown, TryAgain
from chalicelib.services.vend import OWED_READINGS_MAX
from chalicelib.wiring import Wiring
from tests.integration.company import NOW, SHS, Company, FixedClock, kes, plan
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import ACTOR, Counter, Processes, differences
from tests.integration.services.interruptions import Interrupted
from tests.integration.services.waiting import come_back, come_back_to_the_end
from tests.integration.vendor import Answer, FakeAngaza, unclear, until

FIRST, SECOND = "mpesa_ke.600966-T1", "mpesa_ke.600966-T2"
PLAN = plan("p-1", 7000, serial_number=SHS)
UNLOCKED = "UNLOCKED"


@pytest.fixture
def angaza(cloud: Cloud) -> Iterator[FakeAngaza]:
    """Angaza, as a server that knows until when each unit runs."""
    with FakeAngaza() as fake:
        fake.put_secrets(cloud)
        yield fake


@pytest.fixture
def asha(company: Company, angaza: FakeAngaza) -> str:
    """A customer with a solar home system at 700 a week."""
    return company.customer(company.shs(plan_id="p-1", manufacturer="angaza"), plans=(PLAN,))


def paid(counter: Counter, amount: int, transaction: str) -> dict[str, Any]:
    """A payment for the SHS, settled: the message of its vend."""
    counter.accept(SHS, amount, transaction)
    counter.settle_all()
    return counter.only("vends")


def test_vends_that_are_called_in_the_wrong_order_leave_the_later_end(
    counter: Counter, asha: str, angaza: FakeAngaza
) -> None:
    first, second = paid(counter, 700, "T1"), paid(counter, 700, "T2")
    counter.vend(second)
    counter.vend(first)
    assert angaza.told == [until(NOW, 14)] * 2
    told_until = {counter.now(p).vend(1).paid_until for p in (FIRST, SECOND)}
    assert told_until == {NOW + timedelta(days=14)}, "what the device was really told"
    assert {counter.now(p).status for p in (FIRST, SECOND)} == {Status.COMPLETED}
    assert len(angaza.issued) == 1, "the same end is the same keycode"
    assert differences(counter, asha, PLAN) == []


def test_a_payment_that_is_settled_during_the_call_is_set_at_once(
    counter: Counter, asha: str, angaza: FakeAngaza
) -> None:
    def settle_another(request: dict[str, Any]) -> Answer:
        counter.accept(SHS, 700, "T2")
        counter.settle_all()
        return angaza.issue(request)

    angaza.behaviours = [settle_another]
    counter.vend(paid(counter, 700, "T1"))
    assert angaza.told == [until(NOW, 7), until(NOW, 14)]
    assert [t.value for t in counter.now(FIRST).tokens] == [angaza.issued[-1]]
    counter.run_dry()
    assert angaza.units[SHS] == until(NOW, 14)
    assert counter.now(SECOND).status is Status.COMPLETED


def test_a_time_vend_that_comes_after_the_last_instalment_leaves_the_device_unlocked(
    counter: Counter, asha: str, angaza: FakeAngaza
) -> None:
    time, unlock = paid(counter, 700, "T1"), paid(counter, 6300, "T2")
    counter.vend(unlock)
    counter.vend(time)
    assert angaza.told == [UNLOCKED, UNLOCKED]
    assert {counter.now(p).status for p in (FIRST, SECOND)} == {Status.COMPLETED}


def test_who_pays_before_the_time_is_over_keeps_all_days(
    company: Company, counter: Counter, angaza: FakeAngaza
) -> None:
    record = company.shs(plan_id="p-1", manufacturer="angaza")
    company.customer(replace(record, paid_until=NOW + timedelta(days=3)), plans=(PLAN,))
    counter.vend(paid(counter, 700, "T1"))
    assert angaza.told == [until(NOW, 10)]


def test_a_late_payer_gets_the_days_from_the_moment_of_the_payment_not_of_the_call(
    counter: Counter, asha: str, angaza: FakeAngaza, clock: FixedClock
) -> None:
    message = paid(counter, 700, "T1")
    clock.move(timedelta(hours=5))
    counter.vend(message)
    assert angaza.told == [until(NOW, 7)]


# --- money whose days have been brought ----------------------------------------------------------


def refuse(request: dict[str, Any]) -> Answer:
    return 404, {"context": {"reason": "no such unit"}}


def credited(wiring: Wiring, payment_id: str) -> Payment:
    said = {"actor": ACTOR, "reason": "none in the vendor's console"}
    return wiring.resolve.resolve_credit(payment_id, **said)


def test_days_that_an_earlier_payment_s_vend_has_brought_do_not_become_credit(
    counter: Counter, wiring: Wiring, asha: str, angaza: FakeAngaza
) -> None:
    first, second = paid(counter, 700, "T1"), paid(counter, 700, "T2")
    angaza.behaviours = [refuse]
    counter.vend(second)
    assert counter.now(SECOND).reason == "vend_refused"
    counter.vend(first)
    assert angaza.told[-1] == until(NOW, 14)
    before = counter.now(SECOND)
    with pytest.raises(FieldError) as caught:
        credited(wiring, SECOND)
    assert caught.value.field == "outcome"
    assert counter.now(SECOND) == before


def test_days_that_an_earlier_payment_s_vend_may_have_brought_do_not_become_credit(
    counter: Counter, wiring: Wiring, asha: str, angaza: FakeAngaza
) -> None:
    first, second = paid(counter, 700, "T1"), paid(counter, 700, "T2")
    angaza.behaviours = [refuse, unclear]
    counter.vend(second)
    counter.vend(first)
    assert counter.now(FIRST).vend(1).state is VendState.UNCERTAIN
    with pytest.raises(FieldError):
        credited(wiring, SECOND)


def test_days_that_no_other_vend_has_brought_become_credit(
    counter: Counter, wiring: Wiring, asha: str, angaza: FakeAngaza
) -> None:
    counter.vend(paid(counter, 700, "T1"))
    angaza.behaviours = [refuse]
    counter.vend(paid(counter, 700, "T2"))
    assert credited(wiring, SECOND).status is Status.COMPLETED
    account = counter.account(asha)
    assert account.credit_minor == kes(700)
    assert [device.paid_until for device in account.devices] == [NOW + timedelta(days=7)]
    assert differences(counter, asha, PLAN) == []


# --- another owner -------------------------------------------------------------------------------


def give_away(company: Company, wiring: Wiring) -> None:
    """The device goes to another customer."""
    bakari = company.customer(company.meter(), phone="+254700000002")
    wiring.keep_devices.change_owner(SHS, bakari, reason="sold", actor=ACTOR)


def test_a_device_that_went_to_another_owner_is_not_set_for_the_old_one(
    company: Company, counter: Counter, wiring: Wiring, asha: str, angaza: FakeAngaza
) -> None:
    message = paid(counter, 700, "T1")
    paid(counter, 6300, "T2")
    give_away(company, wiring)
    counter.vend(message)
    payment = counter.now(FIRST)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_refused")
    assert payment.events[0].reason == "device_moved"
    assert angaza.requests == []


def test_a_device_that_was_paid_off_is_unlocked_whoever_owns_it_now(
    company: Company, counter: Counter, wiring: Wiring, asha: str, angaza: FakeAngaza
) -> None:
    message = paid(counter, 7000, "T1")
    give_away(company, wiring)
    counter.vend(message)
    assert angaza.told == [UNLOCKED]
    assert counter.now(FIRST).status is Status.COMPLETED


def test_a_device_that_goes_to_another_owner_during_the_call_is_for_a_person(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    asha: str,
    angaza: FakeAngaza,
    clock: FixedClock,
) -> None:
    """It has been set: that the next call refuses the old owner's vend does not undo it."""

    def move(request: dict[str, Any]) -> Answer:
        paid(counter, 6300, "T2")
        give_away(company, wiring)
        return angaza.issue(request)

    angaza.behaviours = [move]
    counter.vend(paid(counter, 700, "T1"))
    come_back_to_the_end(counter, clock)
    payment = counter.now(FIRST)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert angaza.told == [until(NOW, 7)]


# --- an account that cannot be read, or does not stand still -------------------------------------


def test_without_the_account_nothing_is_called_and_it_is_tried_again(
    counter: Counter,
    wiring: Wiring,
    asha: str,
    angaza: FakeAngaza,
    process: Processes,
    clock: FixedClock,
) -> None:
    blind = process(accounts=Interrupted(wiring.accounts, get=[TryAgain()]))
    counter.vend(paid(counter, 700, "T1"), by=blind)
    payment = counter.now(FIRST)
    assert (payment.status, payment.vend(1).state) == (Status.VENDING, VendState.REFUSED)
    assert angaza.requests == []
    assert come_back_to_the_end(counter, clock) == [30]
    assert counter.now(FIRST).status is Status.COMPLETED


@pytest.mark.parametrize("error", [TryAgain(), OutcomeUnknown()])
def test_a_call_that_cannot_be_compared_with_the_account_is_made_again(
    counter: Counter,
    wiring: Wiring,
    asha: str,
    angaza: FakeAngaza,
    process: Processes,
    clock: FixedClock,
    cloud: Cloud,
    error: Exception,
) -> None:
    blind = process(accounts=Interrupted(wiring.accounts, get=[None, error]))
    counter.vend(paid(counter, 700, "T1"), by=blind)
    assert counter.now(FIRST).vend(1).state is VendState.UNCERTAIN
    assert cloud.item("circuits", manufacturer="angaza") is None, "that was not its fault"
    assert come_back_to_the_end(counter, clock) == [10]
    assert angaza.told == [until(NOW, 7)] * 2
    assert [t.value for t in counter.now(FIRST).tokens] == angaza.issued


def test_what_could_not_be_set_once_more_is_in_doubt(
    counter: Counter, asha: str, angaza: FakeAngaza, clock: FixedClock
) -> None:
    """The first call has set something: a clear no to the second is none to the vend."""

    def settle_another(request: dict[str, Any]) -> Answer:
        counter.accept(SHS, 700, "T2")
        counter.settle_all()
        return angaza.issue(request)

    angaza.behaviours = [settle_another, refuse]
    counter.vend(paid(counter, 700, "T1"))
    payment = counter.now(FIRST)
    assert (payment.status, payment.vend(1).state) == (Status.VENDING, VendState.UNCERTAIN)
    assert payment.events[0].reason == "set, but not as owed now: refused_by_vendor"


def test_an_account_that_does_not_stand_still_is_come_back_to(
    counter: Counter, asha: str, angaza: FakeAngaza, clock: FixedClock
) -> None:
    transactions = iter(range(2, 10))

    def settle_another(request: dict[str, Any]) -> Answer:
        counter.accept(SHS, 700, f"T{next(transactions)}")
        counter.settle_all()
        return angaza.issue(request)

    angaza.behaviours = [settle_another] * (OWED_READINGS_MAX + 1)
    counter.vend(paid(counter, 700, "T1"))
    assert counter.now(FIRST).vend(1).state is VendState.UNCERTAIN
    assert angaza.told == [until(NOW, days) for days in (7, 14, 21, 28)]
    counter.let_delays_pass()
    counter.run_dry()
    assert angaza.units[SHS] == until(NOW, 35)
    assert counter.now(FIRST).status is Status.COMPLETED


def test_without_the_time_for_one_more_call_it_is_left_to_the_next_attempt(
    counter: Counter, asha: str, angaza: FakeAngaza, clock: FixedClock
) -> None:
    """A call must never be under way after its lease: the next attempt's would be overtaken."""

    def slowly_settle_another(request: dict[str, Any]) -> Answer:
        clock.move(timedelta(seconds=11))
        counter.accept(SHS, 700, "T2")
        counter.settle_all()
        counter.cloud.take("vends")
        return angaza.issue(request)

    angaza.behaviours = [slowly_settle_another]
    counter.vend(paid(counter, 700, "T1"))
    assert angaza.told == [until(NOW, 7)]
    assert counter.now(FIRST).events[0].reason == "set, but not as owed now: out_of_time"
    come_back(counter, clock)
    assert angaza.told == [until(NOW, 7), until(NOW, 14)]
    assert counter.now(FIRST).status is Status.COMPLETED


def test_a_repeated_call_sets_what_is_owed_by_then(
    counter: Counter, asha: str, angaza: FakeAngaza, clock: FixedClock
) -> None:
    angaza.behaviours = [unclear]
    counter.vend(paid(counter, 700, "T1"))
    (seconds,) = counter.delays("vends")
    clock.move(timedelta(seconds=seconds))
    message = counter.only("vends")
    paid(counter, 700, "T2")
    counter.vend(message)
    assert angaza.told == [until(NOW, 7), until(NOW, 14)]
