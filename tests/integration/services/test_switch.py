"""Devices that run until they are switched off: on when paid, off when the paid time ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import InvariantBroken
from chalicelib.domain.payment import Status, VendState
from chalicelib.services.ports import Device, QueueUnavailable, VersionConflict
from chalicelib.services.switch import DEVICES_PER_RUN_MAX, OutOfTime
from chalicelib.wiring import Wiring
from tests.integration.company import BIKE, METER, NOW, Company, FixedClock, claim, plan
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import Counter, Diary, Processes
from tests.integration.vendor import NO_CONNECTION, Answer, FakeDalyBms, unclear

PLAN = plan("p-1", 7000, serial_number=BIKE)
WEEK = timedelta(days=7)


@pytest.fixture
def daly(cloud: Cloud, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDalyBms]:
    """Daly's cloud; the module's clock is that of the test."""
    monkeypatch.setattr(
        "chalicelib.manufacturers.daly_bms.DalyBms.__init__.__defaults__", (clock.now,)
    )
    with FakeDalyBms() as fake:
        fake.put_secrets(cloud)
        yield fake


@pytest.fixture
def asha(company: Company, daly: FakeDalyBms) -> str:
    """A customer with a bike on a plan of 700 a week."""
    bike = company.e_bike(plan_id="p-1", manufacturer="daly_bms")
    return company.customer(bike, company.meter(), plans=(PLAN,))


def device(wiring: Wiring, serial_number: str = BIKE) -> Device:
    """The device as it stands."""
    found = wiring.devices.get(serial_number)
    assert found is not None
    return found


def look(counter: Counter) -> int:
    """One run of the schedule, and all that follows; how many devices were due."""
    due = counter.wiring.switch.queue_due()
    counter.run_dry()
    return due


def test_a_payment_switches_the_bike_on_and_the_end_of_its_time_switches_it_off(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock, diary: Diary
) -> None:
    payment = counter.pay(claim(BIKE, 700))
    assert payment.status is Status.COMPLETED
    assert payment.tokens[0].value is None
    assert daly.relays == {BIKE: True}
    assert device(counter.wiring).switch_off_at == NOW + WEEK
    clock.move(WEEK - timedelta(seconds=1))
    assert look(counter) == 0
    clock.move(timedelta(seconds=1))
    assert look(counter) == 1
    assert daly.relays == {BIKE: False}
    assert device(counter.wiring).switch_off_at is None, "nothing is due any more"
    assert diary.said("device_switched") == [{"serial_number": BIKE, "on": False}]
    clock.move(WEEK)
    assert look(counter) == 0


def test_time_that_was_added_meanwhile_keeps_the_bike_on(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    counter.pay(claim(BIKE, 700, "T2"))
    assert device(counter.wiring).switch_off_at == NOW + WEEK, "the earlier look stays"
    clock.move(WEEK)
    assert look(counter) == 1
    assert daly.relays == {BIKE: True}
    assert device(counter.wiring).switch_off_at == NOW + 2 * WEEK
    clock.move(WEEK)
    look(counter)
    assert daly.relays == {BIKE: False}


def test_the_final_payment_leaves_the_bike_on_for_good(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    counter.pay(claim(BIKE, 6300, "T2"))
    clock.move(WEEK)
    assert look(counter) == 1
    assert daly.relays == {BIKE: True}
    assert device(counter.wiring).switch_off_at is None


def test_after_an_outage_all_that_was_missed_is_switched(
    company: Company, counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    others = [f"BIKE{number}" for number in range(2, 5)]
    for number, serial_number in enumerate(others):
        bike = company.e_bike(serial_number, plan_id="p-1", manufacturer="daly_bms")
        plans = (replace(PLAN, serial_number=serial_number),)
        company.customer(bike, plans=plans, phone=f"+25470000001{number}")
        counter.pay(claim(serial_number, 700, f"T{number}"))
    counter.pay(claim(BIKE, 700, "T9"))
    clock.move(2 * WEEK)
    assert look(counter) == 4
    assert daly.relays == dict.fromkeys([BIKE, *others], False)


def test_a_bike_that_cannot_be_reached_is_tried_again_the_later_the_longer_it_is_due(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock, diary: Diary
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    daly.out_of_reach = True
    waits: list[timedelta] = []
    for _ in range(5):
        look(counter)
        at = device(counter.wiring).switch_off_at
        assert at is not None
        waits.append(at - clock.now())
        clock.move(at - clock.now())
    minutes = [wait / timedelta(minutes=1) for wait in waits]
    assert minutes == [5, 5, 5, 7.5, 11.25]
    clock.move(timedelta(hours=10))
    assert diary.counted("SwitchesOverdue") == 0
    assert not diary.rings("switches-overdue")
    look(counter)
    assert diary.counted("SwitchesOverdue") == 1
    assert diary.rings("switches-overdue")
    assert device(counter.wiring).switch_off_at == clock.now() + timedelta(hours=1)
    daly.out_of_reach = False
    clock.move(timedelta(hours=1))
    look(counter)
    assert daly.relays == {BIKE: False}
    assert device(counter.wiring).switch_off_at is None


@pytest.mark.parametrize("trouble", ["unclear", "no credentials", "no connection"])
def test_trouble_with_the_vendor_puts_the_look_off(
    counter: Counter,
    asha: str,
    daly: FakeDalyBms,
    clock: FixedClock,
    diary: Diary,
    cloud: Cloud,
    process: Processes,
    trouble: str,
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    if trouble == "unclear":
        daly.behaviours = [unclear]
    elif trouble == "no credentials":
        cloud.put_secret("manufacturers/daly_bms", {})
    else:
        daly.put_secrets(cloud, NO_CONNECTION)
    fresh = Counter(cloud, process())
    look(fresh)
    assert daly.relays == {BIKE: True}
    assert len(diary.said("switch_failed")) == 1
    at = device(fresh.wiring).switch_off_at
    assert at is not None and at > clock.now()


def test_a_payment_during_the_switching_off_has_the_last_word(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    counter.wiring.switch.queue_due()
    [message] = counter.cloud.take("vends")

    def pay_first(request: dict[str, Any]) -> Answer:
        counter.accept(BIKE, 700, "T2")
        counter.run_dry()  # its call comes before ours ends
        return daly.issue(request)

    daly.behaviours = [pay_first]
    counter.vend(message["body"])
    assert daly.issued == [f"{BIKE} on", f"{BIKE} on", f"{BIKE} off", f"{BIKE} on"]
    assert daly.relays == {BIKE: True}
    at = device(counter.wiring).switch_off_at
    assert at is not None and at <= clock.now() + WEEK


def test_an_account_that_never_stands_still_is_looked_at_again(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock, diary: Diary
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    ends = iter(range(1, 9))

    account = counter.account(asha)

    def moving_on(_: str) -> Any:
        record = account.device(BIKE)
        assert record is not None
        paid_until = NOW + timedelta(days=30 + next(ends))
        return account.with_device(replace(record, paid_until=paid_until))

    counter.wiring.switch.queue_due()
    [message] = counter.cloud.take("vends")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counter.wiring.accounts, "get", moving_on)
        counter.vend(message["body"])
    [failed] = diary.said("switch_failed")
    assert failed["detail"] == "the account did not stand still"
    assert device(counter.wiring).switch_off_at is not None


def test_a_switch_that_would_not_fit_once_more_is_left_to_the_next_look(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock, diary: Diary
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    counter.wiring.switch.queue_due()
    [message] = counter.cloud.take("vends")

    def slowly(request: dict[str, Any]) -> Answer:
        counter.accept(BIKE, 700, "T2")
        counter.settle_all()
        clock.move(timedelta(seconds=40))
        return daly.issue(request)

    daly.behaviours = [slowly]
    counter.vend(message["body"])
    assert [f["detail"] for f in diary.said("switch_failed")] == ["the account did not stand still"]
    counter.run_dry()
    assert daly.relays == {BIKE: True}


def test_a_function_that_is_about_to_end_switches_nothing(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    counter.wiring.switch.queue_due()
    with pytest.raises(OutOfTime):
        counter.wiring.switch.switch(BIKE, "daly_bms", clock.now() + timedelta(seconds=30))
    assert daly.relays == {BIKE: True}


def test_an_open_circuit_puts_the_look_off_until_it_is_tried_again(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    for _ in range(5):
        counter.wiring.breaker.failed("daly_bms")
    look(counter)
    assert daly.relays == {BIKE: True}
    at = device(counter.wiring).switch_off_at
    assert at is not None and clock.now() < at <= clock.now() + timedelta(seconds=30)
    clock.move(timedelta(seconds=31))
    look(counter)
    assert daly.relays == {BIKE: False}


def test_a_bike_that_nobody_owns_any_more_runs_until_its_time_ends(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    account = counter.account(asha)
    counter.wiring.change_plans.cancel(
        asha, account.plans[0].plan_id, credit_minor=0, reason="given back", actor="test"
    )
    counter.wiring.keep_devices.change_owner(BIKE, None, reason="given back", actor="test")
    clock.move(WEEK)
    look(counter)
    assert daly.relays == {BIKE: False}


def test_a_bike_that_is_changing_hands_is_left_to_a_later_message(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    account = counter.account(asha)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counter.wiring.accounts, "get", lambda _: replace(account, devices=()))
        with pytest.raises(VersionConflict):
            counter.wiring.switch.switch(BIKE, "daly_bms", clock.now() + timedelta(minutes=1))
    assert daly.relays == {BIKE: True}


def test_a_message_that_comes_twice_or_too_late_switches_nothing(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    counter.wiring.switch.queue_due()
    [message] = counter.cloud.take("vends")
    counter.vend(message["body"])
    counter.vend(message["body"])
    counter.vend({"switch": "NONE", "manufacturer": "daly_bms"})
    counter.vend({"switch": BIKE, "manufacturer": "calin"})
    assert daly.issued == [f"{BIKE} on", f"{BIKE} off"]


def test_a_device_that_is_not_switched_is_never_looked_at(
    counter: Counter, asha: str, clock: FixedClock
) -> None:
    meter = device(counter.wiring, METER)
    counter.wiring.registry.update_device(replace(meter, switch_off_at=clock.now()))
    with pytest.raises(InvariantBroken):
        counter.wiring.switch.switch(METER, "calin", clock.now() + timedelta(minutes=1))


def test_a_message_that_is_lost_is_sent_again_and_only_then(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    assert counter.wiring.switch.queue_due() == 1
    counter.cloud.take("vends")
    assert counter.wiring.switch.queue_due() == 0
    clock.move(timedelta(minutes=5))
    assert look(counter) == 1
    assert daly.relays == {BIKE: False}


def test_a_device_that_cannot_be_queued_keeps_none_from_being(
    company: Company,
    counter: Counter,
    asha: str,
    daly: FakeDalyBms,
    clock: FixedClock,
    diary: Diary,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bike = company.e_bike("BIKE2", plan_id="p-1", manufacturer="daly_bms")
    plans = (replace(PLAN, serial_number="BIKE2"),)
    company.customer(bike, plans=plans, phone="+254700000019")
    counter.pay(claim(BIKE, 700))
    counter.pay(claim("BIKE2", 700, "T2"))
    clock.move(WEEK)
    queues = counter.wiring.queues
    switch = queues.switch

    def not_that_one(serial_number: str, manufacturer: str) -> None:
        if serial_number == BIKE:
            raise QueueUnavailable
        switch(serial_number, manufacturer)

    with monkeypatch.context() as patched:
        patched.setattr(queues, "switch", not_that_one)
        look(counter)
    assert daly.relays == {BIKE: True, "BIKE2": False}
    assert [s["serial_number"] for s in diary.said("switch_not_queued")] == [BIKE]
    clock.move(timedelta(minutes=5))
    look(counter)
    assert daly.relays == {BIKE: False, "BIKE2": False}


def test_of_two_runs_of_the_schedule_one_queues_a_device(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(WEEK)
    seen = counter.wiring.devices.to_switch(clock.now(), DEVICES_PER_RUN_MAX)
    counter.wiring.switch.queue_due()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counter.wiring.devices, "to_switch", lambda *_: seen)
        counter.wiring.switch.queue_due()
    assert len(counter.cloud.take("vends")) == 1


def test_a_vend_that_the_bike_does_not_show_is_made_again_until_it_does(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    daly.out_of_reach = True
    payment_id = counter.accept(BIKE, 700)
    counter.settle_all()
    counter.vend_all()
    vend = counter.now(payment_id).vends[0]
    assert (vend.state, vend.retry_at) == (VendState.UNCERTAIN, NOW + timedelta(seconds=10))
    daly.out_of_reach = False
    clock.move(timedelta(seconds=10))
    counter.let_delays_pass()
    counter.run_dry()
    assert counter.now(payment_id).status is Status.COMPLETED
    assert daly.relays == {BIKE: True}


@pytest.mark.parametrize(("action", "on"), [(VendKind.LOCK, False), (VendKind.RESET, True)])
def test_an_operator_s_lock_and_reset_are_switches(
    counter: Counter, asha: str, daly: FakeDalyBms, action: VendKind, on: bool
) -> None:
    counter.pay(claim(BIKE, 700))
    daly.relays[BIKE] = not on
    given = counter.wiring.act_on_devices.act(BIKE, action, reason="test", actor="test")
    counter.run_dry()
    done = counter.now(given.payment_id)
    assert (done.status, done.vends[0].kind) == (Status.COMPLETED, action)
    assert daly.relays == {BIKE: on}


def test_a_bike_that_was_locked_is_not_switched_on_by_a_look_but_by_a_payment(
    counter: Counter, asha: str, daly: FakeDalyBms, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    counter.pay(claim(BIKE, 700, "T2"))
    for _ in range(2):  # the second finds no look any more
        counter.wiring.act_on_devices.act(BIKE, VendKind.LOCK, reason="stolen", actor="test")
        counter.run_dry()
        assert device(counter.wiring).switch_off_at is None
    clock.move(WEEK)
    assert look(counter) == 0
    assert daly.relays == {BIKE: False}
    counter.pay(claim(BIKE, 700, "T3"))
    assert daly.relays == {BIKE: True}
    assert device(counter.wiring).switch_off_at == NOW + 3 * WEEK


def test_a_lock_whose_bike_is_gone_from_the_table_is_made_all_the_same(
    counter: Counter, asha: str, daly: FakeDalyBms
) -> None:
    counter.pay(claim(BIKE, 700))
    counter.wiring.act_on_devices.act(BIKE, VendKind.LOCK, reason="stolen", actor="test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counter.wiring.devices, "get", lambda _: None)
        counter.vend_all()
    assert daly.relays == {BIKE: False}


def test_the_look_is_stored_before_the_bike_is_switched_on(
    counter: Counter, asha: str, daly: FakeDalyBms
) -> None:
    stored: list[datetime | None] = []

    def note(request: dict[str, Any]) -> Answer:
        stored.append(device(counter.wiring).switch_off_at)
        return daly.issue(request)

    daly.behaviours = [note]
    counter.pay(claim(BIKE, 700))
    assert stored == [NOW + WEEK], "or a crash after the call would leave it on for nothing"


def test_a_look_at_a_device_that_is_not_there_is_not_stored(counter: Counter) -> None:
    counter.wiring.devices.look_by("NONE", NOW)
    assert counter.wiring.devices.get("NONE") is None


def test_whoever_writes_the_whole_device_finds_out_about_a_new_look(
    counter: Counter, asha: str
) -> None:
    before = device(counter.wiring)
    counter.wiring.devices.look_by(BIKE, NOW)
    with pytest.raises(VersionConflict):
        counter.wiring.registry.update_device(replace(before, village_id=2))
