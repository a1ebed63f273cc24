"""A device's plan in its owner's account."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import InvariantBroken
from chalicelib.domain.payment import Payment, Status, VendState
from chalicelib.domain.plan import Terms
from chalicelib.services.follow_up import AHEAD_SECONDS
from chalicelib.services.plan_ids import customer_of_plan, new_plan_id
from chalicelib.services.plans import device_plan, with_device_plan
from chalicelib.services.ports import (
    Device,
    Manufacturer,
    QueueUnavailable,
    RecoveryClass,
    Settings,
)
from chalicelib.services.unlock import Unlock

AT = datetime(2026, 3, 10, 9, tzinfo=UTC)
DEVICE = Device("SHS1", Kind.SHS, "far_away", 1, AT.date(), customer_id="C1")
RECORD = DeviceAccount("SHS1", Kind.SHS, carry_days=Fraction(1, 2), unlocked=True)
ACCOUNT = Account("C1", 4, devices=(RECORD,))


class Everything:
    """Every part that an unlock needs. The only manufacturer has to be called for a token."""

    manufacturer = Manufacturer(
        "far_away", 99, "Far Away", Kind.SHS, RecoveryClass.SEARCHABLE, {}, local=False
    )

    def __init__(self) -> None:
        self.queued: list[tuple[Any, ...]] = []
        self.broken = False
        self.noted: list[str] = []

    def get(self, key: str) -> Everything:
        return self

    def settings(self) -> Settings:
        return Settings(currency="UGX")

    def now(self) -> datetime:
        return AT

    def event(self, what: str, **fields: Any) -> None:
        self.noted.append(what)

    def vend(self, payment_id: str, *more: Any) -> None:
        self._queue("vend", payment_id)

    def message(
        self, payment_id: str, number: int, customer_id: str | None, delay_seconds: int = 0
    ) -> None:
        self._queue("message", payment_id, number, delay_seconds)

    def _queue(self, *message: Any) -> None:
        if self.broken:
            raise QueueUnavailable
        self.queued.append(message)


@pytest.fixture
def everything() -> Everything:
    return Everything()


@pytest.fixture
def unlock(everything: Everything) -> Unlock:
    part: Any = everything
    return Unlock(manufacturers=part, catalogue=part, queues=part, clock=part, journal=part)


def terms(already_paid_minor: int) -> Terms:
    return Terms(
        700, "week", date(2026, 3, 17), instalments=10, already_paid_minor=already_paid_minor
    )


def test_a_device_that_is_sold_is_locked_until_it_is_paid_off(unlock: Unlock) -> None:
    plan = device_plan(terms(0), DEVICE, "SHS", AT)
    sale = with_device_plan(ACCOUNT, RECORD, DEVICE, plan, unlock)
    assert (sale.ended_plans, sale.payment, sale.vend) == ((), None, None)
    assert sale.account.plans == (plan,)
    record = sale.account.device("SHS1")
    assert record == replace(RECORD, plan_id=plan.plan_id, carry_days=Fraction(0), unlocked=False)


def test_a_device_that_was_paid_before_and_needs_a_call_gets_its_vend_from_the_entry(
    unlock: Unlock,
) -> None:
    plan = device_plan(terms(700), DEVICE, "SHS", AT)
    sale = with_device_plan(ACCOUNT, RECORD, DEVICE, plan, unlock)
    assert (sale.ended_plans, sale.account.plans) == ((plan,), ())
    record = sale.account.device("SHS1")
    assert record is not None
    assert (record.unlocked, record.carry_days) == (True, 0)
    payment = sale.payment
    assert payment is not None
    assert sale.vend == payment.payment_id == "entry-C1.4"
    assert (payment.status, payment.currency, payment.amount_minor) == (Status.VENDING, "UGX", 0)
    assert (payment.customer_id, payment.account_versions, payment.tokens) == ("C1", (), ())
    [vend] = payment.vends
    assert (vend.kind, vend.state, vend.manufacturer) == (
        VendKind.UNLOCK,
        VendState.INTENDED,
        "far_away",
    )
    assert payment.check_at is not None, "the sweeper must find it"


def test_only_a_device_of_the_account_is_unlocked(unlock: Unlock) -> None:
    with pytest.raises(InvariantBroken):
        unlock.unlocked(Account("C1", 4), DEVICE, "unlock")


# --- what is queued ---------------------------------------------------------------------------


def remote(unlock: Unlock) -> Payment:
    return unlock.unlocked(ACCOUNT, DEVICE, "unlock").payment


def local(unlock: Unlock) -> Payment:
    """As if the token had been computed here."""
    payment = remote(unlock)
    done = replace(payment.vend(1), state=VendState.DONE)
    return replace(payment.with_vend(done), status=Status.COMPLETED, check_at=None)


def test_the_sms_is_queued_before_the_write_to_arrive_after_it_and_again_behind_it(
    unlock: Unlock, everything: Everything
) -> None:
    with unlock.following(local(unlock)):
        assert everything.queued == [("message", "entry-C1.4", 1, AHEAD_SECONDS)]
    assert everything.queued[1:] == [("message", "entry-C1.4", 1, 0)]


def test_a_vend_is_queued_behind_the_write(unlock: Unlock, everything: Everything) -> None:
    with unlock.following(remote(unlock)):
        assert everything.queued == []
    assert everything.queued == [("vend", "entry-C1.4")]


def test_a_write_that_failed_is_followed_by_nothing(unlock: Unlock, everything: Everything) -> None:
    with pytest.raises(KeyError), unlock.following(remote(unlock)):
        raise KeyError
    assert everything.queued == []


def test_where_nothing_is_unlocked_nothing_follows(unlock: Unlock, everything: Everything) -> None:
    with unlock.following(None):
        pass
    assert everything.queued == []


def test_no_sms_no_write(unlock: Unlock, everything: Everything) -> None:
    everything.broken = True
    with pytest.raises(QueueUnavailable), unlock.following(local(unlock)):
        pytest.fail("it must not come to the write")


def test_a_queue_that_fails_behind_the_write_fails_nothing(
    unlock: Unlock, everything: Everything
) -> None:
    with unlock.following(remote(unlock)):
        everything.broken = True
    assert everything.noted == ["payment_vending", "vend_intended", "queueing_failed"]


# --- names ------------------------------------------------------------------------------------


def test_plan_ids_are_short_and_never_the_same() -> None:
    ids = {new_plan_id("C17") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"p-C17-[a-z2-7]{10}", plan_id) for plan_id in ids)


def test_a_plan_s_id_says_whose_it_is() -> None:
    assert customer_of_plan(new_plan_id("C17")) == "C17"
    assert [customer_of_plan(text) for text in ("", "p-", "C17", "x-C17-abc", "p-abc")] == [""] * 5
