"""Changing and ending plans: one entry each, whoever else is at work, and books that agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.account import Account, DeviceAccount
from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.errors import FieldError, InvalidPlan, InvariantBroken
from chalicelib.domain.new_terms import Rhythm
from chalicelib.domain.payment import Payment, Status, VendState
from chalicelib.domain.plan import Plan, PlanState, Terms
from chalicelib.services.entries import posting_of
from chalicelib.services.plan_changes import WRITES_MAX, PlanNotFound
from chalicelib.services.ports import Entry, OutcomeUnknown, QueueUnavailable, VersionConflict
from chalicelib.store.models import AccountRow
from chalicelib.wiring import Wiring
from tests.integration.company import METER, SHS, TODAY, Company, FixedClock, claim, kes, plan
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes, differences
from tests.integration.services.interruptions import Interrupted, Lost

SAID: dict[str, Any] = {"actor": ACTOR, "reason": "a hard year"}
TV_PLAN = plan("p-C1-tv", 3000)
SHS_PLAN = plan("p-shs", 7000, paid=1400, serial_number=SHS)
UNLOCK = "entry-C1.3"
"""What carries the unlock of the third version: two devices were registered before."""


@pytest.fixture(autouse=True)
def asha(company: Company) -> str:
    """C1, with a meter, a TV, and an SHS of which 1400 was paid before."""
    solar = replace(company.shs(plan_id="p-shs"), carry_days=Fraction(1, 2))
    return company.customer(company.meter(), solar, plans=(TV_PLAN, SHS_PLAN))


def account(counter: Counter) -> Account:
    return counter.account("C1")


def solar(counter: Counter) -> DeviceAccount:
    record = account(counter).device(SHS)
    assert record is not None
    return record


def books(counter: Counter) -> list[Any]:
    return differences(counter, "C1", TV_PLAN, SHS_PLAN)


def last_entry(counter: Counter) -> Entry:
    entry = counter.wiring.accounts.entry("C1", account(counter).version)
    assert entry is not None
    return entry


def ended(counter: Counter, plan_id: str) -> Plan:
    found = counter.wiring.accounts.ended_plan(plan_id)
    assert found is not None
    return found


def made_remote(wiring: Wiring) -> None:
    """Let the SHS be of a manufacturer that is called for every token."""
    device = wiring.devices.get(SHS)
    assert device is not None
    wiring.registry.update_device(replace(device, manufacturer="angaza", technical={}))


def without_counter(counter: Counter) -> None:
    """Let there be no counter for the SHS, so that no token can be computed."""
    before = account(counter)
    AccountRow.of(before.with_device(replace(solar(counter), counter=None))).save()


Change = Callable[..., Plan]
CHANGES: dict[str, Change] = {
    "change": lambda w, p: w.change_plans.change("C1", p, total_minor=kes(2000), **SAID),
    "cancel": lambda w, p: w.change_plans.cancel("C1", p, credit_minor=0, **SAID),
    "write_off": lambda w, p: w.change_plans.write_off("C1", p, unlock=False, **SAID),
}
UNLOCKS: dict[str, Change] = {
    "total": lambda w: w.change_plans.change("C1", "p-shs", total_minor=kes(1400), **SAID),
    "unlock": lambda w: w.change_plans.write_off("C1", "p-shs", unlock=True, **SAID),
}
"""The changes that unlock the SHS, by the field that asks for it."""


# --- new terms --------------------------------------------------------------------------------


def test_a_new_total_and_a_new_rhythm_are_one_entry(counter: Counter, wiring: Wiring) -> None:
    rhythm = Rhythm("month", date(2026, 4, 30), instalments=4)
    after = wiring.change_plans.change("C1", "p-shs", total_minor=kes(5400), rhythm=rhythm, **SAID)
    assert account(counter).plan("p-shs") == after
    assert (after.total_minor, after.paid_minor, after.instalments) == (kes(5400), kes(1400), 4)
    assert account(counter).version == 3
    entry = last_entry(counter)
    assert (entry.what, entry.actor, entry.reason) == ("plan_changed", ACTOR, SAID["reason"])
    assert entry.changes["changed"]["total_minor"] == kes(5400)
    assert solar(counter).carry_days == Fraction(1, 2), "a part of a day that was bought stays"
    assert books(counter) == []


def test_what_is_paid_after_the_change_pays_the_new_instalments(
    counter: Counter, wiring: Wiring
) -> None:
    wiring.change_plans.change("C1", "p-shs", total_minor=kes(4200), **SAID)
    payment = counter.pay(claim(SHS, 350))
    assert [vend.units for vend in payment.vends] == [7], "eight times 350 are left"
    counter.pay(claim(SHS, 2450, "T2"))
    assert ended(counter, "p-shs").state is PlanState.PAID
    assert books(counter) == []


def test_terms_that_the_plan_has_are_no_change(counter: Counter, wiring: Wiring) -> None:
    before = account(counter)
    same = wiring.change_plans.change("C1", "p-C1-tv", total_minor=kes(3000), **SAID)
    assert same == before.plan("p-C1-tv")
    assert account(counter) == before


def test_a_total_of_what_is_paid_ends_the_plan_of_an_appliance(
    counter: Counter, wiring: Wiring
) -> None:
    counter.pay(claim(METER, 300, plan_id="p-C1-tv"))
    after = wiring.change_plans.change("C1", "p-C1-tv", total_minor=kes(300), **SAID)
    assert (after.state, after.open_minor) == (PlanState.PAID, 0)
    assert account(counter).plan("p-C1-tv") is None
    assert ended(counter, "p-C1-tv") == after
    assert "vend" not in last_entry(counter).changes
    assert books(counter) == []


@pytest.mark.parametrize("wrong", [{}, {"total_minor": kes(1399)}])
def test_a_change_that_means_nothing_is_refused(
    counter: Counter, wiring: Wiring, wrong: dict[str, Any]
) -> None:
    before = account(counter)
    with pytest.raises(FieldError) as refused:
        wiring.change_plans.change("C1", "p-shs", **wrong, **SAID)
    assert refused.value.field == "total"
    assert isinstance(refused.value, InvalidPlan) == bool(wrong)
    assert account(counter) == before


# --- an entry that unlocks --------------------------------------------------------------------


@pytest.mark.parametrize("by", UNLOCKS)
def test_the_device_is_unlocked_and_the_customer_is_told(
    counter: Counter, wiring: Wiring, by: str
) -> None:
    UNLOCKS[by](wiring)
    record = solar(counter)
    assert (record.unlocked, record.carry_days, record.plan_id) == (True, 0, "p-shs")
    assert record.counter is not None and record.counter > 1
    assert account(counter).version == 3
    assert last_entry(counter).changes["vend"] == UNLOCK
    payment = counter.now(UNLOCK)
    assert (payment.status, payment.amount_minor, payment.lines) == (Status.COMPLETED, 0, ())
    [token] = payment.tokens
    assert (token.kind, token.serial_number) == (VendKind.UNLOCK, SHS)
    assert token.value is not None and token.value not in str(last_entry(counter))
    counter.let_delays_pass()
    counter.run_dry()
    [message] = wiring.messages.of_payment(UNLOCK)
    assert message.number == 1
    assert token.value in message.body.replace(" ", "")
    assert "KES" not in message.body
    assert books(counter) == []


@pytest.mark.parametrize("by", UNLOCKS)
def test_a_manufacturer_that_is_called_is_asked_for_the_unlock(
    counter: Counter, wiring: Wiring, by: str
) -> None:
    made_remote(wiring)
    UNLOCKS[by](wiring)
    assert solar(counter).unlocked
    payment = counter.now(UNLOCK)
    assert payment.status is Status.VENDING
    [vend] = payment.vends
    assert (vend.kind, vend.state, vend.manufacturer) == (
        VendKind.UNLOCK,
        VendState.INTENDED,
        "angaza",
    )
    queued = counter.only("vends")
    assert (queued["payment_id"], queued["number"], queued["attempt"]) == (UNLOCK, 1, 1)
    assert counter.cloud.take("messages") == []
    assert books(counter) == []


@pytest.mark.parametrize("by", UNLOCKS)
def test_where_there_can_be_no_token_nothing_is_changed(
    counter: Counter, wiring: Wiring, by: str
) -> None:
    without_counter(counter)
    before = account(counter)
    with pytest.raises(FieldError) as refused:
        UNLOCKS[by](wiring)
    assert refused.value.field == by
    assert account(counter) == before
    assert wiring.payments.get(UNLOCK) is None


@pytest.mark.parametrize("by", UNLOCKS)
def test_a_payment_that_is_settled_meanwhile_is_counted_and_the_token_made_anew(
    counter: Counter, wiring: Wiring, process: Processes, by: str
) -> None:
    """The settlement issues a token of its own, so the unlock must take the next count."""
    meanwhile = Interrupted(wiring.accounts, change=[lambda: counter.pay(claim(SHS, 700))])
    worker = process(accounts=meanwhile)
    if by == "total":
        with pytest.raises(InvalidPlan):  # 700 more are paid, so the total is too low by now
            UNLOCKS[by](worker)
        assert account(counter).version == 3
        return
    UNLOCKS[by](worker)
    assert account(counter).version == 4
    time, unlock = counter.now("mpesa_ke.600966-T1").vends[0], counter.now("entry-C1.4").vends[0]
    assert time.count is not None and unlock.count is not None
    assert unlock.count > time.count
    assert wiring.payments.get(UNLOCK) is None
    assert ended(counter, "p-shs").paid_minor == kes(2100)
    assert books(counter) == []
    counter.let_delays_pass()
    counter.run_dry()
    assert counter.told("entry-C1.4") == [1]
    assert counter.told(UNLOCK) == []


@pytest.mark.untold
def test_a_change_whose_answer_was_lost_sends_its_sms_all_the_same(
    counter: Counter, wiring: Wiring, process: Processes, diary: Diary
) -> None:
    lost = Interrupted(wiring.accounts, change=[Lost(OutcomeUnknown())])
    with pytest.raises(OutcomeUnknown):
        UNLOCKS["unlock"](process(accounts=lost))
    assert len(diary.said("payment_write_unknown")) == 1
    counter.let_delays_pass()
    counter.run_dry()
    assert counter.told(UNLOCK) == [1]
    assert UNLOCKS["unlock"](wiring).state is PlanState.WRITTEN_OFF
    assert account(counter).version == 3


def test_a_vend_that_was_not_queued_is_found_by_the_sweeper(
    counter: Counter, wiring: Wiring, process: Processes, clock: FixedClock, diary: Diary
) -> None:
    made_remote(wiring)
    down = Interrupted(wiring.queues, vend=[QueueUnavailable()])
    UNLOCKS["unlock"](process(queues=down))
    assert diary.said("queueing_failed") == [{"payment_id": UNLOCK}]
    assert counter.cloud.take("vends") == []
    clock.move(timedelta(minutes=2))
    wiring.sweep.sweep()
    assert counter.only("vends")["payment_id"] == UNLOCK


def test_without_a_queue_for_its_sms_nothing_is_changed(
    counter: Counter, wiring: Wiring, process: Processes
) -> None:
    before = account(counter)
    down = Interrupted(wiring.queues, message=[QueueUnavailable()])
    with pytest.raises(QueueUnavailable):
        UNLOCKS["total"](process(queues=down))
    assert account(counter) == before


def test_an_open_plan_without_its_device_is_a_defect(process: Processes, wiring: Wiring) -> None:
    class NoDevices:
        def get(self, serial_number: str) -> None:
            return None

    with pytest.raises(InvariantBroken):
        UNLOCKS["unlock"](process(devices=NoDevices()))


# --- cancelled --------------------------------------------------------------------------------


def test_a_cancelled_plan_is_no_longer_owed_and_its_money_stays_with_the_company(
    counter: Counter, wiring: Wiring
) -> None:
    cancelled = wiring.change_plans.cancel("C1", "p-shs", credit_minor=0, **SAID)
    assert (cancelled.state, cancelled.paid_minor) == (PlanState.CANCELLED, kes(1400))
    assert ended(counter, "p-shs") == cancelled
    after = account(counter)
    assert (after.plan("p-shs"), after.credit_minor, after.version) == (None, 0, 3)
    record = solar(counter)
    assert (record.unlocked, record.carry_days) == (False, Fraction(1, 2))
    assert posting_of(last_entry(counter)).closed == ("p-shs",)
    assert "lines" not in last_entry(counter).changes
    assert wiring.payments.get(UNLOCK) is None
    assert books(counter) == []


@pytest.mark.parametrize(
    ("plan_id", "line"),
    [
        ("p-shs", Line(LineKind.DEVICE, SHS, -kes(200))),
        ("p-C1-tv", Line(LineKind.APPLIANCE, "p-C1-tv", -kes(200))),
    ],
)
def test_what_was_paid_here_may_become_credit(
    counter: Counter, wiring: Wiring, plan_id: str, line: Line
) -> None:
    told = claim(SHS, 700, "T1", plan_id=None if plan_id == "p-shs" else plan_id)
    counter.pay(told)
    before = account(counter).plan(plan_id)
    assert before is not None
    cancelled = wiring.change_plans.cancel("C1", plan_id, credit_minor=kes(200), **SAID)
    assert cancelled.paid_minor == before.paid_minor - kes(200)
    assert account(counter).credit_minor == kes(200)
    assert posting_of(last_entry(counter)).lines == (line, Line(LineKind.CREDIT, "C1", kes(200)))
    assert books(counter) == []
    counter.pay(claim(METER, 300, "T2"))
    assert account(counter).credit_minor == 0
    assert books(counter) == []


def test_only_what_was_paid_here_may_become_credit(counter: Counter, wiring: Wiring) -> None:
    """1400 were paid before this system knew of the plan, and 700 since."""
    counter.pay(claim(SHS, 700))
    with pytest.raises(FieldError) as refused:
        wiring.change_plans.cancel("C1", "p-shs", credit_minor=kes(700) + 1, **SAID)
    assert refused.value.field == "credit"
    assert account(counter).version == 3
    wiring.change_plans.cancel("C1", "p-shs", credit_minor=kes(700), **SAID)
    assert account(counter).credit_minor == kes(700)


def test_a_payment_that_is_settled_meanwhile_may_become_credit_too(
    counter: Counter, wiring: Wiring, process: Processes
) -> None:
    meanwhile = Interrupted(wiring.accounts, change=[lambda: counter.pay(claim(SHS, 700))])
    process(accounts=meanwhile).change_plans.cancel("C1", "p-shs", credit_minor=0, **SAID)
    assert ended(counter, "p-shs").paid_minor == kes(2100)
    assert account(counter).version == 4
    assert books(counter) == []


def test_a_device_whose_plan_was_cancelled_is_sold_again(counter: Counter, wiring: Wiring) -> None:
    wiring.change_plans.cancel("C1", "p-shs", credit_minor=0, **SAID)
    view = wiring.keep_devices.view(SHS)
    assert (view.state.value, view.plan and view.plan.state) == ("active", PlanState.CANCELLED)
    terms = Terms(kes(700), "week", TODAY, instalments=1)
    sold = wiring.sell_plans.sell_device(SHS, terms, actor=ACTOR)
    counter.pay(claim(SHS, 700))
    assert wiring.keep_devices.view(SHS).state.value == "unlocked"
    assert ended(counter, sold.plan_id).state is PlanState.PAID
    assert books(counter) == []


# --- written off ------------------------------------------------------------------------------


def test_a_plan_that_is_written_off_leaves_its_device_as_it_is(
    counter: Counter, wiring: Wiring
) -> None:
    written_off = wiring.change_plans.write_off("C1", "p-shs", unlock=False, **SAID)
    assert (written_off.state, written_off.open_minor) == (PlanState.WRITTEN_OFF, kes(5600))
    assert ended(counter, "p-shs") == written_off
    assert (solar(counter).unlocked, wiring.payments.get(UNLOCK)) == (False, None)
    assert wiring.keep_devices.view(SHS).state.value == "active"
    assert books(counter) == []


def test_it_may_be_unlocked_all_the_same(counter: Counter, wiring: Wiring) -> None:
    UNLOCKS["unlock"](wiring)
    assert wiring.keep_devices.view(SHS).state.value == "unlocked"
    payment = counter.pay(claim(SHS, 100))
    assert payment.lines == (Line(LineKind.CREDIT, "C1", kes(100)),)
    assert books(counter) == []


def test_a_device_that_was_let_go_is_locked_when_it_is_sold_again(
    counter: Counter, wiring: Wiring
) -> None:
    UNLOCKS["unlock"](wiring)
    terms = Terms(kes(700), "week", TODAY + timedelta(days=7), instalments=1)
    wiring.sell_plans.sell_device(SHS, terms, actor=ACTOR)
    assert not solar(counter).unlocked
    assert wiring.keep_devices.view(SHS).state.value == "active"


def test_an_appliance_cannot_be_unlocked(counter: Counter, wiring: Wiring) -> None:
    with pytest.raises(FieldError) as refused:
        wiring.change_plans.write_off("C1", "p-C1-tv", unlock=True, **SAID)
    assert refused.value.field == "unlock"
    assert account(counter).version == 2


# --- again, or of nothing ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancel", "write_off"])
def test_the_same_end_again_is_the_same_end(counter: Counter, wiring: Wiring, how: str) -> None:
    first = CHANGES[how](wiring, "p-shs")
    assert CHANGES[how](wiring, "p-shs") == first
    assert account(counter).version == 3


@pytest.mark.parametrize(
    ("how", "ended_by"),
    [
        ("change", "cancel"),
        ("change", "write_off"),
        ("cancel", "write_off"),
        ("write_off", "cancel"),
    ],
)
def test_a_plan_that_ended_otherwise_is_not_there_any_more(
    counter: Counter, wiring: Wiring, how: str, ended_by: str
) -> None:
    CHANGES[ended_by](wiring, "p-C1-tv")
    with pytest.raises(PlanNotFound):
        CHANGES[how](wiring, "p-C1-tv")
    assert account(counter).version == 3


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize(
    ("customer_id", "plan_id"), [("C1", "p-0"), ("C2", "p-C1-tv"), ("C9", "p-C1-tv")]
)
def test_a_plan_of_nobody_or_of_somebody_else_is_not_found(
    company: Company, wiring: Wiring, how: str, customer_id: str, plan_id: str
) -> None:
    company.customer(company.meter("47002"), phone="+254700000002")
    if plan_id == "p-C1-tv":  # not even one that ended, to anybody but its customer
        CHANGES["cancel"](wiring, plan_id)
    works = wiring.change_plans
    with pytest.raises(PlanNotFound):
        if how == "change":
            works.change(customer_id, plan_id, total_minor=1, **SAID)
        elif how == "cancel":
            works.cancel(customer_id, plan_id, credit_minor=0, **SAID)
        else:
            works.write_off(customer_id, plan_id, unlock=False, **SAID)


def test_of_two_who_cancel_at_once_both_find_it_cancelled_once(
    counter: Counter, wiring: Wiring, process: Processes
) -> None:
    def other() -> Plan:
        return wiring.change_plans.cancel("C1", "p-shs", credit_minor=0, **SAID)

    meanwhile = Interrupted(wiring.accounts, change=[other])
    cancelled = CHANGES["cancel"](process(accounts=meanwhile), "p-shs")
    assert cancelled.state is PlanState.CANCELLED
    assert account(counter).version == 3
    assert books(counter) == []


@pytest.mark.parametrize("how", CHANGES)
def test_whoever_loses_every_race_changes_nothing(
    counter: Counter, wiring: Wiring, process: Processes, how: str
) -> None:
    before = account(counter)
    lost = Interrupted(wiring.accounts, change=[VersionConflict()] * WRITES_MAX)
    with pytest.raises(VersionConflict):
        CHANGES[how](process(accounts=lost), "p-C1-tv")
    assert lost.calls["change"] == WRITES_MAX
    assert account(counter) == before


def unlocked_by(payment: Payment) -> list[str]:
    return [vend.serial_number for vend in payment.vends if vend.kind is VendKind.UNLOCK]


def test_the_payment_of_nothing_stands_in_the_customer_s_list(wiring: Wiring) -> None:
    UNLOCKS["unlock"](wiring)
    [found] = wiring.payments.by_owner("C1", 10, None).items
    assert (found.payment_id, found.channel, unlocked_by(found)) == (UNLOCK, "entry", [SHS])
