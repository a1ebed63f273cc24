"""Pauses: a channel says no before money moves, a manufacturer's vends wait; nothing is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.domain.errors import FieldError, Refusal
from chalicelib.domain.payment import SWEEPS_MAX, Claim, Status
from chalicelib.services.pauses import NothingToPause
from chalicelib.services.ports import Pause, PauseKind, VersionConflict
from chalicelib.store.models import SettingsChangeRow
from chalicelib.wiring import Wiring
from tests.integration.company import METER, NOW, SHS, Company, FixedClock, claim, plan
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes, differences
from tests.integration.services.interruptions import Interrupted
from tests.integration.vendor import FakeCalin

PAYMENT_ID = "mpesa_ke.600966-T1"
CHANNEL, MANUFACTURER = PauseKind.CHANNEL, PauseKind.MANUFACTURER
HALF_A_MINUTE = timedelta(seconds=30)


def asked(serial_number: str = METER, transaction: str = "T1") -> Claim:
    """What is claimed on a channel that asks first."""
    return claim(serial_number, 500, transaction, channel="daraja")


def pause(by: Wiring, kind: PauseKind, key: str, reason: str = "trouble there") -> Pause:
    return by.keep_pauses.pause(kind, key, reason=reason, actor=ACTOR)


# --- keeping them -------------------------------------------------------------------------------


def test_who_paused_what_and_why_is_kept(
    wiring: Wiring, clock: FixedClock, diary: Diary, company: Company
) -> None:
    pause(wiring, CHANNEL, "daraja")
    clock.move(timedelta(hours=1))
    again = pause(wiring, CHANNEL, "daraja", "still trouble")
    assert again == Pause(CHANNEL, "daraja", "still trouble", ACTOR, NOW)
    pause(wiring, MANUFACTURER, "calin")
    assert [p.key for p in wiring.keep_pauses.all().pauses] == ["daraja", "calin"]

    wiring.keep_pauses.resume(CHANNEL, "daraja", actor=ACTOR)

    assert [p.key for p in wiring.keep_pauses.all().pauses] == ["calin"]
    assert [row.changes for row in SettingsChangeRow.query("pauses")] == [
        {"channel daraja": {"before": None, "after": "trouble there"}},
        {"channel daraja": {"before": "trouble there", "after": "still trouble"}},
        {"manufacturer calin": {"before": None, "after": "trouble there"}},
        {"channel daraja": {"before": "still trouble", "after": None}},
    ]
    assert diary.said("resumed") == [{"kind": "channel", "key": "daraja", "actor": ACTOR}]
    wiring.keep_pauses.count()
    assert diary.gauges[-1] == ("Paused", 1, {})


@pytest.mark.parametrize("kind", PauseKind)
def test_what_is_not_there_cannot_be_paused_nor_resumed(
    wiring: Wiring, company: Company, kind: PauseKind
) -> None:
    with pytest.raises(NothingToPause):
        pause(wiring, kind, "nobody")
    with pytest.raises(NothingToPause):
        wiring.keep_pauses.resume(kind, "daraja", actor=ACTOR)


@pytest.mark.parametrize(
    ("kind", "key"), [(CHANNEL, "airtel_tz"), (CHANNEL, "imported"), (MANUFACTURER, "openpaygo")]
)
def test_what_cannot_say_no_cannot_be_paused(
    wiring: Wiring, company: Company, kind: PauseKind, key: str
) -> None:
    with pytest.raises(FieldError, match=r"it cannot say no|computed here"):
        pause(wiring, kind, key)
    assert wiring.keep_pauses.all().pauses == ()


def test_of_two_who_pause_at_once_one_must_look_again(
    wiring: Wiring, process: Processes, company: Company
) -> None:
    store = Interrupted(wiring.pauses_store, save=[lambda: pause(process(), CHANNEL, "daraja")])
    with pytest.raises(VersionConflict):
        pause(process(pauses_store=store), MANUFACTURER, "calin")
    assert [p.key for p in wiring.keep_pauses.all().pauses] == ["daraja"]


# --- a channel ----------------------------------------------------------------------------------


def test_a_paused_channel_says_no_before_money_moves(
    company: Company, process: Processes, wiring: Wiring, counter: Counter
) -> None:
    company.customer(company.meter())
    pause(wiring, CHANNEL, "daraja")
    accept = process().accept
    assert accept.question(asked()) is Refusal.PAUSED
    assert accept.quote(asked()) is Refusal.PAUSED
    assert accept.start(asked(transaction="T2")) is Refusal.PAUSED
    assert accept.accept(asked(transaction="T3"), money_moved=False).refusal is Refusal.PAUSED
    reserved = accept.reserve(asked(transaction="T4")).payment
    assert (reserved.status, reserved.reason) == (Status.PENDING, "paused")
    assert accept.question(claim(METER, 500, "T5")) is None, "another channel goes on"
    assert counter.now(PAYMENT_ID).reason == "paused"


def test_a_paused_channel_still_takes_the_word_that_money_has_moved(
    company: Company, process: Processes, wiring: Wiring, counter: Counter
) -> None:
    company.customer(company.meter())
    pause(wiring, CHANNEL, "daraja")
    process().accept.question(asked())
    payment = counter.pay(asked())
    assert (payment.status, len(payment.tokens)) == (Status.COMPLETED, 1)


def test_what_was_taken_before_the_pause_is_still_known_in_it(
    company: Company, process: Processes, wiring: Wiring, counter: Counter
) -> None:
    company.customer(company.meter())
    process().accept.accept(asked(), money_moved=False)
    counter.run_dry()
    pause(wiring, CHANNEL, "daraja")
    again = process().accept.accept(asked(), money_moved=False)
    assert (again.repeated, again.payment.status) == (True, Status.COMPLETED)


def test_a_pause_and_its_end_are_in_force_within_30_seconds(
    company: Company, process: Processes, wiring: Wiring, clock: FixedClock
) -> None:
    company.customer(company.meter())
    worker = process()
    assert worker.accept.question(asked()) is None
    pause(wiring, CHANNEL, "daraja")
    clock.move(HALF_A_MINUTE)
    assert worker.accept.question(asked()) is Refusal.PAUSED
    wiring.keep_pauses.resume(CHANNEL, "daraja", actor=ACTOR)
    clock.move(HALF_A_MINUTE)
    assert worker.accept.question(asked()) is None


# --- a manufacturer -----------------------------------------------------------------------------


def test_a_paused_manufacturers_vends_wait_and_each_is_made_once(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    calin: FakeCalin,
) -> None:
    customer_id = company.customer(
        company.meter(),
        company.shs(plan_id="p-1"),
        plans=(plan("p-1", 7000, serial_number=SHS),),
    )
    pause(wiring, MANUFACTURER, "calin")
    body = counter.to_the_vend(METER, 500)
    for _ in range(3):
        counter.vend(body)
        (delay,) = counter.delays("vends")
        assert 60 <= delay <= 70
        body = counter.only("vends")
        clock.move(timedelta(minutes=1))
    assert calin.requests == []
    assert counter.pay(claim(SHS, 700, "T2")).status is Status.COMPLETED, "others go on"

    wiring.keep_pauses.resume(MANUFACTURER, "calin", actor=ACTOR)
    clock.move(HALF_A_MINUTE)
    counter.vend(body)
    counter.run_dry()

    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert len(calin.requests) == 1
    assert differences(counter, customer_id, plan("p-1", 7000, serial_number=SHS)) == []


def test_a_payment_that_waits_for_a_pause_is_not_stuck_however_long(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    calin: FakeCalin,
) -> None:
    company.customer(company.meter())
    pause(wiring, MANUFACTURER, "calin")
    counter.to_the_vend(METER, 500)  # and its message is lost
    for _ in range(3 * SWEEPS_MAX):
        clock.move(timedelta(hours=1))
        assert wiring.sweep.sweep() == 1
    assert counter.now(PAYMENT_ID).status is Status.VENDING
    assert counter.cloud.take("vends") == [], "its own message comes back by itself"

    wiring.keep_pauses.resume(MANUFACTURER, "calin", actor=ACTOR)
    clock.move(timedelta(hours=1))
    wiring.sweep.sweep()
    counter.run_dry()

    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert len(calin.requests) == 1
