"""Refunds: what bought nothing goes back to the payer, once, whoever else is at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.account import DeviceAccount
from chalicelib.domain.allocation import Line, LineKind, VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import (
    HELD_MESSAGE,
    REFUND_MESSAGES,
    STUCK,
    SWEEPS_MAX,
    UNUSABLE_MESSAGE,
    Payment,
    Refund,
    RefundState,
    Status,
    VendState,
    held,
    standing,
    vend_done,
)
from chalicelib.manufacturers.calin import Calin
from chalicelib.manufacturers.sts import STEP
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    Device,
    NotAtProvider,
    OutcomeUnknown,
    ProviderRefused,
    QueueUnavailable,
    RecoveryClass,
    RefundTaken,
    SecretMissing,
    TryAgain,
    VersionConflict,
)
from chalicelib.services.refund import (
    CALLS_MAX,
    LOOKS_MAX,
    RETRY_SECONDS_MAX,
    WRITES_MAX,
    FullRefundOnly,
    NotRefundable,
)
from chalicelib.services.resolve import NotHeld, PaymentNotFound
from chalicelib.services.vend import OutOfTime
from chalicelib.wiring import Wiring
from tests.integration.company import (
    METER,
    NOW,
    SHS,
    TODAY,
    Company,
    FixedClock,
    claim,
    kes,
    plan,
)
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes, differences
from tests.integration.services.fake_provider import (
    ON_CHANNEL,
    Died,
    FakeProvider,
    FakeProviders,
    ask_all,
    failing,
    refusing,
    unclear,
    unreachable,
)
from tests.integration.services.interruptions import Interrupted, Lost
from tests.integration.vendor import FakeCalin

PAYMENT_ID = "paystack-T1"
NOBODYS = "47999"
PAYER = "+254700000009"
REFUNDED_MESSAGE = REFUND_MESSAGES + 1
SAID: dict[str, Any] = {"actor": ACTOR, "reason": "the customer asked for it"}
DEAD_SECONDS = 31  # the time-out, the margin, and one


@pytest.fixture
def provider() -> FakeProvider:
    """A provider that can be searched."""
    return FakeProvider()


@pytest.fixture
def wiring(process: Processes, provider: FakeProvider) -> Wiring:
    """A process whose provider is the fake."""
    return process(providers=FakeProviders(provider))


@pytest.fixture
def another(process: Processes, provider: FakeProvider) -> Callable[..., Wiring]:
    """Starts another process with the same provider, in which the named ports are replaced."""
    return lambda **ports: process(providers=FakeProviders(provider), **ports)


Another = Callable[..., Wiring]


def paid(counter: Counter, serial_number: str, amount: int = 500, number: int = 1) -> Payment:
    """Money that came in through the provider, and all that followed but the provider's calls."""
    transaction = f"T{number}"
    return counter.pay(claim(serial_number, amount, transaction, payer_phone=PAYER, **ON_CHANNEL))


@pytest.fixture
def due(company: Company, counter: Counter) -> Payment:
    """500 for a device that nobody has; customer C1 has a meter."""
    company.customer(company.meter())
    return paid(counter, NOBODYS)


@pytest.fixture
def begun(counter: Counter, wiring: Wiring, due: Payment) -> Payment:
    """The same, of which a person asked for the refund: its call is queued."""
    lose_calls(counter)
    return wiring.give_back.refund(PAYMENT_ID, **SAID)


def refused_vend(request: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"result_code": 3, "reason": "no such meter", "result": ""}


def unclear_vend(request: dict[str, Any]) -> tuple[int, Any]:
    return 500, {}


@pytest.fixture
def uncertain(company: Company, counter: Counter, calin: FakeCalin) -> Payment:
    """500 for the meter of C1, whose vend is uncertain."""
    company.customer(company.meter())
    calin.behaviours = [unclear_vend]
    return paid(counter, METER)


def now(counter: Counter) -> Payment:
    return counter.now(PAYMENT_ID)


def the_refund(counter: Counter) -> Refund:
    return now(counter).refund(1)


def standing_of(counter: Counter) -> tuple[Status, str | None]:
    payment = now(counter)
    return payment.status, payment.reason


def after(counter: Counter, clock: FixedClock, seconds: float) -> None:
    """Let time pass, and ask about what is queued by then."""
    clock.move(timedelta(seconds=seconds))
    counter.let_delays_pass()
    ask_all(counter)


def lose_calls(counter: Counter) -> None:
    """Take away every message about the provider, those that are still to come included."""
    counter.let_delays_pass()
    counter.cloud.take("provider-calls")


def asked_until_quiet(counter: Counter, clock: FixedClock, rounds: int = 40) -> list[int]:
    """Let time pass from one call to the next; answer the seconds between them."""
    waited: list[int] = []
    for _ in range(rounds):
        seconds = counter.delays("provider-calls")
        if not seconds:
            return waited
        (wait,) = seconds
        waited.append(wait)
        clock.move(timedelta(seconds=wait))
        ask_all(counter)
    raise AssertionError(f"still asking after {waited}")


def refund_after(company: Company, minutes: int) -> None:
    """Choose how long money without a valid device waits for a person."""
    company.choose(refund_after_minutes=minutes)


def books_are_right(counter: Counter, customer_id: str = "C1", **sold: Any) -> bool:
    """Whether the books of the customer add up, and the lines of the payment to what is kept."""
    payment = now(counter)
    lines_minor = sum(line.amount_minor for line in payment.lines)
    assert payment.settled_at is None or lines_minor == payment.kept_minor
    return differences(counter, customer_id, *sold.get("plans", ())) == []


# --- money without a valid device goes back by itself ---------------------------------------------


def test_money_goes_back_by_itself_when_nobody_has_assigned_it_in_time(
    counter: Counter, clock: FixedClock, provider: FakeProvider, due: Payment
) -> None:
    provider.behaviours = [provider.take_at_once]
    assert due.status is Status.REFUND_DUE
    assert counter.delays("provider-calls") == [15 * 60]
    after(counter, clock, 15 * 60)
    payment = now(counter)
    assert (payment.status, payment.reason, payment.check_at) == (Status.REFUNDED, None, None)
    assert payment.refund(1) == Refund(
        1, kes(500), RefundState.DONE, attempts=1, called_at=clock.now(), reference="R1"
    )
    assert provider.given_minor == [kes(500)]
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [UNUSABLE_MESSAGE, REFUNDED_MESSAGE]
    (told,) = [m for m in counter.wiring.messages.of_payment(PAYMENT_ID) if m.number > 100]
    assert (told.to, "returned KES 500.00" in told.body) == (PAYER, True)
    assert books_are_right(counter)


def test_where_no_time_is_left_to_assign_it_money_goes_back_at_once(
    company: Company, counter: Counter, provider: FakeProvider
) -> None:
    refund_after(company, minutes=0)
    paid(counter, NOBODYS)
    ask_all(counter)
    assert provider.given_minor == [kes(500)]


def test_a_message_that_comes_too_early_does_nothing(
    counter: Counter, wiring: Wiring, clock: FixedClock, provider: FakeProvider, due: Payment
) -> None:
    lose_calls(counter)
    clock.move(timedelta(minutes=15, seconds=-1))
    wiring.queues.provider_call(PAYMENT_ID)
    ask_all(counter)
    assert (now(counter), provider.calls) == (due, [])


def test_after_a_wait_longer_than_a_message_s_the_sweeper_begins_the_refund(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
) -> None:
    refund_after(company, minutes=120)
    paid(counter, NOBODYS)
    assert counter.delays("provider-calls") == []
    clock.move(timedelta(minutes=119))
    assert wiring.sweep.sweep() == 0
    clock.move(timedelta(minutes=1))
    assert wiring.sweep.sweep() == 1
    ask_all(counter)
    assert provider.given_minor == [kes(500)]


@pytest.mark.parametrize("way", ["assign", "retry"])
def test_what_a_person_sends_on_its_way_in_time_is_settled_and_never_given_back(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
    due: Payment,
    way: str,
) -> None:
    if way == "assign":
        wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)
    else:
        company.customer(company.meter(NOBODYS), phone="+254700000002")
        wiring.resolve.retry(PAYMENT_ID, **SAID)
    after(counter, clock, 15 * 60)
    counter.run_dry()
    after(counter, clock, 15 * 60)
    payment = now(counter)
    assert (payment.status, payment.refunds) == (Status.COMPLETED, ())
    assert (payment.refund_at, provider.calls) == (None, [])
    assert books_are_right(counter, payment.customer_id or "")


def test_an_assignment_that_is_faster_than_the_message_wins(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    another: Another,
    provider: FakeProvider,
    due: Payment,
) -> None:
    def assign() -> None:
        wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)

    clock.move(timedelta(minutes=15))
    slower = another(payments=Interrupted(wiring.payments, save=[assign]))
    with pytest.raises(VersionConflict):
        slower.ask_provider.work(PAYMENT_ID, clock.now() + timedelta(minutes=1))
    after(counter, clock, 0)
    counter.run_dry()
    assert (now(counter).status, provider.calls) == (Status.COMPLETED, [])
    assert books_are_right(counter)


def test_an_assignment_that_is_slower_than_the_message_is_told_that_it_is_not_held(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    another: Another,
    provider: FakeProvider,
    due: Payment,
) -> None:
    meanwhile = [lambda: after(counter, clock, 15 * 60)]
    slower = another(payments=Interrupted(wiring.payments, save=meanwhile))
    with pytest.raises(NotHeld):
        slower.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)
    assert provider.given_minor == [kes(500)]
    assert now(counter).serial_number == NOBODYS
    assert books_are_right(counter)


def test_of_two_messages_at_once_one_begins_the_refund(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    another: Another,
    provider: FakeProvider,
    due: Payment,
) -> None:
    meanwhile = [lambda: after(counter, clock, 15 * 60)]
    slower = another(payments=Interrupted(wiring.payments, save=meanwhile))
    clock.move(timedelta(minutes=15))
    with pytest.raises(VersionConflict):
        slower.ask_provider.work(PAYMENT_ID, clock.now() + timedelta(minutes=1))
    slower.ask_provider.work(PAYMENT_ID, clock.now() + timedelta(minutes=1))
    assert provider.given_minor == [kes(500)]
    assert len(now(counter).refunds) == 1


# --- the provider is asked ------------------------------------------------------------------------


def test_the_money_has_left_the_payment_when_the_provider_is_asked(
    counter: Counter, provider: FakeProvider, begun: Payment
) -> None:
    seen: list[Payment] = []

    def look(payment: Payment, refund: Refund) -> RefundTaken:
        assert payment == now(counter)
        seen.append(payment)
        return provider.take(payment, refund)

    provider.behaviours = [look]
    ask_all(counter)
    (payment,) = seen
    assert (payment.status, payment.kept_minor) == (Status.REFUNDING, 0)
    assert payment.refund(1).state is RefundState.CALLING


def test_a_refund_that_was_taken_is_looked_at_less_and_less_and_then_hourly_until_it_is_done(
    counter: Counter, wiring: Wiring, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    waited = asked_until_quiet(counter, clock)
    assert waited == sorted(waited), "no wait is shorter than the one before"
    assert (waited[1], waited[-1]) == (2, RETRY_SECONDS_MAX)
    assert standing_of(counter) == (Status.REFUNDING, None)
    looks = provider.looks
    for _ in range(3 * 6):
        clock.move(timedelta(minutes=10))
        wiring.sweep.sweep()
        after(counter, clock, 0)
    assert 2 <= provider.looks - looks <= 3, "about hourly, whatever the sweeper does"
    assert standing_of(counter) == (Status.REFUNDING, None)
    provider.arrived = True
    clock.move(timedelta(hours=2))
    wiring.sweep.sweep()
    ask_all(counter)
    assert now(counter).status is Status.REFUNDED
    assert len(provider.calls) == 1
    counter.send_all()
    assert REFUNDED_MESSAGE in counter.told(PAYMENT_ID)


def test_a_refund_on_its_way_is_never_called_stuck(
    counter: Counter, wiring: Wiring, clock: FixedClock, begun: Payment
) -> None:
    ask_all(counter)
    for _ in range(2 * SWEEPS_MAX):
        lose_calls(counter)
        clock.move(timedelta(hours=1))
        wiring.sweep.sweep()
    assert standing_of(counter) == (Status.REFUNDING, None)


def test_a_refund_that_the_provider_refuses_waits_for_a_person(
    counter: Counter, provider: FakeProvider, begun: Payment, diary: Diary
) -> None:
    provider.behaviours = [refusing]
    ask_all(counter)
    assert standing_of(counter) == (Status.HELD, "refund_refused")
    assert ("refund_refused", "already_reversed") in events_of(counter)
    assert counter.delays("provider-calls") == []
    assert diary.counted("Held") == 1
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [UNUSABLE_MESSAGE]


def events_of(counter: Counter) -> list[tuple[str, str | None]]:
    return [(event.what, event.reason) for event in now(counter).events]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (unreachable, "provider_unreachable"),
        (failing(SecretMissing("channels/paystack")), "credentials_missing"),
    ],
)
def test_a_provider_that_is_not_reached_is_asked_again_so_often_and_then_a_person_is(
    counter: Counter,
    clock: FixedClock,
    provider: FakeProvider,
    begun: Payment,
    failure: Any,
    reason: str,
) -> None:
    provider.behaviours = [failure] * CALLS_MAX
    assert asked_until_quiet(counter, clock) == [0, 30, 60, 120, 240, 480]
    assert len(provider.calls) == CALLS_MAX
    assert standing_of(counter) == (Status.HELD, "refund_refused")
    whys = [why for what, why in events_of(counter) if what == "refund_refused"]
    assert whys == [reason] * CALLS_MAX


def test_a_provider_that_is_reached_at_the_second_try_gives_back_once(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.behaviours = [unreachable, provider.take_at_once]
    asked_until_quiet(counter, clock)
    assert now(counter).status is Status.REFUNDED
    assert provider.given_minor == [kes(500)]
    assert [call.attempts for call in provider.calls] == [1, 2]


def test_a_call_that_would_outlast_the_function_is_not_made(
    wiring: Wiring, clock: FixedClock, counter: Counter, provider: FakeProvider, begun: Payment
) -> None:
    with pytest.raises(OutOfTime):
        wiring.ask_provider.work(PAYMENT_ID, clock.now() + timedelta(seconds=29))
    assert (now(counter), provider.calls) == (begun, [])
    wiring.ask_provider.work(PAYMENT_ID, clock.now() + timedelta(seconds=30))
    assert len(provider.calls) == 1


# --- nobody knows what became of it ---------------------------------------------------------------


def test_a_refund_whose_answer_was_lost_is_found_and_not_asked_for_again(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.behaviours = [provider.take_unseen]
    provider.arrived = True
    assert asked_until_quiet(counter, clock) == [0, 2]
    assert now(counter).status is Status.REFUNDED
    assert the_refund(counter).reference == "R1"
    assert (len(provider.calls), provider.given_minor) == (1, [kes(500)])


def test_a_refund_that_is_not_found_is_asked_for_again_only_once_it_would_surely_show(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.behaviours = [unclear]
    called_at = clock.now()
    while len(provider.calls) == 1 or clock.now() == called_at:
        (wait,) = counter.delays("provider-calls")
        clock.move(timedelta(seconds=wait))
        ask_all(counter)
    assert clock.now() - called_at == timedelta(seconds=60)
    assert provider.given_minor == [kes(500)]
    assert the_refund(counter).attempts == 2


def test_an_absence_that_was_seen_too_early_is_not_believed_because_the_answer_took_long(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.behaviours = [provider.take_unseen]

    def slowly_absent(payment: Payment, refund: Refund) -> RefundTaken:
        clock.move(timedelta(seconds=19))
        raise NotAtProvider

    provider.lookups = [slowly_absent]
    ask_all(counter)
    after(counter, clock, 45)
    after(counter, clock, 2)
    assert (len(provider.calls), provider.looks) == (1, 2)
    assert the_refund(counter).state is RefundState.ACCEPTED


def test_of_what_is_absent_again_and_again_a_person_must_be_told(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.refund_absent_after_seconds = 0
    provider.behaviours = [unclear] * CALLS_MAX
    asked_until_quiet(counter, clock)
    assert len(provider.calls) == CALLS_MAX
    assert standing_of(counter) == (Status.HELD, "refund_refused")
    assert events_of(counter)[-2:] == [("refund_refused", "absent"), ("held", "refund_refused")]


@pytest.mark.parametrize(
    "silence",
    [unclear, unreachable, failing(SecretMissing("channels/paystack")), failing(NotAtProvider())],
)
def test_of_what_no_look_up_tells_a_person_must_find_out(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment, silence: Any
) -> None:
    provider.refund_absent_after_seconds = 100_000
    provider.behaviours = [provider.take_unseen]
    provider.lookups = [silence] * 100
    waited = asked_until_quiet(counter, clock)
    assert standing_of(counter) == (Status.HELD, "refund_uncertain")
    assert (len(provider.calls), provider.looks) == (1, LOOKS_MAX)
    assert waited == sorted(waited)
    assert [what for what, _ in events_of(counter)].count("refund_uncertain") == 2


def test_a_repeatable_refund_is_asked_for_again_under_its_number_and_given_once(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.refund_recovery = RecoveryClass.REPEATABLE
    provider.behaviours = [provider.take_unseen]
    ask_all(counter)
    after(counter, clock, 10)
    assert [call.number for call in provider.calls] == [1, 1]
    assert provider.given_minor == [kes(500)]
    assert the_refund(counter).state is RefundState.ACCEPTED


def test_a_repeatable_refund_is_not_repeated_for_ever(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.refund_recovery = RecoveryClass.REPEATABLE
    provider.behaviours = [unclear] * 20
    asked_until_quiet(counter, clock)
    assert len(provider.calls) == CALLS_MAX
    assert standing_of(counter) == (Status.HELD, "refund_uncertain")


@pytest.mark.parametrize("no", [refusing, unreachable])
def test_a_no_after_a_call_that_told_nothing_says_nothing_of_that_call(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment, no: Any
) -> None:
    """Perhaps it is refused *because* the money has gone."""
    provider.refund_recovery = RecoveryClass.REPEATABLE
    provider.behaviours = [provider.take_unseen, *[no] * (CALLS_MAX - 1)]
    asked_until_quiet(counter, clock)
    assert len(provider.calls) == CALLS_MAX
    assert standing_of(counter) == (Status.HELD, "refund_uncertain")
    assert (the_refund(counter).state, the_refund(counter).in_doubt) == (
        RefundState.UNCERTAIN,
        True,
    )


def test_a_no_to_the_repetition_of_what_was_absent_is_looked_up(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    def take_and_refuse(payment: Payment, refund: Refund) -> RefundTaken:
        provider.take(payment, refund)
        raise ProviderRefused("already_reversed")

    provider.behaviours = [unclear, take_and_refuse]
    asked_until_quiet(counter, clock)
    assert len(provider.calls) == 2
    assert provider.given_minor == [kes(500)]
    assert the_refund(counter).state is RefundState.ACCEPTED


def test_of_a_provider_that_cannot_tell_a_person_must_find_out_at_once(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE
    provider.behaviours = [provider.take_unseen]
    asked_until_quiet(counter, clock)
    assert standing_of(counter) == (Status.HELD, "refund_uncertain")
    assert (len(provider.calls), provider.looks) == (1, 0)


@pytest.mark.parametrize(
    ("recovery", "calls", "state"),
    [
        (RecoveryClass.SEARCHABLE, 1, RefundState.ACCEPTED),
        (RecoveryClass.REPEATABLE, 2, RefundState.ACCEPTED),
        (RecoveryClass.OPAQUE, 1, RefundState.UNCERTAIN),
    ],
)
def test_a_worker_that_died_after_the_call_leaves_a_refund_of_which_nobody_knows(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
    begun: Payment,
    recovery: RecoveryClass,
    calls: int,
    state: RefundState,
) -> None:
    provider.refund_recovery = recovery
    provider.behaviours = [provider.take_and_die]
    with pytest.raises(Died):
        ask_all(counter)
    wiring.queues.provider_call(PAYMENT_ID)  # the message comes back
    ask_all(counter)
    assert the_refund(counter).state is RefundState.CALLING, "its lease is running"
    assert counter.delays("provider-calls") == [DEAD_SECONDS]
    after(counter, clock, DEAD_SECONDS)
    assert the_refund(counter).state is RefundState.UNCERTAIN
    after(counter, clock, 60)
    assert the_refund(counter).state is state
    assert (len(provider.calls), provider.given_minor) == (calls, [kes(500)])


def test_a_refund_that_failed_after_it_was_taken_waits_for_a_person(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.lookups = [failing(ProviderRefused("failed"))]
    ask_all(counter)
    after(counter, clock, 2)
    assert standing_of(counter) == (Status.HELD, "refund_refused")
    assert len(provider.calls) == 1


@pytest.mark.parametrize(
    "silence", [unclear, unreachable, failing(SecretMissing("x")), failing(NotAtProvider())]
)
def test_a_refund_that_was_taken_stays_so_whatever_look_ups_do_not_tell(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment, silence: Any
) -> None:
    provider.lookups = [silence] * 30
    ask_all(counter)
    for _ in range(8):
        after(counter, clock, 3600)
        counter.wiring.sweep.sweep()
    refund = the_refund(counter)
    assert (refund.state, refund.reference) == (RefundState.ACCEPTED, "R1")
    assert len(provider.calls) == 1


# --- the answer has to be written -----------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [VersionConflict(), TryAgain(), OutcomeUnknown(), Lost(OutcomeUnknown())]
)
def test_an_answer_that_meets_a_busy_store_is_written_all_the_same_and_once(
    counter: Counter,
    wiring: Wiring,
    another: Another,
    provider: FakeProvider,
    begun: Payment,
    error: Any,
) -> None:
    provider.behaviours = [provider.take_at_once]
    calling, answering_ = None, error
    payments = Interrupted(wiring.payments, save=[calling, answering_])
    ask_all(counter, by=another(payments=payments))
    assert now(counter).status is Status.REFUNDED
    assert provider.given_minor == [kes(500)]
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [UNUSABLE_MESSAGE, REFUNDED_MESSAGE]


def test_an_answer_that_cannot_be_written_is_looked_up_later(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    another: Another,
    provider: FakeProvider,
    begun: Payment,
) -> None:
    provider.arrived = True
    payments = Interrupted(wiring.payments, save=[None, *[TryAgain()] * WRITES_MAX])
    with pytest.raises(TryAgain):
        ask_all(counter, by=another(payments=payments))
    wiring.queues.provider_call(PAYMENT_ID)
    after(counter, clock, DEAD_SECONDS)
    after(counter, clock, 2)
    assert now(counter).status is Status.REFUNDED
    assert provider.given_minor == [kes(500)]


def test_a_call_that_could_not_be_noted_is_not_made(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    another: Another,
    provider: FakeProvider,
    begun: Payment,
) -> None:
    broken = Interrupted(wiring.payments, save=[Lost(OutcomeUnknown())])
    with pytest.raises(OutcomeUnknown):
        ask_all(counter, by=another(payments=broken))
    assert provider.calls == []
    assert the_refund(counter).state is RefundState.CALLING, (
        "so nobody calls before it is looked up"
    )
    wiring.queues.provider_call(PAYMENT_ID)
    after(counter, clock, DEAD_SECONDS)
    asked_until_quiet(counter, clock)
    assert provider.given_minor == [kes(500)]


def test_an_sms_that_could_not_be_queued_is_queued_when_the_message_comes_back(
    counter: Counter, wiring: Wiring, another: Another, provider: FakeProvider, begun: Payment
) -> None:
    provider.behaviours = [provider.take_at_once]
    broken = Interrupted(wiring.queues, message=[QueueUnavailable()])
    with pytest.raises(QueueUnavailable):
        ask_all(counter, by=another(queues=broken))
    assert now(counter).status is Status.REFUNDED
    wiring.queues.provider_call(PAYMENT_ID)
    ask_all(counter)
    counter.send_all()
    assert REFUNDED_MESSAGE in counter.told(PAYMENT_ID)


def test_a_late_answer_completes_a_refund_of_which_nobody_knew(
    counter: Counter, wiring: Wiring, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE

    def slowly(payment: Payment, refund: Refund) -> RefundTaken:
        wiring.queues.provider_call(PAYMENT_ID)
        after(counter, clock, DEAD_SECONDS)
        assert standing_of(counter) == (Status.HELD, "refund_uncertain")
        return provider.take_at_once(payment, refund)

    provider.behaviours = [slowly]
    ask_all(counter)
    assert now(counter).status is Status.REFUNDED


def test_bad_news_is_out_of_date_where_the_refund_was_found_since(
    counter: Counter, wiring: Wiring, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    """Two look-ups at once: the one that began first did not find it."""
    provider.behaviours = [provider.take_unseen]

    def overtaken(payment: Payment, refund: Refund) -> RefundTaken:
        wiring.queues.provider_call(PAYMENT_ID)
        ask_all(counter)
        assert the_refund(counter).state is RefundState.ACCEPTED
        raise NotAtProvider

    provider.lookups = [overtaken]
    ask_all(counter)
    after(counter, clock, 60)
    assert the_refund(counter).state is RefundState.ACCEPTED
    asked_until_quiet(counter, clock)
    assert provider.given_minor == [kes(500)]


def resolved_while_asked(
    counter: Counter, wiring: Wiring, clock: FixedClock, decide: Callable[[], object]
) -> Callable[[Payment, Refund], None]:
    """The call outlasts its lease, and a person decides meanwhile."""

    def wait(payment: Payment, refund: Refund) -> None:
        wiring.queues.provider_call(PAYMENT_ID)
        after(counter, clock, DEAD_SECONDS)
        wiring.resolve.resolve_not_issued(PAYMENT_ID, **SAID)
        decide()

    return wait


def test_a_late_word_that_it_went_is_believed_while_the_money_has_not_gone_elsewhere(
    counter: Counter, wiring: Wiring, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE
    wait = resolved_while_asked(counter, wiring, clock, lambda: None)

    def slowly(payment: Payment, refund: Refund) -> RefundTaken:
        wait(payment, refund)
        return provider.take_at_once(payment, refund)

    provider.behaviours = [slowly]
    ask_all(counter)
    assert now(counter).status is Status.REFUNDED


def test_a_late_word_that_it_went_is_an_alarm_where_the_money_has_gone_elsewhere(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
    diary: Diary,
    begun: Payment,
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE

    def assign() -> None:
        wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)

    wait = resolved_while_asked(counter, wiring, clock, assign)

    def slowly(payment: Payment, refund: Refund) -> RefundTaken:
        wait(payment, refund)
        return provider.take_at_once(payment, refund)

    provider.behaviours = [slowly]
    ask_all(counter)
    assert diary.counted("LateRefundAnswers") == 1
    assert diary.rings("late-refund-answers")
    assert ("late_refund_answer", "refund 1, attempt 1") in events_of(counter)
    counter.run_dry()
    assert now(counter).status is Status.COMPLETED
    assert REFUNDED_MESSAGE not in counter.told(PAYMENT_ID)
    assert books_are_right(counter)


@pytest.mark.parametrize("late", [refusing, unclear])
def test_a_late_word_that_it_did_not_go_changes_nothing_and_is_no_alarm(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
    diary: Diary,
    begun: Payment,
    late: Any,
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE

    def assign() -> None:
        wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)

    wait = resolved_while_asked(counter, wiring, clock, assign)

    def slowly(payment: Payment, refund: Refund) -> RefundTaken:
        wait(payment, refund)
        taken: RefundTaken = late(payment, refund)
        return taken

    provider.behaviours = [slowly]
    ask_all(counter)
    assert diary.counted("LateRefundAnswers") == 0
    assert not diary.rings("late-refund-answers")
    assert now(counter).status is Status.RECEIVED


@pytest.mark.parametrize("second", [RefundState.ACCEPTED, RefundState.DONE])
def test_the_late_answer_of_an_earlier_attempt_is_an_alarm_for_money_may_have_gone_twice(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
    diary: Diary,
    begun: Payment,
    second: RefundState,
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE

    def again() -> None:
        wiring.resolve.retry(PAYMENT_ID, **SAID)
        ask_all(counter)

    wait = resolved_while_asked(counter, wiring, clock, again)

    def slowly(payment: Payment, refund: Refund) -> RefundTaken:
        wait(payment, refund)
        assert the_refund(counter).state is second
        return provider.take_at_once(payment, refund)

    done = second is RefundState.DONE
    provider.behaviours = [slowly, provider.take_at_once if done else provider.take]
    ask_all(counter)
    assert the_refund(counter).attempts == 2
    assert diary.counted("LateRefundAnswers") == 1


# --- messages about what is not to be asked -------------------------------------------------------


def test_a_message_about_a_payment_that_is_further_on_asks_nobody(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.behaviours = [provider.take_at_once]
    for _ in range(3):
        counter.wiring.queues.provider_call(PAYMENT_ID)
    ask_all(counter)
    assert len(provider.calls) == 1
    assert counter.delays("provider-calls") == []
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [UNUSABLE_MESSAGE, REFUNDED_MESSAGE]


def test_a_message_that_comes_before_the_next_look_comes_back_then(
    counter: Counter, provider: FakeProvider, begun: Payment
) -> None:
    ask_all(counter)
    lose_calls(counter)
    counter.wiring.queues.provider_call(PAYMENT_ID)
    ask_all(counter)
    assert (len(provider.calls), provider.looks) == (1, 0)
    assert counter.delays("provider-calls") == [2]


# --- a person gives back: money that went to no account -------------------------------------------


def test_a_person_can_give_back_what_waits_for_its_time(
    counter: Counter, wiring: Wiring, provider: FakeProvider, due: Payment
) -> None:
    payment = wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert (payment.status, payment.refund_at, payment.kept_minor) == (Status.REFUNDING, None, 0)
    ask_all(counter)
    assert provider.given_minor == [kes(500)]
    (event,) = [e for e in now(counter).events if e.actor]
    assert (event.what, event.actor, event.reason) == ("refund", ACTOR, SAID["reason"])


def test_of_money_that_was_given_back_in_part_the_rest_waits_and_can_be_assigned(
    counter: Counter, wiring: Wiring, provider: FakeProvider, due: Payment
) -> None:
    provider.behaviours = [provider.take_at_once]
    wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(200), **SAID)
    ask_all(counter)
    assert standing_of(counter) == (Status.HELD, "partly_refunded")
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [UNUSABLE_MESSAGE, REFUNDED_MESSAGE]

    wiring.resolve.resolve_assign(PAYMENT_ID, serial_number=METER, **SAID)
    counter.run_dry()
    payment = now(counter)
    assert payment.lines == (Line(LineKind.ENERGY, METER, kes(300)),)
    assert [(v.units, v.state) for v in payment.vends] == [(Fraction(3), VendState.DONE)]
    assert payment.status is Status.REFUNDED
    assert books_are_right(counter)


def test_what_is_left_of_a_refund_in_part_can_be_given_back_too(
    counter: Counter, wiring: Wiring, provider: FakeProvider, due: Payment
) -> None:
    provider.arrived = True
    provider.behaviours = [provider.take_at_once, provider.take_at_once]
    wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(200), **SAID)
    ask_all(counter)
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(301), **SAID)
    wiring.give_back.refund(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert provider.given_minor == [kes(200), kes(300)]
    assert now(counter).status is Status.REFUNDED
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [UNUSABLE_MESSAGE, REFUNDED_MESSAGE, REFUNDED_MESSAGE + 1]


@pytest.mark.parametrize("amount_minor", [-1, 0, kes(500) + 1])
def test_neither_nothing_nor_more_than_there_is_can_be_given_back(
    counter: Counter, wiring: Wiring, due: Payment, amount_minor: int
) -> None:
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, amount_minor=amount_minor, **SAID)
    assert now(counter) == due


def test_a_channel_that_gives_back_all_or_nothing_gives_back_all(
    counter: Counter, wiring: Wiring, provider: FakeProvider, due: Payment
) -> None:
    provider.full_refunds_only = True
    with pytest.raises(FullRefundOnly):
        wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(200), **SAID)
    assert now(counter) == due
    wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(500), **SAID)
    ask_all(counter)
    assert provider.given_minor == [kes(500)]


def test_nothing_is_given_back_through_a_channel_that_has_no_way_to(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    before = counter.pay(claim(NOBODYS, 500))
    assert before.status is Status.HELD
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(before.payment_id, **SAID)
    assert counter.now(before.payment_id) == before


def test_what_does_not_exist_or_is_not_held_is_not_given_back(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    with pytest.raises(PaymentNotFound):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    company.customer(company.meter())
    before = paid(counter, METER)
    assert before.status is Status.COMPLETED
    with pytest.raises(NotHeld):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert now(counter) == before


# --- a person gives back: money of a settled payment ----------------------------------------------


Trouble = Callable[[Counter], object]
TROUBLES: dict[str, tuple[Any, Trouble]] = {
    "refused": (refused_vend, lambda counter: None),
    "uncertain": (unclear_vend, lambda counter: None),
    "void": (
        unclear_vend,
        lambda counter: counter.wiring.resolve.resolve_not_issued(PAYMENT_ID, **SAID),
    ),
}
every_trouble = pytest.mark.parametrize(("vendor", "then"), TROUBLES.values(), ids=TROUBLES)


@every_trouble
@pytest.mark.parametrize("amount", [None, 500, 200])
def test_what_a_vend_did_not_bring_goes_back_and_the_rest_is_credit(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    calin: FakeCalin,
    provider: FakeProvider,
    vendor: Any,
    then: Trouble,
    amount: int | None,
) -> None:
    company.customer(company.meter())
    calin.behaviours = [vendor]
    paid(counter, METER)
    then(counter)
    amount_minor = None if amount is None else kes(amount)
    payment = wiring.give_back.refund(PAYMENT_ID, amount_minor=amount_minor, **SAID)
    given_minor = kes(500) if amount_minor is None else amount_minor

    assert payment.status is Status.REFUNDING
    assert [(v.state, v.closed) for v in payment.vends] == [(VendState.VOID, True)]
    assert payment.lines[:2] == (
        Line(LineKind.ENERGY, METER, kes(500)),
        Line(LineKind.ENERGY, METER, -kes(500)),
    )
    assert payment.account_versions == (2, 3)
    assert counter.account("C1").credit_minor == kes(500) - given_minor
    assert books_are_right(counter)

    provider.behaviours = [provider.take_at_once]
    ask_all(counter)
    assert provider.given_minor == [given_minor]
    assert standing_of(counter) == (Status.REFUNDED, None)
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE, REFUNDED_MESSAGE]
    assert books_are_right(counter)


def test_the_money_has_left_the_account_before_the_provider_is_asked(
    counter: Counter, wiring: Wiring, provider: FakeProvider, uncertain: Payment
) -> None:
    versions: list[int] = []

    def look(payment: Payment, refund: Refund) -> RefundTaken:
        versions.append(counter.account("C1").version)
        return provider.take(payment, refund)

    provider.behaviours = [look]
    wiring.give_back.refund(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert versions == [3]


def test_the_carry_that_a_vend_had_used_returns_to_its_meter(
    company: Company, counter: Counter, wiring: Wiring, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    paid(counter, METER, 505, number=2)
    assert carry(counter) == Fraction(kes(5))
    calin.behaviours = [unclear_vend]
    paid(counter, METER, 95)
    assert carry(counter) == 0, "100 were spent on one kWh"
    wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert now(counter).refund(1).amount_minor == kes(95)
    assert carry(counter) == Fraction(kes(5))
    assert books_are_right(counter)


def carry(counter: Counter, customer_id: str = "C1") -> Fraction:
    record = counter.account(customer_id).device(METER)
    assert record is not None
    return record.carry_minor


def test_credit_that_had_joined_the_payment_is_credit_again_and_does_not_go_to_the_payer(
    company: Company, counter: Counter, wiring: Wiring, calin: FakeCalin
) -> None:
    shs = plan("p-shs", 700, instalments=1, serial_number=SHS)
    company.customer(company.meter(), company.shs(plan_id="p-shs"), plans=(shs,))
    paid(counter, SHS, 815, number=2)
    assert counter.account("C1").credit_minor == kes(115)
    calin.behaviours = [unclear_vend]
    paid(counter, METER, 500)
    assert counter.account("C1").credit_minor == 0
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(501), **SAID)
    payment = wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert payment.refund(1).amount_minor == kes(500)
    assert counter.account("C1").credit_minor == kes(115)
    assert books_are_right(counter, plans=(shs,))


def test_what_paid_debts_stays_where_it_is(
    company: Company, counter: Counter, wiring: Wiring, calin: FakeCalin
) -> None:
    tv = plan("p-tv", 3000, first_due=TODAY - timedelta(days=1))
    company.customer(company.meter(), plans=(tv,))
    calin.behaviours = [unclear_vend]
    paid(counter, METER, 500)
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(500), **SAID)
    payment = wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert payment.refund(1).amount_minor == kes(200)
    assert payment.lines[0] == Line(LineKind.APPLIANCE, "p-tv", kes(300))
    assert books_are_right(counter, plans=(tv,))


def test_where_the_channel_gives_back_all_or_nothing_debts_that_were_paid_stand_in_the_way(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    calin: FakeCalin,
    provider: FakeProvider,
) -> None:
    provider.full_refunds_only = True
    tv = plan("p-tv", 3000, first_due=TODAY - timedelta(days=1))
    company.customer(company.meter(), plans=(tv,))
    calin.behaviours = [unclear_vend]
    before = paid(counter, METER, 500)
    with pytest.raises(FullRefundOnly):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert now(counter) == before
    wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert counter.account("C1").credit_minor == kes(200)
    assert books_are_right(counter, plans=(tv,))


def test_money_whose_rest_was_spent_since_goes_back_as_far_as_it_is_there(
    company: Company, counter: Counter, wiring: Wiring, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    calin.behaviours = [unclear_vend]
    paid(counter, METER, 509)  # 5.0 kWh for 500, and 9 of carry
    paid(counter, METER, 91, number=2)  # 1.0 kWh for 100: the carry is spent
    payment = wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert payment.refund(1).amount_minor == kes(500)
    assert carry(counter) == 0
    assert books_are_right(counter)


def two_vends(
    company: Company, counter: Counter, monkeypatch: pytest.MonkeyPatch, *states: VendState
) -> Payment:
    """500 that make a vend of 3 and one of 2 kWh; they are in these states now."""

    def rules(self: Calin, device: Device, kind: VendKind) -> VendRules:
        return VendRules(STEP, Fraction(3))

    monkeypatch.setattr(Calin, "rules", rules)
    company.customer(company.meter())
    counter.wiring.accept.accept(
        claim(METER, 500, payer_phone=PAYER, **ON_CHANNEL), money_moved=True
    )
    counter.settle_all()
    counter.cloud.take("vends")
    payment = now(counter)
    for vend, state in zip(payment.vends, states, strict=True):
        if state is VendState.DONE:
            payment = vend_done(payment, vend.number, "1" * 20, payment.received_at)
        else:
            payment = payment.with_vend(replace(vend, state=state, attempts=1))
    return counter.wiring.payments.save(standing(payment, payment.received_at))


def test_a_payment_with_a_finished_vend_is_given_back_without_what_that_cost(
    company: Company, counter: Counter, wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_vends(company, counter, monkeypatch, VendState.DONE, VendState.REFUSED)
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(500), **SAID)
    payment = wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert payment.refund(1).amount_minor == kes(200)
    ask_all(counter)
    counter.wiring.give_back.told(PAYMENT_ID, kes(200), RefundTaken("R1", done=True))
    assert books_are_right(counter)


def test_a_vend_that_has_not_begun_goes_on_while_the_money_of_the_other_goes_back(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
    calin: FakeCalin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two_vends(company, counter, monkeypatch, VendState.REFUSED, VendState.INTENDED)
    wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert counter.delays("vends") == [], "a refund asks its provider, and nobody else"
    clock.move(timedelta(minutes=1))
    wiring.sweep.sweep()
    counter.vend_all()
    assert (now(counter).status, len(calin.issued)) == (Status.REFUNDING, 1)
    provider.behaviours = [provider.take_at_once]
    ask_all(counter)
    assert counter.delays("vends") == []
    counter.send_all()
    payment = now(counter)
    assert (payment.status, payment.refunded_minor) == (Status.REFUNDED, kes(300))
    assert [v.state for v in payment.vends] == [VendState.VOID, VendState.DONE]
    assert counter.told(PAYMENT_ID) == [2, REFUNDED_MESSAGE]
    assert books_are_right(counter)


def test_while_a_manufacturer_is_being_called_nothing_is_given_back(
    company: Company, counter: Counter, wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = two_vends(company, counter, monkeypatch, VendState.REFUSED, VendState.CALLING)
    assert before.status is Status.HELD
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert now(counter) == before


def stuck(company: Company, counter: Counter, clock: FixedClock, **changes: Any) -> Payment:
    """500 for the meter of C1, whose vend has made no progress; it is as ``changes`` say."""
    company.customer(company.meter())
    counter.wiring.accept.accept(claim(METER, 500, **ON_CHANNEL), money_moved=True)
    counter.settle_all()
    payment = now(counter)
    payment = payment.with_vend(replace(payment.vend(1), **changes))
    return counter.wiring.payments.save(held(payment, STUCK, clock.now()))


NEVER_SOLD = [
    {},
    {"state": VendState.REFUSED, "attempts": 2, "retry_at": NOW},
]


@pytest.mark.parametrize("changes", NEVER_SOLD, ids=["intended", "unsent"])
def test_of_a_stuck_payment_what_was_never_sold_goes_back_and_is_never_sold_after(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    provider: FakeProvider,
    calin: FakeCalin,
    changes: dict[str, Any],
) -> None:
    stuck(company, counter, clock, **changes)
    payment = wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert [(v.state, v.closed) for v in payment.vends] == [(VendState.VOID, True)]
    counter.let_delays_pass()
    counter.run_dry()
    ask_all(counter)
    assert (provider.given_minor, calin.requests) == ([kes(500)], [])
    assert books_are_right(counter)


def test_of_a_payment_that_is_held_for_something_else_what_may_still_be_sold_stays(
    company: Company, counter: Counter, wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_vends(company, counter, monkeypatch, VendState.REFUSED, VendState.INTENDED)
    payment = wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert [v.state for v in payment.vends] == [VendState.VOID, VendState.INTENDED]
    assert payment.refunded_minor == kes(300)


def test_of_a_stuck_payment_what_may_have_been_sold_stays(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock
) -> None:
    doubtful = {"state": VendState.REFUSED, "attempts": 2, "retry_at": NOW, "in_doubt": True}
    before = stuck(company, counter, clock, **doubtful)
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    with pytest.raises(FieldError):
        wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert now(counter) == before


def test_an_unlock_that_is_in_trouble_stays_when_the_energy_beside_it_goes_back(
    company: Company, counter: Counter, wiring: Wiring, provider: FakeProvider
) -> None:
    shs = plan("p-shs", 300, instalments=1, first_due=TODAY.replace(day=1), serial_number=SHS)
    company.customer(company.meter(), company.shs(plan_id="p-shs"), plans=(shs,))
    paid(counter, METER, 500)
    in_trouble(counter, PAYMENT_ID)
    payment = wiring.give_back.refund(PAYMENT_ID, **SAID)
    states = {vend.kind: vend.state for vend in payment.vends}
    assert states == {VendKind.UNLOCK: VendState.UNCERTAIN, VendKind.ENERGY: VendState.VOID}
    provider.behaviours = [provider.take_at_once]
    ask_all(counter)
    assert provider.given_minor == [kes(200)]
    assert standing_of(counter) == (Status.HELD, "vend_uncertain")
    assert books_are_right(counter, plans=(shs,))


def in_trouble(counter: Counter, payment_id: str) -> Payment:
    """The payment as if the manufacturers of its devices were remote, and had not answered."""
    payment = counter.now(payment_id)
    vends = tuple(replace(v, state=VendState.UNCERTAIN) for v in payment.vends)
    in_doubt = standing(replace(payment, vends=vends, tokens=(), check_at=None), payment.moment)
    return counter.wiring.payments.save(in_doubt)


@pytest.fixture
def time_in_trouble(company: Company, counter: Counter) -> Payment:
    """1000 for the SHS of C1, ten days of 700 a week, whose vend is uncertain."""
    company.customer(company.shs(plan_id="p-shs"), plans=(SHS_PLAN,))
    paid(counter, SHS, 1050)
    return in_trouble(counter, PAYMENT_ID)


SHS_PLAN = plan("p-shs", 7000, serial_number=SHS)


def record_of(counter: Counter, serial_number: str) -> DeviceAccount:
    record = counter.account("C1").device(serial_number)
    assert record is not None
    return record


@pytest.mark.parametrize("amount", [None, 300])
def test_of_days_that_were_not_issued_the_instalments_are_open_again(
    counter: Counter, wiring: Wiring, time_in_trouble: Payment, amount: int | None
) -> None:
    assert record_of(counter, SHS).carry_days == Fraction(1, 2)
    amount_minor = None if amount is None else kes(amount)
    payment = wiring.give_back.refund(PAYMENT_ID, amount_minor=amount_minor, **SAID)
    account = counter.account("C1")
    assert payment.lines[1] == Line(LineKind.TIME, SHS, -kes(1050))
    assert [p.paid_minor for p in account.plans] == [0]
    assert account.credit_minor == kes(1050) - payment.refunded_minor
    record = record_of(counter, SHS)
    assert (record.carry_days, record.paid_until) == (0, time_in_trouble.moment)
    assert books_are_right(counter, plans=(SHS_PLAN,))


def test_days_that_a_later_payment_s_date_includes_cannot_be_taken_back(
    counter: Counter, wiring: Wiring, time_in_trouble: Payment
) -> None:
    paid(counter, SHS, 700, number=2)
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    with pytest.raises(FieldError):
        wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert now(counter) == time_in_trouble


def test_an_unlock_keeps_its_money(company: Company, counter: Counter, wiring: Wiring) -> None:
    shs = plan("p-shs", 700, instalments=1, serial_number=SHS)
    company.customer(company.shs(plan_id="p-shs"), plans=(shs,))
    paid(counter, SHS, 700)
    before = in_trouble(counter, PAYMENT_ID)
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert now(counter) == before
    assert books_are_right(counter, plans=(shs,))


# --- a refund that failed, once more --------------------------------------------------------------


@pytest.fixture
def failed(counter: Counter, provider: FakeProvider, begun: Payment) -> Payment:
    """A refund of 500 that the provider refused."""
    provider.behaviours = [refusing]
    ask_all(counter)
    return now(counter)


@pytest.mark.parametrize("amount_minor", [None, kes(500)])
def test_a_refused_refund_is_asked_for_once_more_under_its_number(
    counter: Counter,
    wiring: Wiring,
    provider: FakeProvider,
    failed: Payment,
    amount_minor: int | None,
) -> None:
    again = wiring.give_back.refund(PAYMENT_ID, amount_minor=amount_minor, **SAID)
    assert again.status is Status.REFUNDING
    ask_all(counter)
    assert [(r.number, r.state) for r in now(counter).refunds] == [(1, RefundState.ACCEPTED)]
    assert provider.given_minor == [kes(500)]


def test_a_refused_refund_is_not_repeated_with_another_amount(
    counter: Counter, wiring: Wiring, failed: Payment
) -> None:
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(200), **SAID)
    assert now(counter) == failed


def test_a_refund_that_is_asked_for_again_after_days_is_not_taken_for_a_stuck_one(
    counter: Counter, wiring: Wiring, clock: FixedClock, provider: FakeProvider, failed: Payment
) -> None:
    for _ in range(SWEEPS_MAX + 2):
        clock.move(timedelta(hours=1))
        wiring.sweep.sweep()
    wiring.give_back.refund(PAYMENT_ID, **SAID)
    lose_calls(counter)  # the message is lost
    clock.move(timedelta(minutes=1))
    assert wiring.sweep.sweep() == 1
    assert now(counter).status is Status.REFUNDING
    ask_all(counter)
    assert provider.given_minor == [kes(500)]


def test_while_one_refund_is_under_way_there_is_no_second(
    counter: Counter, wiring: Wiring, begun: Payment
) -> None:
    with pytest.raises(NotHeld):
        wiring.give_back.refund(PAYMENT_ID, amount_minor=1, **SAID)
    ask_all(counter)
    with pytest.raises(NotHeld):
        wiring.give_back.refund(PAYMENT_ID, amount_minor=1, **SAID)


def test_while_nobody_knows_of_one_refund_there_is_no_second(
    counter: Counter, wiring: Wiring, provider: FakeProvider, begun: Payment
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE
    provider.behaviours = [provider.take_unseen]
    ask_all(counter)
    before = now(counter)
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    assert now(counter) == before


# --- other writers --------------------------------------------------------------------------------


def test_of_two_persons_who_give_back_at_once_one_does(
    counter: Counter, wiring: Wiring, another: Another, provider: FakeProvider, uncertain: Payment
) -> None:
    meanwhile = [lambda: wiring.give_back.refund(PAYMENT_ID, **SAID)]
    slower = another(payments=Interrupted(wiring.payments, settle=meanwhile))
    with pytest.raises(NotHeld):
        slower.give_back.refund(PAYMENT_ID, amount_minor=kes(100), **SAID)
    ask_all(counter)
    assert provider.given_minor == [kes(500)]
    assert books_are_right(counter)


@pytest.mark.parametrize("faster", ["refund", "credit"])
def test_of_a_refund_and_a_credit_at_once_one_happens(
    counter: Counter,
    wiring: Wiring,
    another: Another,
    provider: FakeProvider,
    uncertain: Payment,
    faster: str,
) -> None:
    def refund(by: Wiring) -> Payment:
        return by.give_back.refund(PAYMENT_ID, **SAID)

    def credit(by: Wiring) -> Payment:
        return by.resolve.resolve_credit(PAYMENT_ID, **SAID)

    first, second = (refund, credit) if faster == "refund" else (credit, refund)
    slower = another(payments=Interrupted(wiring.payments, settle=[lambda: first(wiring)]))
    with pytest.raises(NotHeld):
        second(slower)
    ask_all(counter)
    credit_minor = counter.account("C1").credit_minor
    assert (sum(provider.given_minor), credit_minor) == (
        (kes(500), 0) if faster == "refund" else (0, kes(500))
    )
    assert books_are_right(counter)


def test_a_late_token_is_faster_than_the_refund_which_finds_it_not_held(
    counter: Counter,
    wiring: Wiring,
    another: Another,
    clock: FixedClock,
    provider: FakeProvider,
    uncertain: Payment,
) -> None:
    def late_token() -> None:
        wiring.payments.save(vend_done(now(counter), 1, "1" * 20, clock.now()))

    slower = another(payments=Interrupted(wiring.payments, settle=[late_token]))
    with pytest.raises(NotHeld):
        slower.give_back.refund(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert (now(counter).status, provider.calls) == (Status.COMPLETED, [])
    assert books_are_right(counter)


def test_a_token_that_comes_after_the_refund_is_an_event_and_an_alarm_and_no_sms(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    calin: FakeCalin,
    diary: Diary,
) -> None:
    company.customer(company.meter())
    wiring.accept.accept(claim(METER, 500, payer_phone=PAYER, **ON_CHANNEL), money_moved=True)
    counter.settle_all()
    message = counter.only("vends")

    def slowly(request: dict[str, Any]) -> tuple[int, Any]:
        clock.move(timedelta(hours=1))
        counter.vend(message)  # the lease is over: nobody knows
        wiring.give_back.refund(PAYMENT_ID, **SAID)
        return calin.issue(request)

    calin.behaviours = [slowly]
    counter.vend(message)
    payment = now(counter)
    assert (payment.status, payment.tokens) == (Status.REFUNDING, ())
    assert "late_answer" in [e.what for e in payment.events]
    assert diary.counted("LateAnswers") == 1
    counter.send_all()
    assert 1 not in counter.told(PAYMENT_ID)
    assert books_are_right(counter)


def test_a_refund_that_meets_another_payment_of_the_customer_is_computed_anew(
    counter: Counter, wiring: Wiring, another: Another, uncertain: Payment
) -> None:
    meanwhile = [lambda: paid(counter, METER, 300, number=2)]
    slower = another(payments=Interrupted(wiring.payments, settle=meanwhile))
    payment = slower.give_back.refund(PAYMENT_ID, **SAID)
    assert payment.account_versions == (2, 4)
    assert counter.now("paystack-T2").status is Status.COMPLETED
    assert books_are_right(counter)


def test_a_payment_that_is_settled_meets_the_refund_of_another_and_is_computed_anew(
    counter: Counter, wiring: Wiring, another: Another, uncertain: Payment
) -> None:
    wiring.accept.accept(claim(METER, 300, "T2", **ON_CHANNEL), money_moved=True)
    meanwhile = [lambda: wiring.give_back.refund(PAYMENT_ID, amount_minor=kes(100), **SAID)]
    slower = another(payments=Interrupted(wiring.payments, settle=meanwhile))
    slower.settle.settle("paystack-T2", "C1", METER)
    assert counter.now("paystack-T2").lines == (
        Line(LineKind.ENERGY, METER, kes(700)),
        Line(LineKind.CREDIT, "C1", -kes(400)),
    )
    assert books_are_right(counter)


def test_a_refund_that_loses_every_race_changes_nothing(
    counter: Counter, wiring: Wiring, another: Another, uncertain: Payment
) -> None:
    lost = Interrupted(wiring.payments, settle=[VersionConflict()] * WRITES_MAX)
    with pytest.raises(VersionConflict):
        another(payments=lost).give_back.refund(PAYMENT_ID, **SAID)
    assert now(counter) == uncertain


@pytest.mark.parametrize("error", [TryAgain(), OutcomeUnknown()])
def test_a_refund_that_could_not_be_written_is_an_error_and_asks_nobody(
    counter: Counter,
    wiring: Wiring,
    another: Another,
    provider: FakeProvider,
    uncertain: Payment,
    error: Exception,
) -> None:
    broken = Interrupted(wiring.payments, settle=[error])
    with pytest.raises(type(error)):
        another(payments=broken).give_back.refund(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert (now(counter), provider.calls) == (uncertain, [])


def test_a_refund_that_was_written_unseen_is_taken_as_written_and_goes_on(
    counter: Counter,
    wiring: Wiring,
    another: Another,
    provider: FakeProvider,
    diary: Diary,
    uncertain: Payment,
) -> None:
    broken = Interrupted(wiring.payments, settle=[Lost(OutcomeUnknown())])
    payment = another(payments=broken).give_back.refund(PAYMENT_ID, **SAID)
    assert payment == now(counter)
    assert payment.status is Status.REFUNDING
    assert len(diary.said("refund_begun")) == 1
    with pytest.raises(NotHeld):
        wiring.give_back.refund(PAYMENT_ID, **SAID)
    ask_all(counter)
    assert provider.given_minor == [kes(500)]
    assert books_are_right(counter)


def test_a_refund_that_could_not_be_queued_stands_and_the_sweeper_queues_it(
    counter: Counter,
    wiring: Wiring,
    another: Another,
    clock: FixedClock,
    provider: FakeProvider,
    diary: Diary,
    uncertain: Payment,
) -> None:
    broken = Interrupted(wiring.queues, provider_call=[QueueUnavailable()])
    payment = another(queues=broken).give_back.refund(PAYMENT_ID, **SAID)
    assert payment.status is Status.REFUNDING
    assert diary.said("queueing_failed")
    clock.move(timedelta(minutes=1))
    wiring.sweep.sweep()
    ask_all(counter)
    assert provider.given_minor == [kes(500)]


# --- the provider tells by itself -----------------------------------------------------------------


def told(counter: Counter, news: RefundTaken | str, amount: int = 500) -> None:
    counter.wiring.give_back.told(PAYMENT_ID, kes(amount), news)


GONE = RefundTaken("R1", done=True)
TAKEN = RefundTaken("R1")


@pytest.mark.parametrize("news", [GONE, TAKEN, "refund failed"])
def test_where_a_provider_can_be_searched_its_word_only_makes_us_look_at_once(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment, news: Any
) -> None:
    ask_all(counter)
    lose_calls(counter)
    told(counter, news)
    refund = the_refund(counter)
    assert (refund.state, refund.retry_at) == (RefundState.ACCEPTED, clock.now())
    assert counter.delays("provider-calls") == [0]
    provider.arrived = True
    ask_all(counter)
    assert now(counter).status is Status.REFUNDED


@pytest.mark.parametrize(
    ("news", "status", "reason"),
    [
        (GONE, Status.REFUNDED, None),
        (TAKEN, Status.REFUNDING, None),
        ("refund failed", Status.HELD, "refund_refused"),
    ],
)
def test_where_a_provider_cannot_be_searched_its_word_is_taken(
    counter: Counter,
    provider: FakeProvider,
    begun: Payment,
    news: Any,
    status: Status,
    reason: str | None,
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE
    provider.behaviours = [provider.take_unseen]
    ask_all(counter)
    told(counter, news)
    assert standing_of(counter) == (status, reason)
    assert len(provider.calls) == 1


def test_a_word_of_a_refund_that_waits_for_a_person_makes_us_look(
    counter: Counter, clock: FixedClock, provider: FakeProvider, begun: Payment
) -> None:
    provider.behaviours = [provider.take_unseen]
    provider.lookups = [unclear] * LOOKS_MAX
    asked_until_quiet(counter, clock)
    assert standing_of(counter) == (Status.HELD, "refund_uncertain")
    provider.arrived = True
    told(counter, GONE)
    assert now(counter).status is Status.REFUNDING
    ask_all(counter)
    assert now(counter).status is Status.REFUNDED


@pytest.mark.parametrize("news", [GONE, TAKEN, "refund failed"])
def test_while_the_provider_is_being_asked_its_own_answer_comes_first(
    counter: Counter, provider: FakeProvider, diary: Diary, begun: Payment, news: Any
) -> None:
    def hasty(payment: Payment, refund: Refund) -> RefundTaken:
        told(counter, news)
        assert now(counter) == payment
        return provider.take(payment, refund)

    provider.behaviours = [hasty]
    ask_all(counter)
    assert the_refund(counter).state is RefundState.ACCEPTED
    assert diary.counted("RefundNewsUnplaced") == 0
    assert not diary.rings("refund-news-unplaced")


def test_a_word_about_no_refund_of_ours_is_an_alarm_and_changes_nothing(
    counter: Counter, diary: Diary, due: Payment
) -> None:
    counter.wiring.give_back.told("paystack-T9", kes(500), GONE)
    told(counter, GONE)
    assert diary.counted("RefundNewsUnplaced") == 2
    assert diary.rings("refund-news-unplaced")
    assert now(counter) == due


@pytest.mark.parametrize("asked", [False, True])
def test_a_word_about_another_amount_or_about_what_was_not_asked_for_is_an_alarm(
    counter: Counter, diary: Diary, begun: Payment, asked: bool
) -> None:
    if asked:
        ask_all(counter)
    before = now(counter)
    told(counter, GONE, amount=499 if asked else 500)
    assert diary.counted("RefundNewsUnplaced") == 1
    assert now(counter) == before


def test_a_word_that_comes_again_after_the_end_is_no_news_but_queues_the_sms_again(
    counter: Counter,
    wiring: Wiring,
    another: Another,
    provider: FakeProvider,
    diary: Diary,
    begun: Payment,
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE
    ask_all(counter)
    counter.cloud.take("messages")
    broken = another(queues=Interrupted(wiring.queues, message=[QueueUnavailable()]))
    with pytest.raises(QueueUnavailable):
        broken.give_back.told(PAYMENT_ID, kes(500), GONE)
    before = now(counter)
    assert before.status is Status.REFUNDED
    told(counter, GONE)
    assert (now(counter), diary.counted("RefundNewsUnplaced")) == (before, 0)
    counter.send_all()
    assert REFUNDED_MESSAGE in counter.told(PAYMENT_ID)


def test_a_word_against_what_we_know_is_an_alarm(
    counter: Counter, wiring: Wiring, provider: FakeProvider, diary: Diary, failed: Payment
) -> None:
    told(counter, GONE)
    assert (now(counter), diary.counted("RefundNewsUnplaced")) == (failed, 1)
    told(counter, "refund failed")
    assert (now(counter), diary.counted("RefundNewsUnplaced")) == (failed, 1)
    wiring.resolve.resolve_refunded(PAYMENT_ID, **SAID)
    told(counter, "refund failed")
    assert now(counter).status is Status.REFUNDED
    assert diary.counted("RefundNewsUnplaced") == 2


def test_a_word_that_meets_another_writer_is_stored_all_the_same(
    counter: Counter, wiring: Wiring, another: Another, provider: FakeProvider, begun: Payment
) -> None:
    provider.refund_recovery = RecoveryClass.OPAQUE
    ask_all(counter)

    def noted() -> None:
        payment = now(counter)
        wiring.payments.save(payment.with_event(payment.received_at, "noted"))

    meanwhile = another(payments=Interrupted(wiring.payments, save=[noted]))
    meanwhile.give_back.told(PAYMENT_ID, kes(500), GONE)
    assert now(counter).status is Status.REFUNDED


def test_a_word_that_loses_every_race_must_come_again(
    counter: Counter, wiring: Wiring, another: Another, begun: Payment
) -> None:
    ask_all(counter)
    before = now(counter)
    lost = another(payments=Interrupted(wiring.payments, save=[VersionConflict()] * WRITES_MAX))
    with pytest.raises(TryAgain):
        lost.give_back.told(PAYMENT_ID, kes(500), GONE)
    assert now(counter) == before


def test_a_refund_that_is_due_on_a_channel_that_is_no_more_waits(
    counter: Counter, process: Processes, due: Payment
) -> None:
    class NoProviders(FakeProviders):
        def get(self, channel: str) -> None:
            return None

    without = process(providers=NoProviders(FakeProvider()))
    without.ask_provider.work(due.payment_id, without.clock.now() + timedelta(minutes=1))
    assert counter.now(due.payment_id) == due


def test_credentials_that_are_refused_at_a_look_say_nothing_of_the_refund(
    counter: Counter, wiring: Wiring, begun: Payment, provider: FakeProvider
) -> None:
    provider.behaviours = [provider.take_unseen]
    provider.lookups = [failing(ProviderRefused(NOT_KNOWN_THERE))]
    wiring.give_back.work(counter.now(PAYMENT_ID), wiring.clock.now() + timedelta(minutes=1))
    for _ in range(3):
        counter.let_delays_pass()
        wiring.clock.move(timedelta(minutes=5))  # type: ignore[attr-defined]
        wiring.give_back.work(counter.now(PAYMENT_ID), wiring.clock.now() + timedelta(minutes=1))
    [refund] = counter.now(PAYMENT_ID).refunds
    assert refund.state in (RefundState.ACCEPTED, RefundState.DONE)
    assert len(provider.given_minor) == 1
