"""Sweeping: whatever is lost on the way is found, and what makes no progress gets a person."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.domain.payment import HELD_MESSAGE, SWEEPS_MAX, Status, VendState
from chalicelib.services.ports import (
    OutcomeUnknown,
    QueueUnavailable,
    TryAgain,
    VersionConflict,
)
from chalicelib.services.sweep import PAYMENTS_PER_SHARD_MAX
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock, claim
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes
from tests.integration.services.interruptions import Interrupted
from tests.integration.vendor import FakeCalin

PAYMENT_ID = "mpesa_ke.600966-T1"
A_MINUTE = timedelta(minutes=1)


def swept_until_held(counter: Counter, clock: FixedClock) -> list[int]:
    """The minutes at which the payment was queued again, every message being lost."""
    began = clock.now()
    minutes, numbers = [], []
    while (payment := counter.now(PAYMENT_ID)).status is Status.RECEIVED:
        assert payment.check_at is not None
        clock.move(payment.check_at - clock.now())
        counter.wiring.sweep.sweep()
        if taken := counter.cloud.take("payments"):
            numbers.append(taken[0]["Attributes"]["MessageDeduplicationId"])
            minutes.append((clock.now() - began) // A_MINUTE)
    assert len(set(numbers)) == len(numbers), "or SQS would take them for one message"
    return minutes


def test_a_fresh_payment_is_left_to_its_own_message(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    clock.move(timedelta(seconds=59))
    assert wiring.sweep.sweep() == 0


def test_a_payment_whose_messages_are_all_lost_is_looked_at_less_and_less_and_then_held(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock, diary: Diary
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    counter.cloud.take("payments")
    minutes = swept_until_held(counter, clock)
    assert minutes == [1, 2, 4, 8, 16, 32, 64, 124, 184, 244]
    assert len(minutes) == SWEEPS_MAX
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "stuck")
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE]
    ages = [said["age_seconds"] for said in diary.said("payment_swept")]
    assert ages[:3] == [60, 120, 240]


def test_a_stuck_payment_is_settled_by_no_old_message_but_by_a_person(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    message = counter.only("payments")
    swept_until_held(counter, clock)
    wiring.settle.settle(message["payment_id"], message["customer_id"], message["serial_number"])
    assert counter.now(PAYMENT_ID).status is Status.HELD
    wiring.resolve.retry(PAYMENT_ID, actor=ACTOR, reason="the queue works again")
    counter.run_dry()
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED


def test_a_lost_vend_message_is_sent_again(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    counter.to_the_vend(METER, 500)
    clock.move(2 * A_MINUTE)
    assert wiring.sweep.sweep() == 1
    counter.run_dry()
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert len(calin.issued) == 1


def test_a_call_that_nobody_finished_is_found_uncertain(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    counter.to_the_vend(METER, 500)
    until = clock.now() + timedelta(seconds=30)
    wiring.payments.lease(PAYMENT_ID, 1, 1, called_at=clock.now(), lease_until=until)
    clock.move(2 * A_MINUTE)
    wiring.sweep.sweep()
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.vend(1).state) == (Status.HELD, VendState.UNCERTAIN)
    assert calin.requests == []


def test_a_held_payment_is_looked_at_every_hour_and_its_lost_sms_is_sent(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    calin.behaviours = [lambda request: (500, {})]
    counter.accept(METER, 500)
    counter.settle_all()
    counter.vend_all()
    counter.cloud.take("messages")
    looked_at = []
    for _ in range(4):
        clock.move(timedelta(minutes=30))
        looked_at.append(wiring.sweep.sweep())
    assert looked_at == [0, 1, 0, 1]
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE]
    assert len(calin.requests) == 1


def test_a_finished_payment_is_not_looked_at(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock
) -> None:
    company.customer(company.meter())
    counter.pay(claim(METER, 500))
    wiring.accept.question(claim("47999", 500, "T2"))
    clock.move(timedelta(days=1))
    assert wiring.sweep.sweep() == 0


@pytest.mark.parametrize("finished", [True, False])
def test_a_payment_that_moved_on_since_the_index_was_read_is_left_alone(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    clock: FixedClock,
    finished: bool,
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    clock.move(2 * A_MINUTE)
    happening = counter.run_dry if finished else wiring.sweep.sweep
    worker = process(payments=Interrupted(wiring.payments, get=[happening]))
    assert worker.sweep.sweep() == 0


def test_an_entry_of_the_index_without_a_payment_is_passed_over(wiring: Wiring) -> None:
    class Gone:
        def due(self, *key: object) -> list[str]:
            return ["nobody-T9"]

        def get(self, payment_id: str) -> None:
            return None

    wiring.payments = Gone()  # type: ignore[assignment]
    assert wiring.sweep.sweep() == 0


def test_whoever_is_at_work_on_a_payment_is_not_disturbed(
    company: Company, counter: Counter, wiring: Wiring, process: Processes, clock: FixedClock
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    clock.move(2 * A_MINUTE)
    worker = process(payments=Interrupted(wiring.payments, save=[counter.settle_all]))
    assert worker.sweep.sweep() == 0
    assert counter.now(PAYMENT_ID).status is Status.VENDING


@pytest.mark.parametrize("method", ["get", "save"])
@pytest.mark.parametrize(
    "error", [TryAgain(), OutcomeUnknown(), ValueError("an item that cannot be read")]
)
def test_one_payment_that_cannot_be_swept_does_not_keep_the_others_waiting(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    clock: FixedClock,
    diary: Diary,
    method: str,
    error: Exception,
) -> None:
    company.customer(company.meter())
    for number in range(4):
        counter.accept(METER, 500, f"T{number}")
    counter.cloud.take("payments")
    clock.move(2 * A_MINUTE)
    worker = process(payments=Interrupted(wiring.payments, **{method: [error]}))
    assert worker.sweep.sweep() == 3
    assert len(counter.cloud.take("payments")) == 3
    assert diary.counted("SweepFailures") == 1
    assert diary.rings("sweep-failures")
    assert wiring.sweep.sweep() == 1


def test_a_queue_that_fails_once_costs_one_look(
    company: Company, counter: Counter, wiring: Wiring, process: Processes, clock: FixedClock
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    counter.cloud.take("payments")
    clock.move(A_MINUTE)
    broken = process(queues=Interrupted(wiring.queues, settle=[QueueUnavailable()]))
    assert broken.sweep.sweep() == 0
    clock.move(A_MINUTE)
    wiring.sweep.sweep()
    counter.run_dry()
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED


def test_an_index_that_cannot_be_read_fails_the_run_and_the_next_minute_tries_again(
    wiring: Wiring, process: Processes, company: Company
) -> None:
    worker = process(payments=Interrupted(wiring.payments, due=[TryAgain()]))
    with pytest.raises(TryAgain):
        worker.sweep.sweep()
    assert worker.sweep.sweep() == 0


def test_one_run_is_bounded(wiring: Wiring, process: Processes) -> None:
    limits = []

    class Endless:
        def due(self, shard: int, until: object, limit: int) -> list[str]:
            limits.append((shard, limit))
            return []

    process(payments=Endless()).sweep.sweep()
    assert limits == [(shard, PAYMENTS_PER_SHARD_MAX) for shard in range(16)]


def test_two_sweepers_at_once_look_once(
    company: Company, counter: Counter, wiring: Wiring, process: Processes, clock: FixedClock
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    clock.move(2 * A_MINUTE)
    second = process(payments=Interrupted(wiring.payments, save=[wiring.sweep.sweep]))
    assert second.sweep.sweep() == 0
    assert counter.now(PAYMENT_ID).sweeps == 1


def test_losing_the_race_for_a_look_is_no_failure(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    clock: FixedClock,
    diary: Diary,
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    clock.move(2 * A_MINUTE)
    lost = process(payments=Interrupted(wiring.payments, save=[VersionConflict()]))
    assert lost.sweep.sweep() == 0
    assert diary.counted("SweepFailures") == 0
    assert not diary.rings("sweep-failures")
