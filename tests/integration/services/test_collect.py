"""Collecting: a checkout that we start is stored first, and paid once, whatever is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import PAID_OTHERWISE, Payment, Status
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.collect import (
    EXPIRES_AFTER,
    NOT_TOLD_AFTER,
    WRITES_MAX,
    NoSuchPayment,
)
from chalicelib.services.ports import (
    OutcomeUnknown,
    Paid,
    ProviderUncertain,
    ProviderUnreachable,
    QueueUnavailable,
    SecretMissing,
    TryAgain,
    VersionConflict,
)
from chalicelib.services.refund import NotRefundable
from chalicelib.services.resolve import Resolve
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock, claim, kes
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes, differences
from tests.integration.services.fake_provider import (
    CHANNEL,
    ON_CHANNEL,
    FakeProvider,
    FakeProviders,
    ask_all,
)
from tests.integration.services.interruptions import Interrupted, Lost
from tests.integration.vendor import FakeCalin

PAYMENT_ID = f"{CHANNEL}-T1"
PAID = Paid("RCPT1", kes(500), "KES")


@pytest.fixture
def provider() -> FakeProvider:
    """A provider of which nobody has paid anything yet."""
    return FakeProvider()


@pytest.fixture
def wiring(process: Processes, provider: FakeProvider) -> Wiring:
    """A process whose provider is the fake."""
    return process(providers=FakeProviders(provider))


Another = Callable[..., Wiring]


@pytest.fixture
def another(process: Processes, provider: FakeProvider) -> Another:
    """Starts another process with the same provider, in which the named ports are replaced."""
    return lambda **ports: process(providers=FakeProviders(provider), **ports)


def start(wiring: Wiring, transaction: str = "T1", amount: int = 500) -> Payment:
    started = wiring.accept.start(claim(METER, amount, transaction, **ON_CHANNEL))
    assert isinstance(started, Payment)
    return started


@pytest.fixture
def pending(company: Company, wiring: Wiring) -> Payment:
    """A checkout of 500 for the meter of C1, which nobody has paid yet."""
    company.customer(company.meter())
    return start(wiring)


def now(counter: Counter) -> Payment:
    return counter.now(PAYMENT_ID)


def conflicts(counter: Counter) -> list[str | None]:
    return [e.reason for e in now(counter).events if e.what == "reference_conflict"]


# --- starting -------------------------------------------------------------------------------------


def test_a_checkout_is_stored_as_pending_and_nothing_is_queued(
    counter: Counter, pending: Payment, clock: FixedClock
) -> None:
    assert now(counter) == pending
    assert (pending.status, pending.customer_id) == (Status.PENDING, "C1")
    assert pending.check_at == clock.now() + timedelta(minutes=1)
    counter.run_dry()
    assert now(counter) == pending
    assert counter.told(PAYMENT_ID) == []


def test_what_was_surely_not_started_expires_at_once(
    counter: Counter, wiring: Wiring, pending: Payment, diary: Diary
) -> None:
    wiring.collect.not_started(pending, "provider_refused")
    payment = now(counter)
    assert (payment.status, payment.reason) == (Status.EXPIRED, "provider_refused")
    assert payment.check_at is None
    assert diary.counted("Expired") == 1


def test_what_could_not_be_noted_as_not_started_stays_pending_and_expires_with_time(
    counter: Counter,
    wiring: Wiring,
    another: Another,
    clock: FixedClock,
    pending: Payment,
    diary: Diary,
) -> None:
    broken = another(payments=Interrupted(wiring.payments, save=[TryAgain()]))
    broken.collect.not_started(pending, "provider_refused")
    assert now(counter) == pending
    assert diary.said("expiry_not_written")
    clock.move(EXPIRES_AFTER)
    wiring.collect.verify(pending)
    assert now(counter).status is Status.EXPIRED


# --- money has moved ------------------------------------------------------------------------------


def test_a_checkout_that_was_paid_is_settled(
    counter: Counter, wiring: Wiring, clock: FixedClock, pending: Payment, calin: FakeCalin
) -> None:
    clock.move(timedelta(minutes=5))
    told = replace(PAID, paid_at=clock.now() - timedelta(minutes=2))
    payment = wiring.collect.paid(PAYMENT_ID, told)
    assert (payment.status, payment.receipt) == (Status.RECEIVED, "RCPT1")
    assert (payment.moment, payment.received_at) == (told.paid_at, clock.now())
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED
    assert len(calin.issued) == 1
    assert differences(counter, "C1") == []


def test_the_word_that_comes_again_pays_nothing_twice(
    counter: Counter, wiring: Wiring, pending: Payment, calin: FakeCalin, diary: Diary
) -> None:
    wiring.collect.paid(PAYMENT_ID, PAID)
    counter.run_dry()
    before = now(counter)
    assert wiring.collect.paid(PAYMENT_ID, PAID) == before
    counter.run_dry()
    assert (now(counter), len(calin.issued)) == (before, 1)
    assert diary.counted("Duplicates") == 1


def test_the_word_that_comes_again_queues_a_payment_that_could_not_be_queued(
    counter: Counter, wiring: Wiring, another: Another, pending: Payment, diary: Diary
) -> None:
    broken = another(queues=Interrupted(wiring.queues, settle=[QueueUnavailable()]))
    broken.collect.paid(PAYMENT_ID, PAID)
    assert diary.said("queueing_failed")
    assert counter.cloud.take("payments") == []
    wiring.collect.paid(PAYMENT_ID, PAID)
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED


def test_a_write_that_was_not_confirmed_is_known_when_the_word_comes_again(
    counter: Counter, wiring: Wiring, another: Another, pending: Payment
) -> None:
    broken = another(payments=Interrupted(wiring.payments, receive=[Lost(OutcomeUnknown())]))
    with pytest.raises(OutcomeUnknown):
        broken.collect.paid(PAYMENT_ID, PAID)
    assert counter.cloud.take("payments") == []
    wiring.collect.paid(PAYMENT_ID, PAID)
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED
    assert conflicts(counter) == []
    assert differences(counter, "C1") == []


def test_a_word_that_could_not_be_stored_is_an_error_and_leaves_the_checkout_pending(
    counter: Counter, wiring: Wiring, another: Another, pending: Payment
) -> None:
    broken = another(payments=Interrupted(wiring.payments, receive=[TryAgain()]))
    with pytest.raises(TryAgain):
        broken.collect.paid(PAYMENT_ID, PAID)
    assert now(counter) == pending


def test_of_two_words_at_once_one_pays_and_the_other_is_a_repetition(
    counter: Counter, wiring: Wiring, another: Another, pending: Payment, calin: FakeCalin
) -> None:
    meanwhile = [lambda: wiring.collect.paid(PAYMENT_ID, PAID)]
    slower = another(payments=Interrupted(wiring.payments, receive=meanwhile))
    assert slower.collect.paid(PAYMENT_ID, PAID).status is Status.RECEIVED
    counter.run_dry()
    assert len(calin.issued) == 1
    assert conflicts(counter) == []


def test_a_word_that_meets_another_writer_is_stored_all_the_same(
    counter: Counter, wiring: Wiring, another: Another, pending: Payment, clock: FixedClock
) -> None:
    clock.move(timedelta(minutes=1))
    meanwhile = another(payments=Interrupted(wiring.payments, receive=[wiring.sweep.sweep]))
    assert meanwhile.collect.paid(PAYMENT_ID, PAID).status is Status.RECEIVED


def test_a_word_that_loses_every_race_must_come_again(
    counter: Counter, wiring: Wiring, another: Another, pending: Payment
) -> None:
    lost = Interrupted(wiring.payments, receive=[VersionConflict()] * WRITES_MAX)
    with pytest.raises(VersionConflict):
        another(payments=lost).collect.paid(PAYMENT_ID, PAID)
    assert now(counter) == pending


def test_money_for_a_checkout_that_is_not_ours_is_an_error(wiring: Wiring) -> None:
    with pytest.raises(NoSuchPayment):
        wiring.collect.paid("paystack-T9", PAID)


# --- other words than what was agreed -------------------------------------------------------------

OTHERS = [
    replace(PAID, amount_minor=kes(499)),
    replace(PAID, amount_minor=kes(501)),
    replace(PAID, currency="NGN"),
]


@pytest.mark.parametrize("other", OTHERS)
def test_another_amount_or_currency_is_a_conflict_noted_once_and_the_right_word_still_works(
    counter: Counter, wiring: Wiring, pending: Payment, diary: Diary, other: Paid
) -> None:
    for _ in range(3):
        with pytest.raises(ReferenceConflict):
            wiring.collect.paid(PAYMENT_ID, other)
    payment = now(counter)
    assert (payment.status, payment.receipt) == (Status.PENDING, None)
    assert conflicts(counter) == [f"RCPT1 {other.amount_minor} {other.currency}"]
    assert diary.counted("ReferenceConflicts") == 3
    counter.run_dry()
    assert counter.account("C1").version == 1

    wiring.collect.paid(PAYMENT_ID, PAID)
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED
    assert differences(counter, "C1") == []


@pytest.mark.parametrize("settled", [False, True])
def test_another_receipt_for_a_checkout_that_was_paid_is_a_conflict_and_credits_nothing(
    counter: Counter, wiring: Wiring, pending: Payment, settled: bool
) -> None:
    wiring.collect.paid(PAYMENT_ID, PAID)
    if settled:
        counter.run_dry()
    with pytest.raises(ReferenceConflict):
        wiring.collect.paid(PAYMENT_ID, replace(PAID, receipt="RCPT2"))
    counter.run_dry()
    assert conflicts(counter) == [f"RCPT2 {kes(500)} KES"]
    assert now(counter).receipt == "RCPT1"
    assert counter.account("C1").version == 2
    assert differences(counter, "C1") == []


def test_one_receipt_pays_one_checkout(counter: Counter, wiring: Wiring, pending: Payment) -> None:
    start(wiring, "T2")
    wiring.collect.paid(PAYMENT_ID, PAID)
    with pytest.raises(ReferenceConflict):
        wiring.collect.paid("paystack-T2", PAID)
    other = counter.now("paystack-T2")
    assert (other.status, other.receipt) == (Status.PENDING, None)
    assert [e.what for e in other.events] == ["reference_conflict"]
    wiring.collect.paid("paystack-T2", replace(PAID, receipt="RCPT2"))
    assert counter.now("paystack-T2").status is Status.RECEIVED


# --- nobody pays, or pays late --------------------------------------------------------------------


def test_whoever_pays_after_the_checkout_was_given_up_is_served_all_the_same(
    counter: Counter, wiring: Wiring, clock: FixedClock, pending: Payment, provider: FakeProvider
) -> None:
    clock.move(EXPIRES_AFTER)
    wiring.sweep.sweep()
    ask_all(counter)
    assert now(counter).status is Status.EXPIRED
    clock.move(timedelta(days=30))
    payment = wiring.collect.paid(PAYMENT_ID, PAID)
    assert (payment.status, payment.reason, payment.completed_at) == (Status.RECEIVED, None, None)
    assert payment.check_at == clock.now() + timedelta(minutes=1)
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED
    assert [e.what for e in now(counter).events] == ["expired"]
    assert differences(counter, "C1") == []


def test_a_checkout_that_expires_while_it_is_paid_is_paid(
    counter: Counter, wiring: Wiring, another: Another, clock: FixedClock, pending: Payment
) -> None:
    clock.move(EXPIRES_AFTER)
    meanwhile = [lambda: wiring.collect.verify(pending)]
    slower = another(payments=Interrupted(wiring.payments, receive=meanwhile))
    assert slower.collect.paid(PAYMENT_ID, PAID).status is Status.RECEIVED


def test_a_checkout_that_is_paid_while_it_expires_is_paid(
    counter: Counter, wiring: Wiring, another: Another, clock: FixedClock, pending: Payment
) -> None:
    clock.move(EXPIRES_AFTER)
    meanwhile = [lambda: wiring.collect.paid(PAYMENT_ID, PAID)]
    slower = another(payments=Interrupted(wiring.payments, save=meanwhile))
    slower.collect.verify(pending)
    assert now(counter).status is Status.RECEIVED


# --- asking ---------------------------------------------------------------------------------------


def test_a_checkout_whose_word_was_lost_is_found_paid_by_asking(
    counter: Counter, wiring: Wiring, clock: FixedClock, pending: Payment, provider: FakeProvider
) -> None:
    provider.paid = PAID
    clock.move(timedelta(minutes=1))
    assert wiring.sweep.sweep() == 1
    ask_all(counter)
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (EXPIRES_AFTER - timedelta(seconds=1), Status.PENDING),
        (EXPIRES_AFTER, Status.EXPIRED),
    ],
)
def test_a_checkout_that_nobody_has_paid_expires_after_a_day(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    pending: Payment,
    age: timedelta,
    status: Status,
) -> None:
    clock.move(age)
    wiring.collect.verify(pending)
    payment = now(counter)
    assert payment.status is status
    assert payment.reason == ("not_paid" if status is Status.EXPIRED else None)


@pytest.mark.parametrize(
    "silence",
    [ProviderUnreachable("no route"), ProviderUncertain("status 500"), SecretMissing("x")],
)
def test_a_checkout_of_which_nobody_can_tell_waits_longer_and_then_expires(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    pending: Payment,
    provider: FakeProvider,
    diary: Diary,
    silence: Exception,
) -> None:
    provider.paid = silence
    clock.move(NOT_TOLD_AFTER - timedelta(seconds=1))
    wiring.collect.verify(pending)
    assert now(counter) == pending
    assert diary.said("not_verified")
    clock.move(timedelta(seconds=1))
    wiring.collect.verify(pending)
    assert (now(counter).status, now(counter).reason) == (Status.EXPIRED, "not_verified")
    assert wiring.collect.paid(PAYMENT_ID, PAID).status is Status.RECEIVED


def test_a_checkout_of_a_channel_that_cannot_be_asked_expires_after_a_day(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock
) -> None:
    company.customer(company.meter())
    started = wiring.accept.start(claim(METER, 500))
    assert isinstance(started, Payment)
    wiring.collect.verify(started)
    assert counter.now(started.payment_id).status is Status.PENDING
    clock.move(EXPIRES_AFTER)
    wiring.collect.verify(started)
    assert counter.now(started.payment_id).status is Status.EXPIRED


# --- paid otherwise than agreed -------------------------------------------------------------------

SAID: dict[str, str] = {"actor": ACTOR, "reason": "seen in the provider's portal"}


@pytest.fixture
def otherwise(
    counter: Counter, wiring: Wiring, clock: FixedClock, pending: Payment, provider: FakeProvider
) -> Payment:
    """A checkout for which another amount was paid than was agreed, a day later."""
    provider.paid = OTHERS[0]
    clock.move(EXPIRES_AFTER)
    wiring.collect.verify(pending)
    return now(counter)


def test_a_checkout_that_was_paid_otherwise_than_agreed_is_noted_once_and_held_with_time(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    pending: Payment,
    provider: FakeProvider,
    diary: Diary,
) -> None:
    provider.paid = OTHERS[0]
    clock.move(EXPIRES_AFTER - timedelta(seconds=1))
    wiring.collect.verify(pending)
    assert now(counter).status is Status.PENDING
    clock.move(timedelta(seconds=1))
    wiring.collect.verify(pending)
    assert (now(counter).status, now(counter).reason) == (Status.HELD, PAID_OTHERWISE)
    assert len(conflicts(counter)) == 1
    assert diary.counted("Held") == 1
    assert counter.account("C1").version == 1


@pytest.mark.parametrize("silence", [None, ProviderUncertain("status 500")])
def test_that_other_money_has_moved_is_not_forgotten_when_its_provider_falls_silent(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    pending: Payment,
    provider: FakeProvider,
    silence: Exception | None,
) -> None:
    with pytest.raises(ReferenceConflict):
        wiring.collect.paid(PAYMENT_ID, OTHERS[0])
    provider.paid = silence
    clock.move(NOT_TOLD_AFTER)
    wiring.collect.verify(pending)
    assert (now(counter).status, now(counter).reason) == (Status.HELD, PAID_OTHERWISE)


def test_the_right_word_still_pays_a_checkout_that_was_paid_otherwise(
    counter: Counter, wiring: Wiring, otherwise: Payment
) -> None:
    payment = wiring.collect.paid(PAYMENT_ID, PAID)
    assert (payment.status, payment.reason) == (Status.RECEIVED, None)
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED
    assert differences(counter, "C1") == []


@pytest.mark.parametrize(
    "way",
    [
        lambda resolve: resolve.retry(PAYMENT_ID, **SAID),
        lambda resolve: resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID),
    ],
    ids=["retry", "assign"],
)
def test_money_that_is_not_what_was_agreed_is_never_settled(
    counter: Counter, wiring: Wiring, otherwise: Payment, way: Callable[[Resolve], Payment]
) -> None:
    with pytest.raises(FieldError) as caught:
        way(wiring.resolve)
    assert caught.value.field == "outcome"
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert now(counter) == otherwise


def test_other_money_that_a_person_gave_back_ends_the_checkout(
    counter: Counter, wiring: Wiring, otherwise: Payment
) -> None:
    payment = wiring.resolve.resolve_refunded(PAYMENT_ID, **SAID)
    assert (payment.status, payment.reason) == (Status.EXPIRED, PAID_OTHERWISE)
    assert (payment.check_at, payment.refunds) == (None, ())
    assert ACTOR in [event.actor for event in payment.events]
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == []
    assert counter.account("C1").version == 1


# --- other things that happen meanwhile -----------------------------------------------------------


def test_what_was_paid_while_the_provider_was_asked_does_not_expire(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    pending: Payment,
    provider: FakeProvider,
) -> None:
    clock.move(EXPIRES_AFTER)
    wiring.collect.paid(pending.payment_id, PAID)
    provider.paid = None
    wiring.collect.verify(pending)
    assert now(counter).status is Status.RECEIVED


def test_a_checkout_that_waits_for_its_payer_is_never_called_stuck(
    counter: Counter, wiring: Wiring, clock: FixedClock, pending: Payment, provider: FakeProvider
) -> None:
    provider.paid = ProviderUnreachable("no route")
    began, looks = clock.now(), []
    while (due := now(counter).check_at) is not None and due < began + timedelta(hours=24):
        clock.move(due - clock.now())
        assert wiring.sweep.sweep() == 1
        looks.append((due - began) // timedelta(minutes=1))
    assert (now(counter).status, now(counter).reason) == (Status.PENDING, None)
    assert len(looks) == 8, looks
    assert counter.told(PAYMENT_ID) == []
