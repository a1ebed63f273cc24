"""Alarms ring over what the functions print in a fault, and are silent over a healthy day.

Those on a single fault are tested where that fault is (``diary.rings``); here are the others.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from chalice.app import SQSEvent

from chalicelib.api import workers
from chalicelib.channels.callers import WrongPath, note_failure, note_intruder
from chalicelib.domain.errors import MwangaError
from chalicelib.services.ports import Message, PauseKind, SmsFailed
from chalicelib.wiring import Wiring
from tests.alarm_evaluator import NAMESPACE, series_of
from tests.integration.company import METER, Company, FixedClock, claim
from tests.integration.services.conftest import Counter, Diary, Processes, alarms
from tests.integration.vendor import FakeCalin, unclear

OURS = sorted(
    name
    for name, alarm in alarms().items()
    if any(namespace == NAMESPACE for namespace, _, _ in series_of(alarm))
)


class Gateway:
    """Takes no SMS, as long as it is told so."""

    def __init__(self) -> None:
        self.broken = True

    def send(self, message: Message) -> None:
        """Take one SMS."""
        if self.broken:
            raise SmsFailed


@pytest.fixture
def household(company: Company) -> str:
    return company.customer(company.meter(), company.meter("47002"))


def look(wiring: Wiring) -> None:
    """What the sweeper does every minute."""
    wiring.sweep.sweep()
    wiring.watch_open.look()


def close_the_day(wiring: Wiring, counter: Counter, clock: FixedClock) -> None:
    """Let the day that ended be closed."""
    wiring.make_reports.close_what_ended()
    while messages := counter.cloud.take("moves"):
        for message in messages:
            wiring.make_reports.work(message["body"]["move_id"], clock.now() + timedelta(minutes=1))


def test_a_healthy_day_rings_no_alarm(
    household: str, counter: Counter, wiring: Wiring, diary: Diary, clock: FixedClock
) -> None:
    for number, serial_number in enumerate([METER, "47002"] * 3):
        counter.pay(claim(serial_number, 500, f"T{number}"))
    look(wiring)
    wiring.reconcile.run(clock.now() + timedelta(minutes=1))
    close_the_day(wiring, counter, clock)
    assert {name for name in OURS if diary.rings(name)} == set()


def test_silence_rings_where_it_would_pass_for_health(diary: Diary) -> None:
    silent = {name for name in OURS if diary.rings(name)}
    assert silent == {"books-not-checked", "books-not-closed", "sweep-silent"}


def test_vends_of_a_manufacturer_that_fail_are_an_alarm_of_that_manufacturer(
    company: Company, counter: Counter, calin: FakeCalin, diary: Diary
) -> None:
    serials = [f"4700{number}" for number in range(1, 10)]
    company.customer(*(company.meter(serial_number) for serial_number in serials))
    calin.behaviours = [unclear] * 4
    for number, serial_number in enumerate(serials[:4]):
        counter.pay(claim(serial_number, 500, f"T{number}"))
    assert not diary.rings("vend-failures-calin"), "four are too few to mean anything"
    counter.pay(claim(serials[4], 500, "T5"))
    assert diary.rings("vend-failures-calin"), "four of five"
    assert not diary.rings("vend-failures-calin-smart")


def test_a_few_vends_that_fail_among_many_are_no_alarm(
    company: Company, counter: Counter, calin: FakeCalin, diary: Diary
) -> None:
    company.customer(company.meter())
    calin.behaviours = [unclear]
    for number in range(6):
        counter.pay(claim(METER, 500, f"T{number}"))
    assert not diary.rings("vend-failures-calin"), "one of six"


def test_sms_that_the_gateway_does_not_take_are_an_alarm_also_when_none_is_taken(
    household: str, process: Processes, counter: Counter, diary: Diary
) -> None:
    gateway = Gateway()
    worker = process(sms_gateway=gateway)
    counter.accept(METER, 500)
    counter.settle_all()
    counter.vend_all()
    message = counter.only("messages")
    tried = (message["payment_id"], message["number"], message["customer_id"])
    for _ in range(4):
        with pytest.raises(SmsFailed):
            worker.notify.send(*tried)
        assert not diary.rings("sms-failures")
    worker.notify.send(*tried)  # the fifth gives it up
    assert diary.rings("sms-failures")


def test_a_payment_that_waits_for_us_is_an_alarm_after_half_an_hour(
    household: str, counter: Counter, wiring: Wiring, diary: Diary, clock: FixedClock
) -> None:
    counter.accept(METER, 500)
    clock.move(timedelta(minutes=29))
    look(wiring)
    assert not diary.rings("oldest-open")
    clock.move(timedelta(minutes=5))
    look(wiring)
    assert diary.rings("oldest-open")
    assert not diary.rings("held-payments")


def test_a_payment_that_waits_for_a_person_is_an_alarm_and_another_one_after_a_day(
    household: str, counter: Counter, wiring: Wiring, diary: Diary, clock: FixedClock,
    calin: FakeCalin,
) -> None:  # fmt: skip
    calin.behaviours = [unclear]
    counter.pay(claim(METER, 500))
    clock.move(timedelta(hours=23, minutes=59))
    look(wiring)
    assert diary.rings("held-payments")
    assert not diary.rings("held-too-long")
    clock.move(timedelta(minutes=5))
    look(wiring)
    assert diary.rings("held-too-long")
    assert not diary.rings("oldest-open"), "it does not wait for us"


def test_the_sweeper_and_the_proof_of_the_books_ring_only_until_they_have_run(
    household: str, wiring: Wiring, diary: Diary, clock: FixedClock
) -> None:
    assert diary.rings("sweep-silent")
    assert diary.rings("books-not-checked")
    look(wiring)
    wiring.reconcile.run(clock.now() + timedelta(minutes=1))
    assert not diary.rings("sweep-silent")
    assert not diary.rings("books-not-checked")


def test_a_day_that_is_not_closed_is_an_alarm_until_it_is(
    wiring: Wiring, counter: Counter, diary: Diary, clock: FixedClock
) -> None:
    assert diary.rings("books-not-closed")
    close_the_day(wiring, counter, clock)
    assert not diary.rings("books-not-closed")


def test_a_message_in_which_a_worker_meets_a_bug_is_an_alarm(wiring: Wiring, diary: Diary) -> None:
    def settled(body: str) -> dict[str, Any]:
        record = {"messageId": "1", "body": body, "receiptHandle": "", "attributes": {}}
        return workers.settle(SQSEvent({"Records": [record]}, None), wiring)

    assert not diary.rings("messages-crashed")
    assert settled("{}") == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert diary.rings("messages-crashed")


def test_a_pause_is_an_alarm_when_it_has_lasted_a_day(
    wiring: Wiring, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = 500_000.0
    monkeypatch.setattr(time, "time", lambda: hour * 3600 + 1)
    wiring.keep_pauses.count()
    wiring.keep_pauses.pause(PauseKind.CHANNEL, "daraja", reason="a look", actor="ops")
    for _ in range(24):
        assert not diary.rings("paused-long")
        hour += 1
        wiring.keep_pauses.count()
    assert diary.rings("paused-long")


def test_one_stranger_at_a_channel_is_no_alarm_and_twenty_are(wiring: Wiring, diary: Diary) -> None:
    for _ in range(19):
        note_intruder(WrongPath(), "daraja", wiring.desk)
    assert not diary.rings("callers-refused")
    note_intruder(WrongPath(), "paystack", wiring.desk)
    assert diary.rings("callers-refused")


def test_a_report_that_cannot_be_taken_is_an_alarm(wiring: Wiring, diary: Diary) -> None:
    class Unreadable(MwangaError):
        code = "malformed"

    assert not diary.rings("reports-failed")
    note_failure(Unreadable("no JSON"), "daraja", wiring.desk)
    assert diary.rings("reports-failed")
