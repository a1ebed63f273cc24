"""The books of one customer: a proof that every change of the account is accounted for.

Every change of an account raises its version by exactly one, and the payment or entry that made
it carries that number. The books are right when versions 1 to V each appear once and what was
posted adds up to the account at V. Differences name what is missing or doubled.

The proof adds up what was recorded. It never splits a payment itself, so a mistake in the split
cannot hide in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.payment import Payment

Sum = TypeVar("Sum", int, Fraction)


@dataclass(frozen=True, slots=True)
class OpenedPlan:
    """A plan that a sale or registration put into the account, with what was paid before."""

    plan_id: str
    serial_number: str | None
    total_minor: int
    already_paid_minor: int = 0


@dataclass(frozen=True, slots=True)
class ChangedPlan:
    """An open plan whose terms were changed: what it adds up to since."""

    plan_id: str
    total_minor: int


@dataclass(frozen=True, slots=True)
class CarryChange:
    """Money that a meter's carry gained (or, below zero, that was spent on energy), exactly."""

    serial_number: str
    amount_minor: Fraction


@dataclass(frozen=True, slots=True)
class Posting:
    """What one payment or entry did to the account when it made ``version``.

    ``source`` names it for people. ``lines`` are signed sums in minor units, as in a payment; an
    entry uses them too (free credit: a credit line; fees written off: an access-rate line).
    ``amount_minor`` is the sum they must add up to, ``None`` where there is no such sum.
    ``changed`` are open plans with new terms, ``closed`` are plans that ended unpaid (cancelled,
    written off) and ``dropped`` are devices whose record left the account.
    """

    source: str
    version: int
    lines: tuple[Line, ...] = ()
    amount_minor: int | None = None
    carries: tuple[CarryChange, ...] = ()
    opened: tuple[OpenedPlan, ...] = ()
    changed: tuple[ChangedPlan, ...] = ()
    closed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class Wrong(StrEnum):
    """The kinds of difference."""

    VERSION = "version"
    LINES = "lines"
    UNPLACED = "unplaced"
    CREDIT = "credit"
    PLAN = "plan"
    FEES = "fees"
    CARRY = "carry"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be.

    ``ref`` is the version, the posting's source, the plan id or the serial. For ``version``,
    ``expected`` and ``found`` count postings; otherwise they are minor units. ``None`` stands
    for "not there at all".
    """

    wrong: Wrong
    ref: str
    expected: int | Fraction | None
    found: int | Fraction | None


def check_books(account: Account, postings: Iterable[Posting]) -> list[Difference]:
    """Compare the account with what was posted. An empty answer is the proof that they agree.

    ``postings`` are all of the customer's, in any order.
    """
    in_order = sorted(postings, key=lambda posting: posting.version)
    books = _Books()
    for posting in in_order:
        books.post(posting)
    plans = {plan.plan_id: plan.paid_minor for plan in account.plans}
    fees = {d.serial_number: d.fees_paid_minor for d in account.devices if d.fees_paid_minor}
    carries = {d.serial_number: d.carry_minor for d in account.devices if d.carry_minor}
    return [
        *_versions(account, in_order),
        *_line_sums(in_order),
        *books.unplaced,
        *_compare(
            Wrong.CREDIT,
            {account.customer_id: books.credit_minor},
            {account.customer_id: account.credit_minor},
        ),
        *_compare(Wrong.PLAN, books.open_plans(), plans),
        *books.overpaid_plans(),
        *_compare(Wrong.FEES, _without_zeros(books.fees), fees),
        *_compare(Wrong.CARRY, _without_zeros(books.carries), carries),
    ]


def postings_of(payment: Payment) -> list[Posting]:
    """What a payment posted: one posting for each account version that it made.

    A payment that changed the account again (turned into credit, refunded) has its reversals
    among its lines, so all its lines and vends are taken together, at the first version.
    What was given back of it is in no account any more. A vend costs what it was made for until
    it is closed: until then its money is neither in the carry nor in the credit.
    """
    costs = tuple(
        CarryChange(vend.serial_number, -vend.cost_minor)
        for vend in payment.vends
        if vend.kind is VendKind.ENERGY and not vend.closed
    )
    if not payment.account_versions:
        return []
    first, *later = payment.account_versions
    settlement = Posting(
        source=payment.payment_id,
        version=first,
        lines=payment.lines,
        amount_minor=payment.kept_minor,
        carries=costs,
    )
    return [settlement, *(Posting(payment.payment_id, version) for version in later)]


@dataclass(slots=True)
class _OpenPlan:
    """A plan as the postings have it so far."""

    total_minor: int
    paid_minor: int


@dataclass(slots=True)
class _Books:
    """The account as the postings alone would make it."""

    credit_minor: int = 0
    plans: dict[str, _OpenPlan] = field(default_factory=dict)
    plan_by_serial: dict[str, str] = field(default_factory=dict)
    fees: dict[str, int] = field(default_factory=dict)
    carries: dict[str, Fraction] = field(default_factory=dict)
    unplaced: list[Difference] = field(default_factory=list)

    def post(self, posting: Posting) -> None:
        """Take in one posting; postings come in the order of their versions."""
        for opened in posting.opened:
            self.plans[opened.plan_id] = _OpenPlan(opened.total_minor, opened.already_paid_minor)
            if opened.serial_number is not None:
                self.plan_by_serial[opened.serial_number] = opened.plan_id
        for changed in posting.changed:
            if changed.plan_id in self.plans:
                self.plans[changed.plan_id].total_minor = changed.total_minor
        for line in posting.lines:
            self._post_line(line)
        for change in posting.carries:
            self._carry(change.serial_number, change.amount_minor)
        for plan_id in posting.closed:
            self.plans.pop(plan_id, None)
        for serial_number in posting.dropped:
            self.fees.pop(serial_number, None)
            self.carries.pop(serial_number, None)

    def _post_line(self, line: Line) -> None:
        if line.kind is LineKind.CREDIT:
            self.credit_minor += line.amount_minor
        elif line.kind is LineKind.ACCESS_RATE:
            self.fees[line.ref] = self.fees.get(line.ref, 0) + line.amount_minor
        elif line.kind is LineKind.ENERGY:
            self._carry(line.ref, Fraction(line.amount_minor))
        else:
            self._post_plan_line(line)

    def _post_plan_line(self, line: Line) -> None:
        """Pay a plan: named by its id (appliance), or the latest one of that device."""
        named = line.ref if line.kind is LineKind.APPLIANCE else self.plan_by_serial.get(line.ref)
        plan = None if named is None else self.plans.get(named)
        if plan is None:
            self.unplaced.append(Difference(Wrong.UNPLACED, line.ref, None, line.amount_minor))
        else:
            plan.paid_minor += line.amount_minor

    def _carry(self, serial_number: str, amount_minor: Fraction) -> None:
        self.carries[serial_number] = self.carries.get(serial_number, Fraction(0)) + amount_minor

    def open_plans(self) -> dict[str, int]:
        """What is paid of each plan that is not paid off."""
        return {
            plan_id: plan.paid_minor
            for plan_id, plan in self.plans.items()
            if plan.paid_minor < plan.total_minor
        }

    def overpaid_plans(self) -> list[Difference]:
        """Plans that were paid more than their total: somebody's money is in the wrong place."""
        return [
            Difference(Wrong.PLAN, plan_id, plan.total_minor, plan.paid_minor)
            for plan_id, plan in self.plans.items()
            if plan.paid_minor > plan.total_minor
        ]


def _versions(account: Account, postings: Iterable[Posting]) -> list[Difference]:
    """Each version up to the account's is posted once, and none beyond it."""
    counts = Counter(posting.version for posting in postings)
    wanted = range(1, account.version + 1)
    return [
        Difference(Wrong.VERSION, str(version), int(version in wanted), counts[version])
        for version in sorted({*wanted, *counts})
        if counts[version] != int(version in wanted)
    ]


def _line_sums(postings: Iterable[Posting]) -> Iterator[Difference]:
    """The lines of each payment add up to its amount."""
    for posting in postings:
        found = sum(line.amount_minor for line in posting.lines)
        if posting.amount_minor is not None and found != posting.amount_minor:
            yield Difference(Wrong.LINES, posting.source, posting.amount_minor, found)


def _without_zeros(sums: Mapping[str, Sum]) -> dict[str, Sum]:
    return {ref: amount for ref, amount in sums.items() if amount != 0}


def _compare(
    wrong: Wrong, expected: Mapping[str, Sum], found: Mapping[str, Sum]
) -> Iterator[Difference]:
    """Where what was posted and what the account has are not the same."""
    for ref in sorted({*expected, *found}):
        if expected.get(ref) != found.get(ref):
            yield Difference(wrong, ref, expected.get(ref), found.get(ref))
