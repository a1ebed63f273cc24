"""A customer's statement: what they had, what happened, what they have.

It adds up what payments and entries have posted, as the books do, so it agrees with the account
or the books are wrong. What falls due by the calendar alone (fees) is no movement: it is owed on
its day, and paid by a payment, which is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.books import Posting


@dataclass(frozen=True, slots=True)
class Balance:
    """How a customer stands, in minor units: credit in hand, what is still to be paid on plans
    (due or not), and what their meters carry, exactly."""

    credit_minor: int = 0
    to_pay_minor: int = 0
    carried_minor: Fraction = Fraction(0)

    def __add__(self, other: Balance) -> Balance:
        return Balance(
            self.credit_minor + other.credit_minor,
            self.to_pay_minor + other.to_pay_minor,
            self.carried_minor + other.carried_minor,
        )


@dataclass(frozen=True, slots=True)
class Dated:
    """A posting, and when it was made."""

    at: datetime
    posting: Posting


@dataclass(frozen=True, slots=True)
class Movement:
    """What one posting changed."""

    at: datetime
    posting: Posting
    change: Balance


@dataclass(frozen=True, slots=True)
class Statement:
    """What happened from one moment to another. Opening and changes make the closing."""

    opening: Balance
    movements: tuple[Movement, ...]
    closing: Balance


def statement_of(
    customer_id: str, postings: Iterable[Dated], since: datetime, until: datetime
) -> Statement:
    """The statement from ``since`` on and before ``until``. ``postings`` are all of them."""
    account = _Account(customer_id)
    opening = closing = Balance()
    movements = []
    for dated in sorted(postings, key=lambda each: each.posting.version):
        change = account.post(dated.posting)
        if dated.at >= until:
            continue
        closing += change
        if dated.at < since:
            opening += change
        else:
            movements.append(Movement(dated.at, dated.posting, change))
    return Statement(opening, tuple(movements), closing)


@dataclass(slots=True)
class _Account:
    """What is still to be paid on each plan, and which plan is which device's."""

    customer_id: str
    plans: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    plan_by_serial: dict[str, str] = field(default_factory=dict)

    def post(self, posting: Posting) -> Balance:
        """Take a posting in; answer what it changed."""
        before = sum(self.plans.values())
        for opened in posting.opened:
            self.totals[opened.plan_id] = opened.total_minor
            self.plans[opened.plan_id] = opened.total_minor - opened.already_paid_minor
            if opened.serial_number is not None:
                self.plan_by_serial[opened.serial_number] = opened.plan_id
        for changed in posting.changed:
            more = changed.total_minor - self.totals.get(changed.plan_id, 0)
            self.totals[changed.plan_id] = changed.total_minor
            self.plans[changed.plan_id] = self.plans.get(changed.plan_id, 0) + more
        for line in posting.lines:
            self._pay(line)
        for plan_id in posting.closed:
            self.plans.pop(plan_id, None)
        if posting.moved is not None:
            from_serial, to_serial = posting.moved
            if from_serial in self.plan_by_serial:
                self.plan_by_serial[to_serial] = self.plan_by_serial.pop(from_serial)
        return Balance(
            credit_minor=sum(
                line.amount_minor for line in posting.lines if line.kind is LineKind.CREDIT
            ),
            to_pay_minor=sum(self.plans.values()) - before,
            carried_minor=sum((c.amount_minor for c in posting.carries), Fraction(0))
            + sum(line.amount_minor for line in posting.lines if line.kind is LineKind.ENERGY),
        )

    def _pay(self, line: Line) -> None:
        if line.kind is LineKind.APPLIANCE:
            plan_id = line.ref
        elif line.kind in (LineKind.DEVICE, LineKind.TIME):
            plan_id = self.plan_by_serial.get(line.ref, line.ref)
        else:
            return
        self.plans[plan_id] = self.plans.get(plan_id, 0) - line.amount_minor
