"""The books of one customer: a proof that every change of the account is accounted for.

Every change of an account raises its version by exactly one, and the payment or entry that made
it carries that number. The books are right when versions 1 to V each appear once and what was
posted adds up to the account at V, and to the plans that have left it. Differences name what is
missing or doubled.

The proof adds up what was recorded. It never splits a payment itself, so a mistake in the split
cannot hide in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import islice
from typing import TypeVar

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.payment import Payment

Sum = TypeVar("Sum", int, Fraction)

VERSIONS_NAMED_MAX = 100
"""So many wrong versions are named: a version far off the mark would make the list endless."""


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
    entry uses them too (free credit: a credit line; credit refunded: a negative one; fees written
    off: an access-rate line; a cancelled plan's money given as credit: a line of the plan below
    zero and a credit line). ``amount_minor`` is the sum they must add up to, ``None`` where there
    is no such sum. ``changed`` are open plans with new terms, ``closed`` are plans that ended
    unpaid (cancelled, written off) and ``dropped`` are devices whose record left the account:
    their fees are forgotten there, their carry must have gone elsewhere before. ``moved`` is the
    serial number of a device and that of the one which took its place, with all that it had.
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
    moved: tuple[str, str] | None = None


class Wrong(StrEnum):
    """The kinds of difference.

    ``version``: not exactly one payment or entry made it. ``lines``: those of a payment do not
    add up to what we keep of it. ``unplaced``: posted to a plan that is not open, or to somebody
    else's credit. ``total``: an open plan costs something else than was agreed. ``unreadable``:
    something is stored in another form than ours, so nothing could be compared (whoever reads
    finds that out). The others: what was posted there is not what is there.
    """

    VERSION = "version"
    LINES = "lines"
    UNPLACED = "unplaced"
    CREDIT = "credit"
    PLAN = "plan"
    TOTAL = "total"
    FEES = "fees"
    CARRY = "carry"
    UNREADABLE = "unreadable"


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


def check_books(
    account: Account,
    postings: Iterable[Posting],
    ended: Mapping[str, int | None] | None = None,
) -> list[Difference]:
    """Compare the account with what was posted. An empty answer is the proof that they agree.

    ``postings`` are all of the customer's, in any order. ``ended`` says what is stored as paid
    of plans that have left the account, ``None`` for one that is not stored: those that it names
    are compared too.
    """
    in_order = sorted(postings, key=lambda posting: posting.version)
    books = _Books(account.customer_id)
    for posting in in_order:
        books.post(posting)
    plans = {plan.plan_id: plan.paid_minor for plan in account.plans}
    totals = {plan.plan_id: plan.total_minor for plan in account.plans}
    fees = {d.serial_number: d.fees_paid_minor for d in account.devices if d.fees_paid_minor}
    carries = {d.serial_number: d.carry_minor for d in account.devices if d.carry_minor}
    return [
        *islice(_versions(account, in_order), VERSIONS_NAMED_MAX),
        *_line_sums(in_order),
        *books.unplaced,
        *_compare(
            Wrong.CREDIT,
            {account.customer_id: books.credit_minor},
            {account.customer_id: account.credit_minor},
        ),
        *_compare(Wrong.PLAN, books.open_plans(), plans),
        *_compare(Wrong.TOTAL, *_in_both(books.totals(), totals)),
        *_ended_plans(books.paid_on_plans(), ended or {}),
        *books.overpaid_plans(),
        *_compare(Wrong.FEES, _without_zeros(books.fees), fees),
        *_compare(Wrong.CARRY, *books.without_small_change(carries)),
        *books.below_zero(),
    ]


def plans_that_ended(account: Account, postings: Iterable[Posting]) -> list[str]:
    """The ids of plans that were opened and are not in the account any more, in order."""
    opened = {opened.plan_id for posting in postings for opened in posting.opened}
    return sorted(opened - {plan.plan_id for plan in account.plans})


def check_unposted(payment: Payment) -> list[Difference]:
    """What is wrong with a payment that made no version: its money is in no account.

    So it has no lines; and one that is settled is a payment of nothing, for an entry's vend.
    """
    if payment.account_versions:
        return []
    found = sum(line.amount_minor for line in payment.lines)
    if found != 0:
        return [Difference(Wrong.LINES, payment.payment_id, 0, found)]
    if payment.settled_at is not None and payment.kept_minor != 0:
        return [Difference(Wrong.LINES, payment.payment_id, payment.kept_minor, 0)]
    return []


def postings_of(payment: Payment) -> list[Posting]:
    """What a payment posted: one posting for each account version that it made.

    A payment that changed the account again (turned into credit, refunded) has its reversals
    among its lines, so all its lines and vends are taken together, at the first version: a
    reversal thereby meets the plan that was open when the money came, whatever was sold since.
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

    customer_id: str
    credit_minor: int = 0
    plans: dict[str, _OpenPlan] = field(default_factory=dict)
    closed: dict[str, _OpenPlan] = field(default_factory=dict)
    plan_by_serial: dict[str, str] = field(default_factory=dict)
    fees: dict[str, int] = field(default_factory=dict)
    carries: dict[str, Fraction] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
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
            else:
                self._unplaced(changed.plan_id, changed.total_minor)
        for line in posting.lines:
            self._post_line(line)
        for change in posting.carries:
            self._carry(change.serial_number, change.amount_minor)
        for plan_id in posting.closed:
            if plan_id in self.plans:
                self.closed[plan_id] = self.plans.pop(plan_id)
            else:
                self._unplaced(plan_id, 0)
        for serial_number in posting.dropped:
            self.fees.pop(serial_number, None)
            self.dropped.add(serial_number)
        if posting.moved is not None:
            self._move(*posting.moved)

    def _move(self, from_serial: str, to_serial: str) -> None:
        """What was posted to the one device is the other one's from now on."""
        if from_serial in self.plan_by_serial:
            self.plan_by_serial[to_serial] = self.plan_by_serial.pop(from_serial)
        self.fees[to_serial] = self.fees.get(to_serial, 0) + self.fees.pop(from_serial, 0)
        self._carry(to_serial, self.carries.pop(from_serial, Fraction(0)))

    def _post_line(self, line: Line) -> None:
        if line.kind is LineKind.CREDIT and line.ref == self.customer_id:
            self.credit_minor += line.amount_minor
        elif line.kind is LineKind.ACCESS_RATE:
            self.fees[line.ref] = self.fees.get(line.ref, 0) + line.amount_minor
        elif line.kind is LineKind.ENERGY:
            self._carry(line.ref, Fraction(line.amount_minor))
        else:
            self._post_plan_line(line)

    def _post_plan_line(self, line: Line) -> None:
        """Pay a plan: named by its id (appliance), or the latest one of that device."""
        plan_id = line.ref
        if line.kind in (LineKind.DEVICE, LineKind.TIME):
            plan_id = self.plan_by_serial.get(line.ref, "")
        if plan_id in self.plans:
            self.plans[plan_id].paid_minor += line.amount_minor
        else:  # also the credit of somebody else
            self._unplaced(line.ref, line.amount_minor)

    def _unplaced(self, ref: str, amount_minor: int) -> None:
        self.unplaced.append(Difference(Wrong.UNPLACED, ref, None, amount_minor))

    def _carry(self, serial_number: str, amount_minor: Fraction) -> None:
        self.carries[serial_number] = self.carries.get(serial_number, Fraction(0)) + amount_minor

    def open_plans(self) -> dict[str, int]:
        """What is paid of each plan that is not paid off."""
        return {
            plan_id: plan.paid_minor
            for plan_id, plan in self.plans.items()
            if plan.paid_minor < plan.total_minor
        }

    def totals(self) -> dict[str, int]:
        """What each plan that was not closed adds up to."""
        return {plan_id: plan.total_minor for plan_id, plan in self.plans.items()}

    def paid_on_plans(self) -> dict[str, int]:
        """What is paid of each plan that ever was."""
        return {plan_id: plan.paid_minor for plan_id, plan in (self.plans | self.closed).items()}

    def without_small_change(
        self, found: Mapping[str, Fraction]
    ) -> tuple[Mapping[str, Fraction], Mapping[str, Fraction]]:
        """The carries, posted and ``found``, but for those that need not agree to the fraction.

        A vend that is given up when its meter has left cannot return less than a minor unit of
        what it cost: no carry is there to take it, and no credit can.
        """
        posted, none = _without_zeros(self.carries), Fraction(0)
        small = {
            serial_number
            for serial_number in self.dropped
            if -1 < posted.get(serial_number, none) - found.get(serial_number, none) < 1
        }
        return (
            {ref: amount for ref, amount in posted.items() if ref not in small},
            {ref: amount for ref, amount in found.items() if ref not in small},
        )

    def below_zero(self) -> Iterator[Difference]:
        """Sums from which more was taken than was ever there."""
        credit = {self.customer_id: self.credit_minor}
        yield from _below_zero(Wrong.CREDIT, credit)
        yield from _below_zero(Wrong.PLAN, self.paid_on_plans())
        yield from _below_zero(Wrong.FEES, self.fees)
        yield from _below_zero(Wrong.CARRY, self.carries)

    def overpaid_plans(self) -> list[Difference]:
        """Plans that were paid more than their total: somebody's money is in the wrong place."""
        return [
            Difference(Wrong.PLAN, plan_id, plan.total_minor, plan.paid_minor)
            for plan_id, plan in self.plans.items()
            if plan.paid_minor > plan.total_minor
        ]


def _versions(account: Account, postings: Iterable[Posting]) -> Iterator[Difference]:
    """Each version up to the account's is posted once, and none beyond it."""
    counts = Counter(posting.version for posting in postings)
    for version in range(1, account.version + 1):
        if counts[version] != 1:
            yield Difference(Wrong.VERSION, str(version), 1, counts[version])
    for version in sorted(counts):
        if not 1 <= version <= account.version:
            yield Difference(Wrong.VERSION, str(version), 0, counts[version])


def _line_sums(postings: Iterable[Posting]) -> Iterator[Difference]:
    """The lines of each payment add up to its amount."""
    for posting in postings:
        found = sum(line.amount_minor for line in posting.lines)
        if posting.amount_minor is not None and found != posting.amount_minor:
            yield Difference(Wrong.LINES, posting.source, posting.amount_minor, found)


def _ended_plans(
    posted: Mapping[str, int], ended: Mapping[str, int | None]
) -> Iterator[Difference]:
    """Plans that have left the account were paid what was posted to them."""
    for plan_id, found in ended.items():
        if posted.get(plan_id) != found:
            yield Difference(Wrong.PLAN, plan_id, posted.get(plan_id), found)


def _below_zero(wrong: Wrong, sums: Mapping[str, Sum]) -> Iterator[Difference]:
    return (Difference(wrong, ref, 0, amount) for ref, amount in sums.items() if amount < 0)


def _in_both(
    expected: Mapping[str, int], found: Mapping[str, int]
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Both without what only one of them has: that is told already."""
    both = expected.keys() & found.keys()
    return {ref: expected[ref] for ref in both}, {ref: found[ref] for ref in both}


def _without_zeros(sums: Mapping[str, Sum]) -> dict[str, Sum]:
    return {ref: amount for ref, amount in sums.items() if amount != 0}


def _compare(
    wrong: Wrong, expected: Mapping[str, Sum], found: Mapping[str, Sum]
) -> Iterator[Difference]:
    """Where what was posted and what the account has are not the same."""
    for ref in sorted({*expected, *found}):
        if expected.get(ref) != found.get(ref):
            yield Difference(wrong, ref, expected.get(ref), found.get(ref))
