"""Watching open payments: what waits for whom and for how long, told also when nothing does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.payment import (
    EVENTS_MAX,
    Event,
    Payment,
    Refund,
    RefundState,
    Status,
    accepted,
    held,
    refund_due,
    released,
)
from chalicelib.services.ports import Payments
from chalicelib.services.watch_open import (
    EVERY,
    PAYMENTS_MAX,
    WatchOpen,
    held_since,
    waits_for_us_since,
)
from chalicelib.wiring import Wiring
from tests.integration.company import METER, NOW, Company, FixedClock, claim
from tests.integration.services.conftest import Counter, Diary

LATER = NOW + timedelta(hours=3)


def payment(**changes: Any) -> Payment:
    fresh = accepted(claim(METER, 500), moment=NOW, received_at=NOW, customer_id="C1")
    return replace(fresh, **changes)


def test_where_nothing_is_open_nought_is_told(wiring: Wiring, diary: Diary) -> None:
    wiring.watch_open.look()
    names = ("OpenPayments", "OldestOpenSeconds", "HeldPayments", "OldestHeldSeconds")
    assert diary.gauges == [(name, 0, {}) for name in names]


def test_open_and_held_payments_are_told_apart_and_the_held_ones_by_reason(
    company: Company, counter: Counter, wiring: Wiring, diary: Diary, clock: FixedClock
) -> None:
    company.customer(company.meter())
    counter.accept("UNKNOWN1", 500, "T1")
    counter.accept("UNKNOWN2", 500, "T2")
    counter.settle_all()
    clock.move(timedelta(minutes=2))
    counter.accept(METER, 500, "T3")
    clock.move(timedelta(minutes=1))
    wiring.watch_open.look()
    assert diary.gauges == [
        ("OpenPayments", 1, {}),
        ("OldestOpenSeconds", 60, {}),
        ("HeldPayments", 2, {}),
        ("OldestHeldSeconds", 180, {}),
        ("HeldPayments", 2, {"reason": "unknown_device"}),
    ]


def test_one_process_looks_every_five_minutes_and_no_oftener(
    wiring: Wiring, diary: Diary, clock: FixedClock
) -> None:
    looks = []
    for _ in range(11):
        before = len(diary.gauges)
        wiring.watch_open.look()
        looks.append(len(diary.gauges) > before)
        clock.move(timedelta(minutes=1))
    assert [minute for minute, looked in enumerate(looks) if looked] == [0, 5, 10]
    assert timedelta(minutes=5) == EVERY


def test_that_there_are_more_than_are_read_is_said(
    wiring: Wiring, diary: Diary, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Many:
        def all_open(self, limit: int) -> list[Payment]:
            return [payment()] * limit

    crowded: Payments = Many()  # type: ignore[assignment]
    WatchOpen(payments=crowded, clock=clock, journal=diary).look()
    assert diary.said("open_payments_not_all_read") == [{"read": PAYMENTS_MAX}]


@pytest.mark.parametrize(
    ("waiting", "since"),
    [
        (payment(), NOW),
        (payment(status=Status.PENDING), None),
        (held(payment(), "stuck", LATER), None),
        (refund_due(payment(), "unknown_device", LATER + timedelta(hours=1), LATER),
         LATER + timedelta(hours=1)),
        (payment(status=Status.REFUND_DUE), NOW),
        (payment(status=Status.REFUNDING, refunds=(Refund(1, 500, RefundState.CALLING),)), NOW),
        (payment(status=Status.REFUNDING, refunds=(Refund(1, 500, RefundState.ACCEPTED),)), None),
        (released(held(payment(), "stuck", LATER), LATER), LATER),
    ],
    ids=["received", "pending", "held", "refund due", "refund due at once", "refunding",
         "refund taken", "released"],
)  # fmt: skip
def test_a_payment_waits_for_us_from_the_last_thing_that_happened_to_it(
    waiting: Payment, since: object
) -> None:
    assert waits_for_us_since(waiting) == since


def test_a_payment_waits_for_a_person_since_it_was_held_last() -> None:
    assert held_since(held(payment(), "stuck", LATER)) == LATER
    full = payment(events=(Event(NOW, "retry"),) * EVENTS_MAX)
    assert held_since(held(full, "stuck", LATER)) == NOW, "there was no room to note it"
