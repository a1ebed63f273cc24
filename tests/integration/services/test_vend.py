"""Vending: one call for one token, whatever happens to the call, its answer or its message."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.payment import HELD_MESSAGE, Payment, Status, VendState, vend_done
from chalicelib.manufacturers.calin import Calin
from chalicelib.manufacturers.sts import STEP
from chalicelib.services.ports import (
    Device,
    OutcomeUnknown,
    QueueUnavailable,
    Sold,
    TryAgain,
    VendOrder,
    VersionConflict,
)
from chalicelib.services.vend import UNREACHABLE_MAX, WRITES_MAX, OutOfTime
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import (
    ACTOR,
    Counter,
    Diary,
    Processes,
    differences,
)
from tests.integration.services.interruptions import Interrupted, Lost
from tests.integration.vendor import FakeCalin, FakeChint

PAYMENT_ID = "mpesa_ke.600966-T1"
NO_CONNECTION = "http://127.0.0.1:9"
A_TOKEN = "12345678901234567890"


@pytest.fixture
def message(company: Company, counter: Counter) -> dict[str, Any]:
    """A payment of 500 for the meter, settled: the message of its vend."""
    company.customer(company.meter())
    return counter.to_the_vend(METER, 500)


@pytest.fixture
def three_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor that sells at most three kWh at once."""

    def rules(self: Calin, device: Device, kind: VendKind) -> VendRules:
        return VendRules(STEP, Fraction(3))

    monkeypatch.setattr(Calin, "rules", rules)


def state_of(payment: Payment, number: int = 1) -> VendState:
    return payment.vend(number).state


def refusing(request: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"result_code": 3, "reason": "no such meter", "result": ""}


def unclear(request: dict[str, Any]) -> tuple[int, Any]:
    return 500, {}


def unreachable(counter: Counter, calin: FakeCalin) -> None:
    calin.put_secrets(counter.cloud)
    counter.cloud.put_secret(
        "manufacturers/calin", {"base_url": NO_CONNECTION, "user_id": "u", "password": "p"}
    )


# --- what an answer means -----------------------------------------------------------------------


def test_a_token_completes_the_payment_and_is_sent(
    counter: Counter, message: dict[str, Any], calin: FakeCalin, diary: Diary
) -> None:
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert payment.status is Status.COMPLETED
    assert [t.value for t in payment.tokens] == calin.issued
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [1]
    assert differences(counter, "C1") == []
    assert diary.said("vend_done")[0]["attempt"] == 1


def test_tokens_to_be_typed_in_first_are_kept_and_sent_and_in_no_journal(
    cloud: Cloud, company: Company, counter: Counter, diary: Diary
) -> None:
    company.customer(company.meter("47006", manufacturer="chint"))
    with FakeChint() as chint:
        chint.put_secrets(cloud)
        chint.rekeys = ("1" * 20, "2" * 20)
        counter.vend(counter.to_the_vend("47006", 500))
    [token] = counter.now(PAYMENT_ID).tokens
    assert (token.before, [token.value]) == (chint.rekeys, chint.issued)
    assert token.units == Fraction(500), "what the vendor says it gave"
    counter.send_all()
    [message] = counter.wiring.messages.of_payment(PAYMENT_ID)
    said = message.body.replace(" ", "")
    places = [said.index(digits) for digits in (*chint.rekeys, *chint.issued)]
    assert places == sorted(places)
    journal = repr(diary.events)
    assert not [digits for digits in (*chint.rekeys, *chint.issued) if digits in journal]


def test_a_definite_no_holds_the_payment_and_the_customer_is_told_once(
    counter: Counter, message: dict[str, Any], calin: FakeCalin, diary: Diary
) -> None:
    calin.behaviours = [refusing]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_refused")
    assert [(e.what, e.reason) for e in payment.events] == [
        ("vend_refused", "meter_not_found"),
        ("held", "vend_refused"),
    ]
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE]
    assert diary.counted("Held") == 1


def test_an_unclear_answer_holds_the_payment_and_nobody_calls_again(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    clock: FixedClock,
) -> None:
    calin.behaviours = [unclear]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    for _ in range(3):
        clock.move(timedelta(hours=2))
        wiring.sweep.sweep()
        counter.vend(message)
        counter.run_dry()
    assert len(calin.requests) == 1
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE]


# --- manufacturers that are not reached --------------------------------------------------------


def test_an_outage_is_met_with_growing_delays_and_then_by_a_person(
    counter: Counter, message: dict[str, Any], calin: FakeCalin, clock: FixedClock
) -> None:
    unreachable(counter, calin)
    waits = []
    while counter.now(PAYMENT_ID).status is Status.VENDING:
        counter.vend(message)
        if delays := counter.delays("vends"):
            waits += delays
            clock.move(timedelta(seconds=delays[0]))
            message = counter.only("vends")
    assert waits == [30, 60, 120, 240, 480]
    payment = counter.now(PAYMENT_ID)
    assert payment.vend(1).attempts == UNREACHABLE_MAX
    assert (payment.status, payment.reason) == (Status.HELD, "vend_refused")
    assert {e.reason for e in payment.events if e.what == "vend_refused"} == {"vendor_unreachable"}


def test_missing_credentials_are_named_and_waited_for(
    counter: Counter,
    message: dict[str, Any],
    calin: FakeCalin,
    process: Processes,
    clock: FixedClock,
) -> None:
    counter.cloud.put_secret("manufacturers/calin", {})
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.vend(1).state) == (Status.VENDING, VendState.REFUSED)
    assert payment.events[0].reason == "credentials_missing"

    assert counter.delays("vends") == [30]
    clock.move(timedelta(seconds=30))
    calin.put_secrets(counter.cloud)
    counter.vend(counter.only("vends"), by=process())
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED


def test_no_other_message_shortens_the_wait_for_the_next_try(
    counter: Counter, wiring: Wiring, message: dict[str, Any], calin: FakeCalin, clock: FixedClock
) -> None:
    unreachable(counter, calin)
    counter.vend(message)
    counter.delays("vends")
    counter.vend(counter.only("vends"))
    (vend,) = counter.now(PAYMENT_ID).vends
    assert vend.retry_at == clock.now() + timedelta(minutes=1)

    clock.move(timedelta(seconds=40))
    wiring.settle.settle(PAYMENT_ID, "C1", METER)
    clock.move(timedelta(seconds=20))
    wiring.sweep.sweep()
    assert counter.delays("vends") == [60, 20, 0]


def test_a_redelivery_after_the_time_of_the_next_try_leaves_that_a_moment(
    counter: Counter, message: dict[str, Any], calin: FakeCalin, clock: FixedClock
) -> None:
    """Two messages about one vend would else chase each other through the queue."""
    unreachable(counter, calin)
    counter.vend(message)
    assert counter.delays("vends") == [30]
    counter.cloud.take("vends")
    clock.move(timedelta(seconds=40))
    counter.vend(message)
    assert counter.delays("vends") == [2]


def test_a_redelivery_queues_the_next_try_that_could_not_be_queued(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    process: Processes,
) -> None:
    unreachable(counter, calin)
    broken = process(queues=Interrupted(wiring.queues, vend=[QueueUnavailable()]))
    with pytest.raises(QueueUnavailable):
        counter.vend(message, by=broken)
    counter.vend(message)
    assert counter.delays("vends") == [30]


# --- leases ---------------------------------------------------------------------------------------


def test_without_the_time_for_the_call_nothing_is_taken_up(
    counter: Counter, wiring: Wiring, message: dict[str, Any], calin: FakeCalin, clock: FixedClock
) -> None:
    deadline = clock.now() + timedelta(seconds=29)
    with pytest.raises(OutOfTime):
        wiring.vend.vend(PAYMENT_ID, 1, 1, "calin", deadline)
    assert state_of(counter.now(PAYMENT_ID)) is VendState.INTENDED
    assert calin.requests == []


def test_a_second_worker_meanwhile_calls_nobody_and_comes_back_when_the_lease_is_over(
    counter: Counter, message: dict[str, Any], calin: FakeCalin
) -> None:
    def issue_while_another_comes(request: dict[str, Any]) -> tuple[int, Any]:
        counter.vend(message)
        return calin.issue(request)

    calin.behaviours = [issue_while_another_comes]
    counter.vend(message)
    assert len(calin.requests) == 1
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert counter.delays("vends") == [31]
    counter.run_dry()
    assert len(calin.requests) == 1
    assert counter.told(PAYMENT_ID) == [1]


def test_a_message_that_looks_at_a_running_call_never_starts_another_one(
    counter: Counter, wiring: Wiring, message: dict[str, Any], calin: FakeCalin, clock: FixedClock
) -> None:
    """It is still under way when the running call is answered with a definite no."""

    def refuse_while_others_come(request: dict[str, Any]) -> tuple[int, Any]:
        counter.vend(message)
        wiring.settle.settle(PAYMENT_ID, "C1", METER)
        clock.move(timedelta(minutes=1))
        wiring.sweep.sweep()
        return refusing(request)

    calin.behaviours = [refuse_while_others_come]
    counter.vend(message)
    assert len(counter.delays("vends")) == 3
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, state_of(payment)) == (Status.HELD, VendState.REFUSED)
    assert len(calin.requests) == 1


@pytest.mark.parametrize("error", [Lost(OutcomeUnknown()), OutcomeUnknown(), TryAgain()])
def test_a_lease_that_is_not_confirmed_calls_nobody(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    process: Processes,
    error: Any,
) -> None:
    broken = process(payments=Interrupted(wiring.payments, lease=[error]))
    with pytest.raises((OutcomeUnknown, TryAgain)):
        counter.vend(message, by=broken)
    assert calin.requests == []


def test_a_lease_that_was_written_unseen_ends_as_uncertain(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    process: Processes,
    clock: FixedClock,
) -> None:
    broken = process(payments=Interrupted(wiring.payments, lease=[Lost(OutcomeUnknown())]))
    with pytest.raises(OutcomeUnknown):
        counter.vend(message, by=broken)
    clock.move(timedelta(minutes=6))
    counter.vend(message)
    assert state_of(counter.now(PAYMENT_ID)) is VendState.UNCERTAIN
    assert calin.requests == []


def test_a_crash_in_the_call_leaves_the_vend_for_a_person(
    counter: Counter,
    message: dict[str, Any],
    calin: FakeCalin,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(self: Calin, order: VendOrder) -> Sold:
        raise ZeroDivisionError

    with monkeypatch.context() as defect, pytest.raises(ZeroDivisionError):
        defect.setattr(Calin, "vend", crash)
        counter.vend(message)
    assert state_of(counter.now(PAYMENT_ID)) is VendState.CALLING
    clock.move(timedelta(minutes=6))
    counter.vend(message)
    assert state_of(counter.now(PAYMENT_ID)) is VendState.UNCERTAIN
    assert calin.requests == []


def test_a_vend_without_a_known_end_of_its_lease_is_uncertain_at_once(
    counter: Counter, wiring: Wiring, message: dict[str, Any], calin: FakeCalin
) -> None:
    payment = counter.now(PAYMENT_ID)
    calling = replace(payment.vend(1), state=VendState.CALLING, attempts=1)
    wiring.payments.save(payment.with_vend(calling))
    wiring.settle.settle(PAYMENT_ID, payment.customer_id, METER)
    counter.vend_all()
    assert state_of(counter.now(PAYMENT_ID)) is VendState.UNCERTAIN


# --- answers and other writers -----------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        [VersionConflict()] * (WRITES_MAX - 1),
        [TryAgain()] * (WRITES_MAX - 1),
        [OutcomeUnknown()] * (WRITES_MAX - 1),
        [Lost(OutcomeUnknown())],
        [Lost(VersionConflict())],
    ],
)
def test_a_token_is_stored_although_the_store_is_in_trouble(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    process: Processes,
    trouble: list[Any],
) -> None:
    counter.vend(message, by=process(payments=Interrupted(wiring.payments, save=trouble)))
    payment = counter.now(PAYMENT_ID)
    assert payment.status is Status.COMPLETED
    assert [t.value for t in payment.tokens] == calin.issued
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [1]
    assert len(calin.requests) == 1


def test_a_token_is_stored_although_the_payment_cannot_be_read_again_at_first(
    counter: Counter, wiring: Wiring, message: dict[str, Any], process: Processes
) -> None:
    payments = Interrupted(wiring.payments, save=[TryAgain()], get=[TryAgain(), TryAgain()])
    counter.vend(message, by=process(payments=payments))
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED


def test_a_token_that_cannot_be_stored_at_all_is_for_a_person_to_find(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    process: Processes,
    clock: FixedClock,
) -> None:
    broken = process(payments=Interrupted(wiring.payments, save=[TryAgain()] * WRITES_MAX))
    with pytest.raises(TryAgain):
        counter.vend(message, by=broken)
    clock.move(timedelta(minutes=6))
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert len(calin.requests) == 1


def test_a_slow_answer_completes_the_vend_that_was_given_up_meanwhile(
    counter: Counter, message: dict[str, Any], calin: FakeCalin, clock: FixedClock, diary: Diary
) -> None:
    def issue_when_given_up(request: dict[str, Any]) -> tuple[int, Any]:
        clock.move(timedelta(minutes=2))
        counter.vend(message)
        assert counter.now(PAYMENT_ID).status is Status.HELD
        return calin.issue(request)

    calin.behaviours = [issue_when_given_up]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.COMPLETED, None)
    assert [t.value for t in payment.tokens] == calin.issued
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [1]
    assert diary.counted("LateAnswers") == 0
    assert not diary.rings("late-answers")


def test_whoever_gives_a_vend_up_while_its_answer_is_written_raises_no_alarm(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    clock: FixedClock,
    process: Processes,
    diary: Diary,
) -> None:
    stored: list[Payment] = []

    def answer_is_written() -> None:
        stored.append(wiring.payments.save(stored.pop()))

    def issue_while_another_gives_up(request: dict[str, Any]) -> tuple[int, Any]:
        clock.move(timedelta(minutes=2))
        stored.append(vend_done(counter.now(PAYMENT_ID), 1, A_TOKEN, clock.now()))
        finder = process(payments=Interrupted(wiring.payments, save=[answer_is_written]))
        counter.vend(message, by=finder)
        return unclear(request)

    calin.behaviours = [issue_while_another_gives_up]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert payment.status is Status.COMPLETED
    assert [e.what for e in payment.events] == []
    assert diary.counted("LateAnswers") == 0
    assert not diary.rings("late-answers")


def test_an_unclear_answer_after_the_vend_was_given_up_changes_nothing(
    counter: Counter, message: dict[str, Any], calin: FakeCalin, clock: FixedClock
) -> None:
    def unclear_when_given_up(request: dict[str, Any]) -> tuple[int, Any]:
        clock.move(timedelta(minutes=2))
        counter.vend(message)
        return unclear(request)

    calin.behaviours = [unclear_when_given_up]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert state_of(payment) is VendState.UNCERTAIN
    assert [e.what for e in payment.events] == ["vend_uncertain", "held"]


def test_an_answer_whose_writing_was_not_confirmed_leaves_the_next_attempt_alone(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    clock: FixedClock,
    process: Processes,
) -> None:
    """The next attempt is running by the time at which the payment is read again."""

    def next_attempt() -> None:
        until = clock.now() + timedelta(seconds=30)
        wiring.payments.lease(PAYMENT_ID, 1, 2, called_at=clock.now(), lease_until=until)

    unreachable(counter, calin)
    payments = Interrupted(wiring.payments, save=[Lost(OutcomeUnknown())], get=[next_attempt])
    counter.vend(message, by=process(payments=payments))
    (vend,) = counter.now(PAYMENT_ID).vends
    assert (vend.state, vend.attempts) == (VendState.CALLING, 2)


# --- answers after a person has decided ---------------------------------------------------------


def person_decides(counter: Counter, message: dict[str, Any], clock: FixedClock) -> None:
    """The lease is over, the vend given up: now a person may act."""
    clock.move(timedelta(minutes=2))
    counter.vend(message)


def test_a_token_that_a_person_entered_is_not_taken_for_late_when_it_arrives(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    clock: FixedClock,
    diary: Diary,
) -> None:
    def issue_after_the_person(request: dict[str, Any]) -> tuple[int, Any]:
        answer = calin.issue(request)
        person_decides(counter, message, clock)
        wiring.resolve.resolve_token(
            PAYMENT_ID, actor=ACTOR, reason="seen in the console", token=calin.issued[0]
        )
        return answer

    calin.behaviours = [issue_after_the_person]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert [t.value for t in payment.tokens] == calin.issued
    counter.let_delays_pass()
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [1]
    assert diary.counted("LateAnswers") == 0
    assert not diary.rings("late-answers")


@pytest.mark.parametrize("decision", ["token", "not_issued", "credit", "retry"])
def test_an_answer_after_a_persons_decision_is_an_event_and_an_alarm_and_no_sms(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    clock: FixedClock,
    diary: Diary,
    decision: str,
) -> None:
    said = {"actor": ACTOR, "reason": "the vendor says so"}

    def decide() -> object:
        if decision == "token":
            return wiring.resolve.resolve_token(PAYMENT_ID, token=A_TOKEN, **said)
        if decision == "not_issued":
            return wiring.resolve.resolve_not_issued(PAYMENT_ID, **said)
        if decision == "credit":
            return wiring.resolve.resolve_credit(PAYMENT_ID, **said)
        return wiring.resolve.retry(PAYMENT_ID, not_issued=True, **said)

    def issue_after_the_person(request: dict[str, Any]) -> tuple[int, Any]:
        person_decides(counter, message, clock)
        decide()
        counter.cloud.take("vends")
        return calin.issue(request)

    calin.behaviours = [issue_after_the_person]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert [(e.what, e.reason) for e in payment.events][-1] == ("late_answer", "vend 1")
    assert calin.issued[0] not in {t.value for t in payment.tokens}
    assert diary.counted("LateAnswers") == 1
    assert diary.rings("late-answers")
    assert differences(counter, "C1") == []


def test_a_late_answer_is_noted_although_the_payment_moves_on_meanwhile(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    clock: FixedClock,
    process: Processes,
) -> None:
    def issue_after_the_person(request: dict[str, Any]) -> tuple[int, Any]:
        person_decides(counter, message, clock)
        wiring.resolve.resolve_not_issued(PAYMENT_ID, actor=ACTOR, reason="r")
        return calin.issue(request)

    def retried() -> None:
        wiring.resolve.retry(PAYMENT_ID, actor=ACTOR, reason="r")

    calin.behaviours = [issue_after_the_person]
    busy = process(payments=Interrupted(wiring.payments, save=[None, retried, TryAgain()]))
    counter.vend(message, by=busy)
    payment = counter.now(PAYMENT_ID)
    assert [e.what for e in payment.events][-2:] == ["retry", "late_answer"]


# --- several vends of one payment -----------------------------------------------------------------


def test_two_vends_that_finish_at_once_are_both_stored(
    company: Company,
    counter: Counter,
    calin: FakeCalin,
    three_at_most: None,
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    counter.settle_all()
    first, second = (m["body"] for m in counter.cloud.take("vends"))

    def issue_while_the_other_finishes(request: dict[str, Any]) -> tuple[int, Any]:
        counter.vend(second)
        return calin.issue(request)

    calin.behaviours = [issue_while_the_other_finishes]
    counter.vend(first)
    payment = counter.now(PAYMENT_ID)
    assert payment.status is Status.COMPLETED
    assert sorted(str(t.value) for t in payment.tokens) == calin.issued
    assert [t.units for t in sorted(payment.tokens, key=lambda t: t.vend)] == [3, 2]
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [1, 2]
    assert differences(counter, "C1") == []


def test_one_vend_in_doubt_does_not_stop_the_other(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    calin: FakeCalin,
    three_at_most: None,
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    counter.settle_all()
    first, second = (m["body"] for m in counter.cloud.take("vends"))
    calin.behaviours = [unclear]
    counter.vend(first)
    assert counter.now(PAYMENT_ID).status is Status.HELD
    counter.vend(second)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert [v.state for v in payment.vends] == [VendState.UNCERTAIN, VendState.DONE]
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [2, HELD_MESSAGE]

    wiring.resolve.retry(PAYMENT_ID, actor=ACTOR, reason="none there", not_issued=True)
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert payment.status is Status.COMPLETED
    assert [v.state for v in payment.vends] == [VendState.VOID, VendState.DONE, VendState.DONE]
    assert sum(t.units or 0 for t in payment.tokens) == 5
    assert differences(counter, "C1") == []


# --- messages -----------------------------------------------------------------------------------


def test_a_redelivery_sends_the_sms_that_could_not_be_queued(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    calin: FakeCalin,
    process: Processes,
) -> None:
    broken = process(queues=Interrupted(wiring.queues, message=[QueueUnavailable()]))
    with pytest.raises(QueueUnavailable):
        counter.vend(message, by=broken)
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    for _ in range(2):
        counter.vend(message)
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [1]
    assert len(calin.requests) == 1


@pytest.mark.parametrize(("payment_id", "number"), [("nobody-T9", 1), (PAYMENT_ID, 2)])
def test_a_message_about_a_vend_that_there_is_not_ends(
    counter: Counter,
    message: dict[str, Any],
    calin: FakeCalin,
    diary: Diary,
    payment_id: str,
    number: int,
) -> None:
    counter.vend({**message, "payment_id": payment_id, "number": number})
    assert diary.said("vend_missing") == [{"payment_id": payment_id, "vend": number}]
    assert calin.requests == []


def test_a_message_that_runs_ahead_of_its_attempt_ends(
    counter: Counter, message: dict[str, Any], calin: FakeCalin
) -> None:
    counter.vend({**message, "attempt": 2})
    assert state_of(counter.now(PAYMENT_ID)) is VendState.INTENDED
    assert calin.requests == []
