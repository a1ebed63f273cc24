"""Resolving refunds: every way out of a refund that failed, is in doubt, or got stuck."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import (
    HELD_MESSAGE,
    RECEIPT,
    REFUND_ARRIVES_WITHIN,
    REFUND_MESSAGES,
    SWEEPS_MAX,
    Payment,
    Refund,
    RefundState,
    Status,
    held,
)
from chalicelib.services.ports import OutcomeUnknown, RecoveryClass, RefundTaken
from chalicelib.services.refund import LOOKS_MAX, NotRefundable
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock, claim, kes
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes, differences
from tests.integration.services.fake_provider import (
    ON_CHANNEL,
    Died,
    FakeProvider,
    FakeProviders,
    ask_all,
    refusing,
    unclear,
)
from tests.integration.services.interruptions import Interrupted, Lost
from tests.integration.vendor import FakeCalin

PAYMENT_ID = "paystack-T1"
PAYER = "+254700000009"
SAID: dict[str, Any] = {"actor": ACTOR, "reason": "seen in the provider's console"}


@pytest.fixture
def provider() -> FakeProvider:
    """A provider that cannot be searched."""
    return FakeProvider(RecoveryClass.OPAQUE)


@pytest.fixture
def wiring(process: Processes, provider: FakeProvider) -> Wiring:
    """A process whose provider is the fake."""
    return process(providers=FakeProviders(provider))


def paid(counter: Counter, serial_number: str) -> Payment:
    return counter.pay(claim(serial_number, 500, payer_phone=PAYER, **ON_CHANNEL))


def given_back(counter: Counter, provider: FakeProvider, behaviour: Any) -> Payment:
    """The payment after a person asked for 200 of it, and the provider did that."""
    provider.behaviours = [behaviour]
    counter.wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(200), **SAID)
    counter.let_delays_pass()
    ask_all(counter)
    return now(counter)


@pytest.fixture
def unsettled(company: Company, counter: Counter) -> None:
    """500 for a device that nobody has; C1 has a meter."""
    company.customer(company.meter())
    paid(counter, "47999")


@pytest.fixture
def settled(company: Company, counter: Counter, calin: FakeCalin) -> None:
    """500 for the meter of C1, whose vend is uncertain."""
    company.customer(company.meter())
    calin.behaviours = [lambda request: (500, {})]
    paid(counter, METER)


@pytest.fixture(params=["unsettled", "settled"])
def either(request: pytest.FixtureRequest) -> None:
    """One or the other."""
    request.getfixturevalue(request.param)


def now(counter: Counter) -> Payment:
    return counter.now(PAYMENT_ID)


def standing_of(counter: Counter) -> tuple[Status, str | None, RefundState]:
    payment = now(counter)
    return payment.status, payment.reason, payment.refund(1).state


def refused_outcome(way: Callable[[], object], field: str = "outcome") -> None:
    with pytest.raises(FieldError) as caught:
        way()
    assert caught.value.field == field


# --- retry ----------------------------------------------------------------------------------------


def test_a_refused_refund_is_asked_for_again(
    counter: Counter, wiring: Wiring, provider: FakeProvider, either: None
) -> None:
    given_back(counter, provider, refusing)
    assert wiring.resolve.retry(PAYMENT_ID, **SAID).status is Status.REFUNDING
    ask_all(counter)
    assert provider.given_minor == [kes(200)]
    assert [call.number for call in provider.calls] == [1, 1]


def test_a_refund_in_doubt_is_not_asked_for_again_unless_it_is_said_that_it_was_not_made(
    counter: Counter, wiring: Wiring, provider: FakeProvider, either: None
) -> None:
    before = given_back(counter, provider, unclear)
    refused_outcome(lambda: wiring.resolve.retry(PAYMENT_ID, **SAID), "not_issued")
    assert now(counter) == before
    wiring.resolve.retry(PAYMENT_ID, not_issued=True, **SAID)
    ask_all(counter)
    assert provider.given_minor == [kes(200)]


def test_a_refund_in_doubt_is_looked_up_again_where_its_provider_can_be_searched(
    counter: Counter, wiring: Wiring, clock: FixedClock, provider: FakeProvider, either: None
) -> None:
    provider.refund_recovery = RecoveryClass.SEARCHABLE
    provider.lookups = [unclear] * LOOKS_MAX
    given_back(counter, provider, provider.take_unseen)
    for _ in range(LOOKS_MAX):
        clock.move(timedelta(hours=1))
        counter.let_delays_pass()
        ask_all(counter)
    assert standing_of(counter) == (Status.HELD, "refund_uncertain", RefundState.UNCERTAIN)
    provider.arrived = True
    wiring.resolve.retry(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert now(counter).refund(1).state is RefundState.DONE
    assert len(provider.calls) == 1


def test_a_refund_in_doubt_of_a_channel_that_cannot_be_asked_any_more_needs_a_word(
    counter: Counter, wiring: Wiring, process: Processes, provider: FakeProvider, unsettled: None
) -> None:
    class NoProviders:
        def get(self, channel: str) -> None:
            return None

    given_back(counter, provider, unclear)
    without = process(providers=NoProviders())
    refused_outcome(lambda: without.resolve.retry(PAYMENT_ID, **SAID), "not_issued")


@pytest.mark.parametrize("not_issued", [False, True])
@pytest.mark.parametrize("state", [RefundState.INTENDED, RefundState.CALLING])
def test_a_refund_that_got_stuck_goes_on_as_it_stands_and_is_never_called_twice(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
    unsettled: None,
    state: RefundState,
    not_issued: bool,
) -> None:
    wiring.give_back.refund(PAYMENT_ID, **SAID)
    if state is RefundState.CALLING:
        provider.behaviours = [provider.take_and_die]
        counter.let_delays_pass()
        with pytest.raises(Died):
            ask_all(counter)
    for _ in range(SWEEPS_MAX + 1):
        clock.move(timedelta(hours=1))
        wiring.sweep.sweep()
        counter.let_delays_pass()
        counter.cloud.take("provider-calls")
    assert standing_of(counter) == (Status.HELD, "stuck", state)
    wiring.resolve.retry(PAYMENT_ID, not_issued=not_issued, **SAID)
    assert standing_of(counter) == (Status.REFUNDING, None, state)
    counter.let_delays_pass()
    ask_all(counter)
    expected = RefundState.ACCEPTED if state is RefundState.INTENDED else RefundState.UNCERTAIN
    assert now(counter).refund(1).state is expected
    assert provider.given_minor == [kes(500)]


def test_of_a_refund_that_is_being_asked_for_a_person_says_nothing(
    counter: Counter, wiring: Wiring, clock: FixedClock, settled: None
) -> None:
    payment = wiring.give_back.refund(PAYMENT_ID, **SAID)
    (refund,) = payment.refunds
    calling = Refund(1, refund.amount_minor, RefundState.CALLING, attempts=1)
    under_way = payment.with_refund(calling)
    before = wiring.payments.save(held(under_way, "stuck", clock.now()))
    ways = (
        wiring.resolve.resolve_not_issued,
        wiring.resolve.resolve_refunded,
        wiring.resolve.resolve_credit,
    )
    for way in ways:
        refused_outcome(lambda way=way: way(PAYMENT_ID, **SAID))  # type: ignore[misc]
    assert now(counter) == before


# --- it was taken, and does not arrive ------------------------------------------------------------


@pytest.fixture
def slow(
    counter: Counter, wiring: Wiring, clock: FixedClock, provider: FakeProvider, unsettled: None
) -> Payment:
    """A refund of 200 that the provider took two weeks ago, and that has not arrived."""
    provider.refund_recovery = RecoveryClass.SEARCHABLE
    given_back(counter, provider, provider.take)
    clock.move(REFUND_ARRIVES_WITHIN + timedelta(hours=1))
    look(counter, wiring)
    return now(counter)


def look(counter: Counter, wiring: Wiring) -> None:
    """What is due by now is looked at, at the provider too."""
    wiring.sweep.sweep()
    counter.let_delays_pass()
    ask_all(counter)


SLOW = (Status.HELD, "refund_slow", RefundState.ACCEPTED)


def test_a_refund_that_does_not_arrive_is_held_once_and_still_looked_up_hourly(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
    slow: Payment,
    diary: Diary,
) -> None:
    assert standing_of(counter) == SLOW
    looks = provider.looks
    for _ in range(6):
        clock.move(timedelta(hours=1, minutes=1))
        look(counter, wiring)
    assert 5 <= provider.looks - looks <= 7
    assert standing_of(counter) == SLOW
    assert [e.reason for e in now(counter).events if e.what == "held"] == ["refund_slow"]
    assert diary.counted("Held") == 1
    provider.arrived = True
    clock.move(timedelta(hours=2))
    look(counter, wiring)
    assert now(counter).refund(1).state is RefundState.DONE
    assert len(provider.calls) == 1


def test_a_refund_that_does_not_arrive_is_looked_up_at_once_when_a_person_asks(
    counter: Counter, wiring: Wiring, provider: FakeProvider, slow: Payment
) -> None:
    provider.arrived = True
    looks = provider.looks
    wiring.resolve.retry(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert (provider.looks, len(provider.calls)) == (looks + 1, 1)
    assert now(counter).refund(1).state is RefundState.DONE


def test_a_refund_that_does_not_arrive_but_is_in_the_console_is_done(
    counter: Counter, wiring: Wiring, slow: Payment
) -> None:
    wiring.resolve.resolve_refunded(PAYMENT_ID, **SAID)
    assert standing_of(counter) == (Status.HELD, "partly_refunded", RefundState.DONE)


def test_a_refund_that_the_console_does_not_show_can_be_asked_for_again(
    counter: Counter, wiring: Wiring, provider: FakeProvider, slow: Payment
) -> None:
    wiring.resolve.resolve_not_issued(PAYMENT_ID, **SAID)
    assert standing_of(counter) == (Status.HELD, "refund_refused", RefundState.REFUSED)
    wiring.give_back.refund(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert len(provider.calls) == 2


def test_a_refund_that_does_not_arrive_is_not_begun_anew_nor_spent_otherwise(
    counter: Counter, wiring: Wiring, slow: Payment
) -> None:
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    refused_outcome(lambda: wiring.resolve.resolve_credit(PAYMENT_ID, **SAID))
    refused_outcome(lambda: wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID))
    assert now(counter) == slow


# --- it was made, or it was not -------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", [refusing, unclear])
def test_a_refund_that_the_console_shows_is_done_and_the_payer_is_told(
    counter: Counter, wiring: Wiring, provider: FakeProvider, settled: None, behaviour: Any
) -> None:
    given_back(counter, provider, behaviour)
    payment = wiring.resolve.resolve_refunded(PAYMENT_ID, **SAID)
    assert (payment.status, payment.refund(1).state) == (Status.REFUNDED, RefundState.DONE)
    counter.let_delays_pass()
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE, REFUND_MESSAGES + 1]
    assert differences(counter, "C1") == []


def test_a_refund_in_part_that_the_console_shows_leaves_the_rest_to_a_person(
    counter: Counter, wiring: Wiring, provider: FakeProvider, unsettled: None
) -> None:
    given_back(counter, provider, unclear)
    wiring.resolve.resolve_refunded(PAYMENT_ID, **SAID)
    assert standing_of(counter) == (Status.HELD, "partly_refunded", RefundState.DONE)


def test_a_refund_that_is_said_to_be_made_unseen_is_told_to_the_payer_all_the_same(
    counter: Counter, wiring: Wiring, process: Processes, provider: FakeProvider, settled: None
) -> None:
    given_back(counter, provider, unclear)
    broken = Interrupted(wiring.payments, save=[Lost(OutcomeUnknown())])
    with pytest.raises(OutcomeUnknown):
        process(payments=broken).resolve.resolve_refunded(PAYMENT_ID, **SAID)
    counter.let_delays_pass()
    counter.send_all()
    assert REFUND_MESSAGES + 1 in counter.told(PAYMENT_ID)


def test_a_refund_that_was_not_made_stays_refused_until_it_is_asked_for_again(
    counter: Counter, wiring: Wiring, provider: FakeProvider, either: None
) -> None:
    given_back(counter, provider, unclear)
    wiring.resolve.resolve_not_issued(PAYMENT_ID, **SAID)
    assert standing_of(counter) == (Status.HELD, "refund_refused", RefundState.REFUSED)
    ask_all(counter)
    assert provider.given_minor == []
    wiring.give_back.refund(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert provider.given_minor == [kes(200)]


@pytest.mark.parametrize("fixture", ["unsettled", "settled"])
def test_without_a_refund_nothing_was_made(
    wiring: Wiring, request: pytest.FixtureRequest, fixture: str
) -> None:
    request.getfixturevalue(fixture)
    refused_outcome(lambda: wiring.resolve.resolve_refunded(PAYMENT_ID, **SAID))


def test_money_that_is_due_to_go_back_has_no_vend_to_speak_about(
    wiring: Wiring, unsettled: None
) -> None:
    refused_outcome(lambda: wiring.resolve.resolve_not_issued(PAYMENT_ID, **SAID), "vend")


# --- its money goes another way -------------------------------------------------------------------


def test_the_money_of_a_refused_refund_becomes_credit(
    counter: Counter, wiring: Wiring, provider: FakeProvider, settled: None
) -> None:
    given_back(counter, provider, refusing)
    assert counter.account("C1").credit_minor == kes(300)
    payment = wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert (payment.status, payment.refund(1).state) == (Status.COMPLETED, RefundState.VOID)
    assert payment.lines[-2:] == (
        Line(LineKind.CREDIT, "C1", kes(300)),
        Line(LineKind.CREDIT, "C1", kes(200)),
    )
    assert (payment.account_versions, payment.kept_minor) == ((2, 3, 4), kes(500))
    assert counter.account("C1").credit_minor == kes(500)
    counter.let_delays_pass()
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [RECEIPT, HELD_MESSAGE]
    assert differences(counter, "C1") == []


def test_the_money_of_a_refund_in_doubt_becomes_neither_credit_nor_another_device_s(
    counter: Counter, wiring: Wiring, provider: FakeProvider, either: None
) -> None:
    before = given_back(counter, provider, unclear)
    refused_outcome(lambda: wiring.resolve.resolve_credit(PAYMENT_ID, **SAID))
    refused_outcome(lambda: wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID))
    assert now(counter) == before


def test_money_that_went_to_no_account_does_not_become_credit(
    wiring: Wiring, counter: Counter, provider: FakeProvider, unsettled: None
) -> None:
    given_back(counter, provider, refusing)
    refused_outcome(lambda: wiring.resolve.resolve_credit(PAYMENT_ID, **SAID))


def test_the_money_of_a_refused_refund_is_assigned_with_the_rest(
    counter: Counter, wiring: Wiring, provider: FakeProvider, unsettled: None, calin: FakeCalin
) -> None:
    given_back(counter, provider, refusing)
    wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)
    counter.run_dry()
    payment = now(counter)
    assert payment.lines == (Line(LineKind.ENERGY, METER, kes(500)),)
    assert (payment.status, payment.refund(1).state) == (Status.COMPLETED, RefundState.VOID)
    assert len(calin.issued) == 1
    assert differences(counter, "C1") == []


def test_a_void_refund_is_not_spoken_of_again_and_the_next_has_the_next_number(
    counter: Counter, wiring: Wiring, provider: FakeProvider, unsettled: None, calin: FakeCalin
) -> None:
    given_back(counter, provider, refusing)
    wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)
    calin.behaviours = [lambda request: (500, {})]
    counter.run_dry()
    wiring.give_back.refund(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert [(r.number, r.state) for r in now(counter).refunds] == [
        (1, RefundState.VOID),
        (2, RefundState.ACCEPTED),
    ]
    wiring.give_back.told(PAYMENT_ID, kes(500), RefundTaken("R1", done=True))
    assert now(counter).status is Status.REFUNDED
    counter.send_all()
    assert counter.told(PAYMENT_ID)[-1] == REFUND_MESSAGES + 2
    assert differences(counter, "C1") == []
