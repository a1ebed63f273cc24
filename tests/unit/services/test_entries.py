"""Entries say what they did in the words of the books, also after they were stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.books import CarryChange, ChangedPlan, OpenedPlan, Posting
from chalicelib.domain.plan import Terms, make_plan
from chalicelib.services.entries import Act, entry_of, posting_of
from chalicelib.store.models import EntryRow

AT = datetime(2026, 3, 10, 9, tzinfo=UTC)
ACT = Act("amina@example.com", AT, "moved")
ACCOUNT = Account("C1", 3)
PLAN = make_plan(
    Terms(
        total_minor=700_000,
        every="week",
        first_due=date(2026, 3, 17),
        instalments=10,
        already_paid_minor=70_000,
    ),
    plan_id="p-1",
    name="SHS",
    sold_at=AT,
    serial_number="SHS1",
)


def test_an_entry_has_its_version_its_actor_and_its_reason() -> None:
    entry = entry_of(ACT, ACCOUNT, "registered", serial_number="SHS1", vend=None)
    assert (entry.customer_id, entry.account_version, entry.what) == ("C1", 3, "registered")
    assert (entry.actor, entry.at, entry.reason) == ("amina@example.com", AT, "moved")
    assert entry.changes == {"serial_number": "SHS1"}
    assert posting_of(entry) == Posting("registered 3", 3)


def test_what_an_entry_posted_is_read_back_from_the_store() -> None:
    entry = entry_of(
        ACT,
        ACCOUNT,
        "device_released",
        opened=PLAN,
        changed=replace(PLAN, plan_id="p-2", total_minor=500_000),
        closed=["p-3"],
        lines=[Line(LineKind.CREDIT, "C1", 500)],
        carries=[CarryChange("47001", Fraction(-1001, 2))],
        dropped=["47001"],
    )
    stored = EntryRow.from_raw_data(EntryRow.of(entry).serialize()).value()
    assert posting_of(stored) == Posting(
        source="device_released 3",
        version=3,
        lines=(Line(LineKind.CREDIT, "C1", 500),),
        carries=(CarryChange("47001", Fraction(-1001, 2)),),
        opened=(OpenedPlan("p-1", "SHS1", 700_000, 70_000),),
        changed=(ChangedPlan("p-2", 500_000),),
        closed=("p-3",),
        dropped=("47001",),
    )
