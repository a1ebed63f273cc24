"""The ledger: where the money of all payments is, added up from what was recorded.

The books (``domain.books``) prove the account of one customer. Money that is in no account (held,
on its way back, gone back) is not in them. Here every payment has its place, whoever owns it, and
whatever of it is in no place is named. Nothing here splits a payment: it adds up recorded lines.

Figures only ever add up, so two closings tell what happened between them: subtract the earlier
one. Whatever changes later, also of an old payment, is thereby in the later period.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from chalicelib.domain.allocation import VendKind
from chalicelib.domain.books import Posting
from chalicelib.domain.payment import (
    ENTRY_CHANNEL,
    EVENTS_MAX,
    FINAL,
    PAID_OTHERWISE,
    RESULT_NOT_TAKEN,
    REVERSED,
    UNCONFIRMED,
    Claim,
    Payment,
    RefundState,
    Status,
    VendState,
    claim_hash,
)

Key = tuple[str, ...]
"""What a figure is of: a ``Figure`` name, and what it is told apart by."""


class Of(StrEnum):
    """The kinds of figures.

    ``in`` (channel, month of receipt): money that has moved to us. ``in_before``: the same, of
    payments that the closing before this one had seen too.

    Where it is: ``settled`` (line kind), ``waiting`` for its settlement, ``held`` (reason),
    ``refund_due`` (reason), ``refunding``, ``refunded``, or ``taken_back`` by its provider.

    Beside that: ``claimed`` (reason) is what we were told of and is not known to have moved;
    ``settled_held`` (reason) are settled payments that wait for a person; ``token`` (manufacturer,
    kind) is what was issued, and ``energy_cost`` what energy vends cost; ``change`` (entry, line
    kind) and ``carry_change`` (entry) are changes of accounts without a payment; ``sold`` (entry)
    are plans.
    """

    IN = "in"
    IN_BEFORE = "in_before"
    SETTLED = "settled"
    WAITING = "waiting"
    HELD = "held"
    REFUND_DUE = "refund_due"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    TAKEN_BACK = "taken_back"
    CLAIMED = "claimed"
    SETTLED_HELD = "settled_held"
    TOKEN = "token"  # noqa: S105 - not a password
    ENERGY_COST = "energy_cost"
    CHANGE = "change"
    CARRY_CHANGE = "carry_change"
    SOLD = "sold"


PLACES = (
    Of.SETTLED,
    Of.WAITING,
    Of.HELD,
    Of.REFUND_DUE,
    Of.REFUNDING,
    Of.REFUNDED,
    Of.TAKEN_BACK,
)
"""Where money that came in can be. Together they are what came in, or something is missing."""

CLAIMS = frozenset({UNCONFIRMED, PAID_OTHERWISE, RESULT_NOT_TAKEN})
"""Why a payment is held of which nobody knows that its money is ours."""

ASSIGNED = "resolved_assign"
"""The event of a payment that a person gave to another serial number."""


@dataclass(frozen=True, slots=True)
class Sum:
    """How many, how much money in minor units (exact), and how many units."""

    count: int = 0
    amount_minor: Fraction = Fraction(0)
    units: Fraction = Fraction(0)

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            self.count + other.count,
            self.amount_minor + other.amount_minor,
            self.units + other.units,
        )

    def __sub__(self, other: Sum) -> Sum:
        return Sum(
            self.count - other.count,
            self.amount_minor - other.amount_minor,
            self.units - other.units,
        )


NOTHING = Sum()

Figures = Mapping[Key, Sum]


class Fault(StrEnum):
    """The ways in which a payment is not in order.

    ``money``: what is in its places is not its amount. ``claim``: its amount, currency or serial
    number are not those that it was stored with. ``tokens``: its finished vends and its tokens do
    not belong together (both are counts). ``doubled``: its money waits under another id too.
    ``missing``: payments that an earlier closing has seen are not there any more. ``unreadable``:
    it is not in our form.
    """

    MONEY = "money"
    CLAIM = "claim"
    TOKENS = "tokens"
    DOUBLED = "doubled"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """One thing that is not in order: of which payment (or channel and month), and how much."""

    fault: Fault
    ref: str
    expected: int | None = None
    found: int | None = None

    @property
    def amount_minor(self) -> int:
        """By how much money it is wrong; nothing where no sum of money is."""
        if self.fault is Fault.TOKENS:
            return 0
        return abs((self.found or 0) - (self.expected or 0))


# --- one payment ----------------------------------------------------------------------------------


def has_moved(payment: Payment) -> bool:
    """Whether its money has come to us, as far as anybody knows."""
    if payment.status is Status.EXPIRED:
        return _was_taken_back(payment)
    if payment.status is Status.HELD and not payment.account_versions:
        return payment.reason not in CLAIMS
    return payment.status not in (Status.PENDING, Status.REFUSED)


def places_of(payment: Payment) -> Iterator[tuple[Key, int]]:
    """Where its money is, and how much is there."""
    for line in payment.lines:
        yield (Of.SETTLED, line.kind.value), line.amount_minor
    for refund in payment.refunds:
        if refund.state is not RefundState.VOID:
            done = refund.state is RefundState.DONE
            yield (Of.REFUNDED if done else Of.REFUNDING,), refund.amount_minor
    if not payment.account_versions and payment.kept_minor:
        waits = _waits_in(payment)
        if waits is not None:
            yield waits, payment.kept_minor


def _waits_in(payment: Payment) -> Key | None:
    """The place of money that is in no account; none where such a payment cannot be."""
    reason = payment.reason or "unknown"
    return {
        Status.RECEIVED: (Of.WAITING,),
        Status.HELD: (Of.HELD, reason),
        Status.REFUND_DUE: (Of.REFUND_DUE, reason),
        Status.REFUNDING: (Of.REFUNDING,),
        Status.EXPIRED: (Of.TAKEN_BACK,),
    }.get(payment.status)


def _was_taken_back(payment: Payment) -> bool:
    """Whether its provider took it back after we had it: it was held for that."""
    return any(event.what == "held" and event.reason == REVERSED for event in payment.events)


def faults_of(payment: Payment) -> Iterator[Unaccounted]:
    """What is not in order with a payment."""
    moved = has_moved(payment)
    expected = payment.amount_minor if moved else 0
    found = sum(
        amount
        for (place, *_), amount in places_of(payment)
        if moved or place in (Of.SETTLED, Of.REFUNDED, Of.REFUNDING)
    )
    if found != expected:
        yield Unaccounted(Fault.MONEY, payment.payment_id, expected, found)
    if not _is_as_claimed(payment):
        yield Unaccounted(Fault.CLAIM, payment.payment_id, None, payment.amount_minor)
    done = sorted(v.number for v in payment.vends if v.state is VendState.DONE)
    tokens = sorted(token.vend for token in payment.tokens)
    if done != tokens:
        yield Unaccounted(Fault.TOKENS, payment.payment_id, len(done), len(tokens))


def _is_as_claimed(payment: Payment) -> bool:
    """Whether its hash is of what it says. One that was given to another serial cannot tell, nor
    one whose events are too many to know."""
    events = payment.events
    if len(events) >= EVENTS_MAX or any(event.what == ASSIGNED for event in events):
        return True
    claim = Claim(
        channel=payment.channel,
        source="",
        transaction="",
        reference=payment.reference,
        serial_number=payment.serial_number,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        plan_id=payment.plan_id,
    )
    return claim_hash(claim) == payment.claim_hash


def waiting_mark(payment: Payment) -> str | None:
    """What tells money that waits outside all accounts from any other; none of what does not wait.

    Two reports of one channel never have one reference and come at the same microsecond: a second
    payment with this mark is a copy, and would be given back once more.
    """
    waits = has_moved(payment) and not payment.account_versions and payment.kept_minor > 0
    if not waits or payment.status in FINAL:
        return None
    told = f"{payment.channel}\n{payment.reference}\n{payment.received_at.isoformat()}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def figures_of(payment: Payment, seen_until: datetime | None) -> Iterator[tuple[Key, Sum]]:
    """What a payment adds to the figures. ``seen_until`` is when the last closing was cut."""
    if payment.channel != ENTRY_CHANNEL and payment.amount_minor:
        yield from _money_of(payment, seen_until)
    for vend in payment.vends:
        if vend.kind is VendKind.ENERGY and not vend.closed:
            yield (Of.ENERGY_COST,), Sum(1, vend.cost_minor)
        if vend.state is VendState.DONE:
            money = vend.cost_minor if vend.kind is VendKind.ENERGY else Fraction(vend.money_minor)
            issued = Sum(1, money, vend.units or Fraction(0))
            yield (Of.TOKEN, vend.manufacturer, vend.kind.value), issued


def _money_of(payment: Payment, seen_until: datetime | None) -> Iterator[tuple[Key, Sum]]:
    amount = Sum(1, Fraction(payment.amount_minor))
    if not has_moved(payment):
        if payment.status is Status.HELD:
            yield (Of.CLAIMED, payment.reason or "unknown"), amount
        return
    month = f"{payment.received_at:%Y-%m}"
    yield (Of.IN, payment.channel, month), amount
    if seen_until is not None and payment.received_at < seen_until:
        yield (Of.IN_BEFORE, payment.channel, month), amount
    for key, amount_minor in places_of(payment):
        yield key, Sum(1, Fraction(amount_minor))
    if payment.status is Status.HELD and payment.account_versions:
        yield (Of.SETTLED_HELD, payment.reason or "unknown"), amount


# --- one entry ------------------------------------------------------------------------------------


def figures_of_entry(what: str, posting: Posting) -> Iterator[tuple[Key, Sum]]:
    """What a change of an account that is not a payment adds to the figures."""
    for line in posting.lines:
        yield (Of.CHANGE, what, line.kind.value), Sum(1, Fraction(line.amount_minor))
    for carry in posting.carries:
        yield (Of.CARRY_CHANGE, what), Sum(1, carry.amount_minor)
    for plan in posting.opened:
        yield (Of.SOLD, what), Sum(1, Fraction(plan.total_minor - plan.already_paid_minor))


# --- all together ---------------------------------------------------------------------------------


def between(opening: Figures, closing: Figures) -> dict[Key, Sum]:
    """What happened between two closings; without what did not change."""
    changed = {
        key: closing.get(key, NOTHING) - opening.get(key, NOTHING)
        for key in sorted({*opening, *closing})
    }
    return {key: figure for key, figure in changed.items() if figure != NOTHING}


def total(figures: Figures, *of: Of, by: str | None = None) -> Sum:
    """The sum of all figures of these kinds; with ``by`` only of those told apart by that."""
    found = NOTHING
    for key, figure in figures.items():
        if key[0] in of and (by is None or by in key[1:]):
            found += figure
    return found


def told_apart(figures: Figures, of: Of, position: int = 1) -> dict[str, Sum]:
    """The figures of one kind, by what they are told apart by, in order of its name."""
    found: dict[str, Sum] = {}
    for key, figure in sorted(figures.items()):
        if key[0] == of:
            found[key[position]] = found.get(key[position], NOTHING) + figure
    return found


def credit_in_hand(figures: Figures) -> Sum:
    """What customers have in hand: credit from payments and from changes of accounts."""
    return total(figures, Of.SETTLED, Of.CHANGE, by="credit")


def carried(figures: Figures) -> Sum:
    """What is carried on meters until it buys a step: paid for energy, and not spent on it."""
    paid = total(figures, Of.SETTLED, Of.CHANGE, by="energy")
    spent = total(figures, Of.ENERGY_COST)
    return paid + total(figures, Of.CARRY_CHANGE) - spent


def missing(before: Figures, now: Figures) -> Iterator[Unaccounted]:
    """What an earlier closing has seen and this one does not find: nothing is ever deleted."""
    for key, was in sorted(before.items()):
        if key[0] == Of.IN:
            found = now.get((Of.IN_BEFORE, *key[1:]), NOTHING)
            if found.count < was.count or found.amount_minor < was.amount_minor:
                ref = " ".join(key[1:])
                if found.count < was.count:
                    ref += f", {was.count - found.count} gone"
                yield Unaccounted(
                    Fault.MISSING, ref, int(was.amount_minor), int(found.amount_minor)
                )
