"""A statement begins where the one before ended, and ends where the account stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.books import ChangedPlan, OpenedPlan, Posting
from chalicelib.domain.statement import Balance, Dated, statement_of
from tests.unit.domain.test_books import Ledger, ledgers

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=400)


def dated(postings: list[Posting]) -> list[Dated]:
    """One change a day."""
    return [Dated(START + timedelta(days=p.version), p) for p in postings]


def standing(ledger: Ledger) -> Balance:
    """How the customer of a ledger that was kept by hand stands."""
    account = ledger.account()
    return Balance(
        credit_minor=account.credit_minor,
        to_pay_minor=sum(plan.total_minor - plan.paid_minor for plan in account.plans),
        carried_minor=sum((d.carry_minor for d in account.devices), Fraction(0)),
    )


@given(ledgers(), st.integers(0, 14), st.integers(0, 14))
def test_opening_and_movements_make_the_closing_and_the_last_is_the_account(
    ledger: Ledger, first: int, days: int
) -> None:
    since = START + timedelta(days=first)
    until = since + timedelta(days=days)
    postings = dated(ledger.postings)
    before = statement_of("C1", postings, START, since)
    during = statement_of("C1", reversed(postings), since, until)
    after = statement_of("C1", postings, until, END)

    assert before.closing == during.opening
    assert during.closing == after.opening
    total = during.opening
    for movement in during.movements:
        assert since <= movement.at < until
        total += movement.change
    assert total == during.closing
    assert after.closing == standing(ledger)
    assert statement_of("C1", postings, START, END).opening == Balance()


def test_a_device_s_plan_is_known_by_the_device_and_by_what_took_its_place() -> None:
    sold = Posting("sale", 1, opened=(OpenedPlan("p-1", "SHS1", 1000, 100),))
    moved = Posting("moved", 2, moved=("SHS1", "SHS2"))
    elsewhere = Posting("moved", 3, moved=("47001", "47002"))
    paid = Posting("payment", 4, lines=(Line(LineKind.TIME, "SHS2", 300),))
    postings = dated([sold, moved, elsewhere, paid])
    assert statement_of("C1", postings, START, END).closing.to_pay_minor == 600


def test_credit_energy_and_fees_pay_no_plan() -> None:
    kinds = (LineKind.CREDIT, LineKind.ENERGY, LineKind.ACCESS_RATE, LineKind.APPLIANCE)
    paid = Posting("payment", 1, lines=tuple(Line(kind, "p-1", 5) for kind in kinds))
    closing = statement_of("C1", dated([paid]), START, END).closing
    assert closing == Balance(5, -5, Fraction(5))


def test_what_is_not_in_order_is_not_hidden() -> None:
    stray = Posting("payment", 1, lines=(Line(LineKind.TIME, "SHS9", 300),))
    changed = Posting("changed", 2, changed=(ChangedPlan("p-9", 50),))
    closed = replace(changed, version=3, changed=(), closed=("p-7",))
    postings = dated([stray, changed, closed])
    assert statement_of("C1", postings, START, END).closing.to_pay_minor == -250
