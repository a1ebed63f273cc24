"""Searchable vends (SparkMeter): what became of a lost call is found out, never guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.errors import InvariantBroken
from chalicelib.domain.payment import HELD_MESSAGE, Status, VendState
from chalicelib.manufacturers.sparkmeter import SparkMeter
from chalicelib.services.ports import OutcomeUnknown, QueueUnavailable, Sold, TryAgain, VendOrder
from chalicelib.services.vend import LOOKS_MAX, REPLACEMENTS_MAX
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes, differences
from tests.integration.services.interruptions import Interrupted, Lost
from tests.integration.services.waiting import come_back, come_back_to_the_end
from tests.integration.vendor import Answer, FakeSparkMeter, hanging_up, unclear

PAYMENT_ID = "mpesa_ke.600966-T1"


@pytest.fixture
def sparkmeter(cloud: Cloud) -> Iterator[FakeSparkMeter]:
    """SparkMeter, as a server that knows its transactions."""
    with FakeSparkMeter() as fake:
        fake.put_secrets(cloud)
        yield fake


@pytest.fixture
def message(company: Company, counter: Counter, sparkmeter: FakeSparkMeter) -> dict[str, Any]:
    """A payment of 500 for the meter, settled: the message of its vend."""
    company.customer(company.meter(manufacturer="sparkmeter"))
    return counter.to_the_vend(METER, 500)


def finding_nothing(request: dict[str, Any]) -> Answer:
    """The vendor does not list the transaction, or not yet."""
    return 200, {"results": [], "cursor": None}


def states(counter: Counter) -> list[VendState]:
    return [vend.state for vend in counter.now(PAYMENT_ID).vends]


# --- found ----------------------------------------------------------------------------------------


def test_a_top_up_that_is_delivered_at_once_completes_the_payment_without_a_token(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter
) -> None:
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert payment.status is Status.COMPLETED
    assert [(t.value, t.units) for t in payment.tokens] == [(None, Fraction(5))]
    assert payment.vend(1).reference == "tr-1"
    assert sparkmeter.requests[0]["amount"] == "500.00"
    assert sparkmeter.requests[0]["external_id"] == f"{PAYMENT_ID}.1"
    assert sparkmeter.looks == []
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [1]
    assert differences(counter, "C1") == []


def test_a_top_up_whose_answer_was_lost_is_found_by_our_name_and_vended_once(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    sparkmeter.behaviours = [sparkmeter.lost]
    counter.vend(message)
    assert counter.now(PAYMENT_ID).status is Status.VENDING
    assert come_back_to_the_end(counter, clock) == [2]
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.vend(1).reference) == (Status.COMPLETED, "tr-1")
    assert len(sparkmeter.issued) == len(sparkmeter.looks) == 1
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [1]


def test_a_crash_in_the_call_is_found_out_when_the_lease_is_over(
    counter: Counter,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really = SparkMeter.vend

    def sell_and_crash(self: SparkMeter, order: VendOrder) -> Sold:
        really(self, order)
        raise ZeroDivisionError

    with monkeypatch.context() as defect, pytest.raises(ZeroDivisionError):
        defect.setattr(SparkMeter, "vend", sell_and_crash)
        counter.vend(message)
    counter.vend(message)
    assert come_back_to_the_end(counter, clock) == [31, 2]
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert len(sparkmeter.issued) == 1


def test_what_is_sold_but_not_delivered_is_looked_at_after_growing_waits(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    sparkmeter.first_state = "pending"
    counter.vend(message)
    waits = [come_back(counter, clock) for _ in range(5)]
    assert waits == [2, 4, 8, 16, 32]
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.tokens) == (Status.VENDING, ())
    counter.send_all()
    assert counter.told(PAYMENT_ID) == []

    sparkmeter.becomes("processed")
    assert come_back_to_the_end(counter, clock) == [64]
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert {look["path"] for look in sparkmeter.looks} == {"/api/v0/transaction/tr-1"}
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [1]
    assert len(sparkmeter.issued) == 1


def test_a_message_that_comes_too_early_looks_nothing_up(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter
) -> None:
    sparkmeter.first_state = "pending"
    counter.vend(message)
    counter.delays("vends")
    counter.vend(counter.only("vends"))
    assert sparkmeter.looks == []
    assert counter.delays("vends") == [2]


# --- not found ------------------------------------------------------------------------------------


def test_what_is_not_found_yet_is_waited_for(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    sparkmeter.behaviours = [sparkmeter.lost]
    sparkmeter.look_behaviours = [finding_nothing] * 4
    counter.vend(message)
    assert come_back_to_the_end(counter, clock) == [2, 4, 8, 16, 30]
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, states(counter)) == (Status.COMPLETED, [VendState.DONE])
    assert len(sparkmeter.issued) == 1


def test_what_is_surely_absent_is_void_and_a_new_vend_takes_its_place(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    sparkmeter.behaviours = [hanging_up]
    counter.vend(message)
    assert come_back_to_the_end(counter, clock) == [2, 4, 8, 16, 30, 0]
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, states(counter)) == (
        Status.COMPLETED,
        [VendState.VOID, VendState.DONE],
    )
    assert [r["external_id"] for r in sparkmeter.requests] == [
        f"{PAYMENT_ID}.1",
        f"{PAYMENT_ID}.2",
    ]
    assert [(e.what, e.reason) for e in payment.events][-1] == ("vend_absent", "vend 1")
    assert payment.vend(1).closed
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [2]
    assert differences(counter, "C1") == []


def test_a_message_of_a_vend_that_was_replaced_calls_nobody(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    sparkmeter.behaviours = [hanging_up]
    counter.vend(message)
    come_back_to_the_end(counter, clock)
    for _ in range(3):
        counter.vend(message)
        counter.run_dry()
    assert len(sparkmeter.requests) == 2
    assert counter.delays("vends") == []


@pytest.mark.parametrize("error", [Lost(OutcomeUnknown()), TryAgain()])
def test_a_replacement_whose_writing_is_not_confirmed_is_made_once(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
    process: Processes,
    error: Any,
) -> None:
    sparkmeter.behaviours = [hanging_up]
    counter.vend(message)
    clock.move(timedelta(minutes=2))
    busy = process(payments=Interrupted(wiring.payments, save=[error]))
    counter.vend(message, by=busy)
    counter.let_delays_pass()
    counter.run_dry()
    assert states(counter) == [VendState.VOID, VendState.DONE]
    assert len(sparkmeter.issued) == 1


def test_a_redelivery_queues_the_replacement_that_could_not_be_queued(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
    process: Processes,
) -> None:
    sparkmeter.behaviours = [hanging_up]
    counter.vend(message)
    counter.delays("vends")
    counter.only("vends")
    clock.move(timedelta(minutes=2))
    broken = process(queues=Interrupted(wiring.queues, vend=[QueueUnavailable()]))
    with pytest.raises(QueueUnavailable):
        counter.vend(message, by=broken)
    counter.vend(message)
    assert come_back_to_the_end(counter, clock) == [0]
    assert states(counter) == [VendState.VOID, VendState.DONE]


def test_what_is_absent_again_and_again_is_for_a_person(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    sparkmeter.behaviours = [hanging_up] * 20
    counter.vend(message)
    come_back_to_the_end(counter, clock)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert states(counter) == [VendState.VOID] * REPLACEMENTS_MAX + [VendState.UNCERTAIN]
    assert len(sparkmeter.requests) == REPLACEMENTS_MAX + 1
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE]
    assert differences(counter, "C1") == []


def test_a_vend_that_shows_only_after_it_was_replaced_is_not_sold_a_third_time(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    sparkmeter.behaviours = [sparkmeter.lost, hanging_up]
    sparkmeter.look_behaviours = [finding_nothing] * 5
    counter.vend(message)
    come_back_to_the_end(counter, clock)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert states(counter) == [VendState.VOID, VendState.UNCERTAIN]
    assert len(sparkmeter.requests) == 2
    told = [event.reason for event in payment.events if event.what == "vend_uncertain"]
    assert told[-1] == "another vend of this payment was sold"


# --- refused, or never told -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason"), [("error", "transaction_error"), ("reversed", "transaction_reversed")]
)
@pytest.mark.parametrize("named", [True, False])
def test_a_top_up_that_gave_nothing_for_good_holds_the_payment_as_refused(
    counter: Counter,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
    state: str,
    reason: str,
    named: bool,
) -> None:
    sparkmeter.first_state = "pending"
    sparkmeter.behaviours = [] if named else [sparkmeter.lost]
    counter.vend(message)
    sparkmeter.becomes(state)
    assert come_back_to_the_end(counter, clock) == [2]
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_refused")
    assert ("vend_refused", reason) in [(e.what, e.reason) for e in payment.events]
    assert len(sparkmeter.requests) == 1


def test_after_fruitless_looks_over_an_hour_a_person_must_tell(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    sparkmeter.behaviours = [sparkmeter.lost]
    sparkmeter.look_behaviours = [unclear] * 20
    counter.vend(message)
    waits = come_back_to_the_end(counter, clock)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    assert len(sparkmeter.looks) == LOOKS_MAX
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert [e.what for e in payment.events] == ["vend_uncertain", "vend_uncertain", "held"]
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE]


def test_a_persons_retry_looks_once_more_and_sells_nothing(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
) -> None:
    sparkmeter.behaviours = [sparkmeter.lost]
    sparkmeter.look_behaviours = [unclear] * LOOKS_MAX
    counter.vend(message)
    come_back_to_the_end(counter, clock)
    clock.move(timedelta(minutes=15))
    wiring.resolve.retry(PAYMENT_ID, actor=ACTOR, reason="Koios is back")
    assert come_back_to_the_end(counter, clock) == [0]
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, states(counter)) == (Status.COMPLETED, [VendState.DONE])
    assert len(sparkmeter.issued) == 1


def test_without_credentials_a_look_up_is_made_later(
    counter: Counter,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
    cloud: Cloud,
    process: Processes,
) -> None:
    sparkmeter.behaviours = [sparkmeter.lost]
    counter.vend(message)
    cloud.put_secret("manufacturers/sparkmeter", {})
    clock.move(timedelta(seconds=2))
    counter.delays("vends")
    counter.vend(counter.only("vends"), by=process())
    assert states(counter) == [VendState.UNCERTAIN]
    assert sparkmeter.looks == []
    sparkmeter.put_secrets(cloud)
    assert come_back_to_the_end(counter, clock) == [4]
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED


def test_a_store_that_is_busy_at_a_look_up_makes_the_message_come_back(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
    process: Processes,
) -> None:
    sparkmeter.behaviours = [sparkmeter.lost]
    counter.vend(message)
    clock.move(timedelta(seconds=2))
    blind = process(devices=Interrupted(wiring.devices, get=[TryAgain()]))
    with pytest.raises(TryAgain):
        counter.vend(message, by=blind)
    counter.vend(message)
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED


def test_money_in_no_known_currency_is_never_sent(
    counter: Counter, wiring: Wiring, message: dict[str, Any], sparkmeter: FakeSparkMeter
) -> None:
    wiring.payments.save(replace(counter.now(PAYMENT_ID), currency="QQQ"))
    with pytest.raises(InvariantBroken):
        counter.vend(message)
    assert sparkmeter.requests == []


# --- two at once, and late answers ----------------------------------------------------------------


def test_of_two_workers_that_look_at_once_there_is_one_result(
    counter: Counter,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
    diary: Diary,
) -> None:
    def look_while_another_does(request: dict[str, Any]) -> Answer:
        counter.vend(message)
        return sparkmeter.look(request)

    sparkmeter.behaviours = [sparkmeter.lost]
    sparkmeter.look_behaviours = [look_while_another_does]
    counter.vend(message)
    come_back_to_the_end(counter, clock)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, len(payment.tokens)) == (Status.COMPLETED, 1)
    assert len(sparkmeter.looks) == 2
    assert len(sparkmeter.issued) == 1
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [1]
    assert diary.counted("LateAnswers") == 0


def test_what_one_worker_has_found_another_does_not_make_absent(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    def nothing_while_another_finds(request: dict[str, Any]) -> Answer:
        counter.vend(message)
        return finding_nothing(request)

    sparkmeter.behaviours = [sparkmeter.lost]
    counter.vend(message)
    counter.delays("vends")
    clock.move(timedelta(minutes=2))
    sparkmeter.look_behaviours = [nothing_while_another_finds]
    counter.vend(counter.only("vends"))
    assert states(counter) == [VendState.DONE]
    counter.run_dry()
    assert len(sparkmeter.issued) == 1


@pytest.mark.parametrize("state", ["processed", "pending"])
def test_a_sale_that_turns_up_after_its_vend_was_replaced_is_an_event_and_an_alarm(
    counter: Counter,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
    diary: Diary,
    state: str,
) -> None:
    def found_while_another_finds_nothing(request: dict[str, Any]) -> Answer:
        sparkmeter.look_behaviours = [finding_nothing]
        counter.vend(message)
        return sparkmeter.look(request)

    sparkmeter.first_state = state
    sparkmeter.behaviours = [sparkmeter.lost]
    counter.vend(message)
    clock.move(timedelta(minutes=2))
    sparkmeter.look_behaviours = [found_while_another_finds_nothing]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert states(counter) == [VendState.VOID, VendState.INTENDED]
    assert (payment.events[-1].what, payment.events[-1].reason) == ("late_answer", "vend 1")
    assert diary.counted("LateAnswers") == 1


def test_a_top_up_that_is_taken_after_it_was_given_up_is_looked_at_by_the_vendors_name(
    counter: Counter, message: dict[str, Any], sparkmeter: FakeSparkMeter, clock: FixedClock
) -> None:
    def slowly(request: dict[str, Any]) -> Answer:
        clock.move(timedelta(seconds=31))
        counter.vend(message)
        assert states(counter) == [VendState.UNCERTAIN]
        return sparkmeter.issue(request)

    sparkmeter.first_state = "pending"
    sparkmeter.behaviours = [slowly]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert (payment.vend(1).state, payment.vend(1).reference) == (VendState.UNCERTAIN, "tr-1")
    sparkmeter.becomes("processed")
    counter.let_delays_pass()
    clock.move(timedelta(minutes=1))
    counter.run_dry()
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert len(sparkmeter.issued) == 1


def test_a_sale_that_is_answered_after_a_person_has_decided_is_an_event_and_an_alarm(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
    diary: Diary,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not yet delivered, so the answer alone completes nothing; but something was sold."""

    def slowly(request: dict[str, Any]) -> Answer:
        clock.move(timedelta(seconds=31))
        counter.vend(message)
        wiring.resolve.resolve_credit(PAYMENT_ID, actor=ACTOR, reason="none in Koios")
        return sparkmeter.issue(request)

    monkeypatch.setattr("chalicelib.services.vend.LOOKS_MAX", 0)  # held at once
    sparkmeter.first_state = "pending"
    sparkmeter.behaviours = [slowly]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, states(counter)) == (Status.COMPLETED, [VendState.VOID])
    assert payment.events[-1].what == "late_answer"
    assert diary.counted("LateAnswers") == 1
    assert differences(counter, "C1") == []
