"""Money that a provider has reserved: nothing is settled before it has taken our yes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from chalicelib.domain.payment import RESULT_NOT_TAKEN, Payment, Status
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.collect import RESULT_IS_LATE_AFTER, RESULT_TOLD_WITHIN
from chalicelib.services.ports import (
    OutcomeUnknown,
    ProviderRefused,
    ProviderUncertain,
    ProviderUnreachable,
)
from chalicelib.services.refund import NotRefundable
from chalicelib.services.vend import OutOfTime
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock, claim
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


@dataclass
class ReservingProvider(FakeProvider):
    """Keeps money reserved until it has our result, unless it is told to fail."""

    failures: list[Exception] = field(default_factory=list)
    results: list[bool] = field(default_factory=list)

    def tell_result(self, payment: Payment) -> None:
        """Take a yes or no."""
        if self.failures:
            raise self.failures.pop(0)
        self.results.append(payment.reason is None)


@pytest.fixture
def provider() -> ReservingProvider:
    return ReservingProvider()


@pytest.fixture
def wiring(process: Processes, provider: ReservingProvider) -> Wiring:
    return process(providers=FakeProviders(provider))


@pytest.fixture
def household(company: Company) -> str:
    return company.customer(company.meter())


def reserve(wiring: Wiring, serial_number: str = METER, amount: int = 500) -> Payment:
    told = claim(serial_number, amount, known_as={"conversation_id": "c-1"}, **ON_CHANNEL)
    return wiring.accept.reserve(told).payment


def now(counter: Counter) -> Payment:
    return counter.now(PAYMENT_ID)


def test_reserved_money_is_pending_and_settled_once_our_yes_is_taken(
    counter: Counter, wiring: Wiring, household: str, provider: ReservingProvider, calin: FakeCalin
) -> None:
    reserved = reserve(wiring)
    assert (reserved.status, reserved.reason) == (Status.PENDING, None)
    assert reserved.known_as == {"conversation_id": "c-1"}
    counter.run_dry()
    assert now(counter).status is Status.PENDING
    assert ask_all(counter) == 1
    assert (provider.results, now(counter).status) == ([True], Status.RECEIVED)
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED
    assert len(calin.issued) == 1
    assert differences(counter, household) == []


def test_money_for_a_wrong_serial_is_answered_no_and_never_settled(
    counter: Counter, wiring: Wiring, household: str, provider: ReservingProvider, diary: Diary
) -> None:
    assert reserve(wiring, "NOBODY").reason == "unknown_device"
    ask_all(counter)
    counter.run_dry()
    payment = now(counter)
    assert (provider.results, payment.status, payment.reason) == (
        [False],
        Status.REFUSED,
        "unknown_device",
    )
    assert payment.check_at is None
    assert diary.counted("Refused") == 1


def test_a_repeated_report_is_one_payment_and_one_of_another_amount_a_conflict(
    counter: Counter, wiring: Wiring, household: str, provider: ReservingProvider
) -> None:
    reserve(wiring)
    reserve(wiring)
    with pytest.raises(ReferenceConflict):
        reserve(wiring, amount=900)
    ask_all(counter)
    assert now(counter).status is Status.RECEIVED
    assert set(provider.results) == {True}
    reserve(wiring)
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED
    assert differences(counter, household) == []


@pytest.mark.parametrize(
    "failure", [ProviderUnreachable("down"), ProviderUncertain("lost"), ProviderUncertain("500")]
)
def test_a_result_that_was_not_taken_is_told_again(
    counter: Counter,
    wiring: Wiring,
    household: str,
    provider: ReservingProvider,
    failure: Exception,
    diary: Diary,
) -> None:
    provider.failures = [failure, failure]
    reserve(wiring)
    for _ in range(3):
        ask_all(counter)
        counter.let_delays_pass()
    assert (provider.results, now(counter).status) == ([True], Status.RECEIVED)
    assert diary.counted("ResultsLate") == 0
    assert not diary.rings("results-late")


def test_a_result_that_is_late_rings(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    household: str,
    provider: ReservingProvider,
    diary: Diary,
) -> None:
    provider.failures = [ProviderUnreachable("down")]
    reserve(wiring)
    clock.move(RESULT_IS_LATE_AFTER)
    ask_all(counter)
    assert diary.counted("ResultsLate") == 1
    assert diary.rings("results-late")
    assert counter.delays("provider-calls") == [600]


def test_a_crash_after_our_yes_was_taken_tells_it_once_more(
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    household: str,
    provider: ReservingProvider,
) -> None:
    reserve(wiring)
    dying = process(
        providers=FakeProviders(provider),
        payments=Interrupted(wiring.payments, save=[OutcomeUnknown()]),
    )
    with pytest.raises(OutcomeUnknown):
        ask_all(counter, dying)
    assert now(counter).status is Status.PENDING
    wiring.ask_provider.work(PAYMENT_ID, wiring.clock.now() + timedelta(minutes=1))
    assert (provider.results, now(counter).status) == ([True, True], Status.RECEIVED)


def test_a_write_after_our_yes_whose_confirmation_was_lost_settles_once(
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    household: str,
    provider: ReservingProvider,
) -> None:
    reserve(wiring)
    dying = process(
        providers=FakeProviders(provider),
        payments=Interrupted(wiring.payments, save=[Lost(OutcomeUnknown())]),
    )
    with pytest.raises(OutcomeUnknown):
        ask_all(counter, dying)
    assert now(counter).status is Status.RECEIVED
    wiring.sweep.sweep()
    wiring.ask_provider.work(PAYMENT_ID, wiring.clock.now() + timedelta(minutes=1))
    assert provider.results == [True]


def not_taken(counter: Counter, wiring: Wiring, provider: ReservingProvider, serial: str) -> None:
    provider.failures = [ProviderRefused("result_2")]
    reserve(wiring, serial)
    ask_all(counter)
    payment = now(counter)
    assert (payment.status, payment.reason) == (Status.HELD, RESULT_NOT_TAKEN)


def test_money_whose_provider_takes_no_result_is_held_and_its_refusal_remembered(
    counter: Counter, wiring: Wiring, household: str, provider: ReservingProvider
) -> None:
    not_taken(counter, wiring, provider, "NOBODY")
    assert "unknown_device" in [e.reason for e in now(counter).events if e.what == "refused"]


def test_a_person_may_say_that_the_money_is_ours(
    counter: Counter, wiring: Wiring, household: str, provider: ReservingProvider, calin: FakeCalin
) -> None:
    not_taken(counter, wiring, provider, METER)
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, actor=ACTOR, reason="?")
    wiring.resolve.retry(PAYMENT_ID, actor=ACTOR, reason="the portal shows it")
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED


def test_a_person_may_say_that_it_is_not(
    counter: Counter, wiring: Wiring, household: str, provider: ReservingProvider
) -> None:
    not_taken(counter, wiring, provider, METER)
    wiring.resolve.resolve_not_paid(PAYMENT_ID, actor=ACTOR, reason="the portal shows none")
    assert (now(counter).status, now(counter).reason) == (Status.EXPIRED, "not_paid")


def test_after_two_days_of_silence_a_person_must_look(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    household: str,
    provider: ReservingProvider,
) -> None:
    provider.failures = [ProviderUncertain("silence")]
    reserve(wiring)
    clock.move(RESULT_TOLD_WITHIN)
    ask_all(counter)
    assert (now(counter).status, now(counter).reason) == (Status.HELD, RESULT_NOT_TAKEN)


def test_nothing_is_told_without_time_for_the_answer(
    wiring: Wiring, household: str, provider: ReservingProvider
) -> None:
    reserve(wiring)
    with pytest.raises(OutOfTime):
        wiring.ask_provider.work(PAYMENT_ID, wiring.clock.now() + timedelta(seconds=10))
    assert provider.results == []
