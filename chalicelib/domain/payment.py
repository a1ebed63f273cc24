"""A payment, its vends and its tokens: what they are and how they move on.

::

    pending --> received --> vending --> completed
       |           |-------------------> completed   (debt only, or tokens computed at settlement)
       |           `--> refund_due --> refunding --> refunded
       `--> expired               from every state: held(reason), and back
    refused   (no money moved; the id stays free)

    a vend:  intended --> calling --> done | refused | uncertain
             uncertain --> done | void        refused --> calling | void
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from urllib.parse import quote

from chalicelib.domain.allocation import Line, VendKind
from chalicelib.domain.errors import FieldError, InvariantBroken


class Status(StrEnum):
    """Where a payment is in its life."""

    PENDING = "pending"
    RECEIVED = "received"
    VENDING = "vending"
    COMPLETED = "completed"
    REFUSED = "refused"
    EXPIRED = "expired"
    REFUND_DUE = "refund_due"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    HELD = "held"


FINAL = frozenset({Status.COMPLETED, Status.REFUSED, Status.EXPIRED, Status.REFUNDED})
"""States in which nothing more is to be done: such a payment is not in the ``open`` index."""


class VendState(StrEnum):
    """Where one vend is. ``void`` is final: trying again makes a new vend."""

    INTENDED = "intended"
    CALLING = "calling"
    DONE = "done"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Vend:
    """One request to one manufacturer for one token or top-up.

    ``attempts`` counts the calls taken up; ``lease_until`` is when the running call must have
    ended. ``count`` is the token counter before the token was computed (local manufacturers):
    with it the token can be made again. ``money_minor`` and ``cost_minor`` are as in the intent.
    ``retry_at`` is set while a refused vend is tried again without a person (the manufacturer
    was certainly not reached). ``closed`` marks a void vend whose money has gone elsewhere: into
    another vend, or into credit.
    """

    number: int
    serial_number: str
    manufacturer: str
    kind: VendKind
    state: VendState
    units: Fraction | None = None
    money_minor: int = 0
    cost_minor: Fraction = Fraction(0)
    attempts: int = 0
    lease_until: datetime | None = None
    count: int | None = None
    paid_until: datetime | None = None
    retry_at: datetime | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """What the customer types in. ``value`` is ``None`` for a remote top-up. Never logged."""

    vend: int
    serial_number: str
    kind: VendKind
    units: Fraction | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that went otherwise than usual, or that a person did."""

    at: datetime
    what: str
    actor: str | None = None
    reason: str | None = None


EVENTS_MAX = 50


@dataclass(frozen=True, slots=True)
class Claim:
    """What a provider says: who paid how much for which device, and when.

    ``source`` is the pot into which the money fell, ``transaction`` its id there; together they
    are the payment's identity. ``serial_number`` is in normal form where the text allows it,
    else as it came (shortened); ``reference`` is what the provider calls the payment.
    """

    channel: str
    source: str
    transaction: str
    reference: str
    serial_number: str
    amount_minor: int
    currency: str
    payer_phone: str | None = None
    paid_at: datetime | None = None
    plan_id: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """One incoming sum for one serial number from one channel.

    ``claim_hash`` is over the normalised claim (serial, amount, currency): it tells a repeated
    report from a different one under the same id. ``revision`` rises by one at every write.
    ``account_versions`` names the account versions that this payment made.
    ``check_at`` is when the sweeper looks at it again; ``None`` in a final state.
    """

    payment_id: str
    channel: str
    reference: str
    serial_number: str
    amount_minor: int
    currency: str
    claim_hash: str
    moment: datetime
    received_at: datetime
    status: Status
    customer_id: str | None = None
    plan_id: str | None = None
    payer_phone: str | None = None
    reason: str | None = None
    lines: tuple[Line, ...] = ()
    vends: tuple[Vend, ...] = ()
    tokens: tuple[Token, ...] = ()
    events: tuple[Event, ...] = ()
    account_versions: tuple[int, ...] = ()
    settled_at: datetime | None = None
    completed_at: datetime | None = None
    check_at: datetime | None = None
    sweeps: int = 0
    revision: int = 1

    @property
    def owner(self) -> str:
        """Whose list it stands in: the customer's, or the serial number's without one."""
        return self.customer_id or f"serial#{self.serial_number}"

    def vend(self, number: int) -> Vend:
        """The vend of that number.

        Raises:
            KeyError: there is none.
        """
        for vend in self.vends:
            if vend.number == number:
                return vend
        raise KeyError(number)

    def with_vend(self, changed: Vend) -> Payment:
        """This payment with that vend put in the place of the one of its number."""
        return replace(
            self, vends=tuple(changed if v.number == changed.number else v for v in self.vends)
        )

    def with_event(
        self, at: datetime, what: str, actor: str | None = None, reason: str | None = None
    ) -> Payment:
        """This payment with one more event; the list stops growing at ``EVENTS_MAX``."""
        if len(self.events) >= EVENTS_MAX:
            return self
        return replace(self, events=(*self.events, Event(at, what, actor, reason)))


# --- identity -----------------------------------------------------------------------------------

PAYMENT_ID_LENGTH_MAX = 100


def payment_id_of(source: str, transaction: str) -> str:
    """The payment's id: ``<source>-<transaction>``, other characters percent-encoded.

    Raises:
        FieldError: on ``reference``: nothing is there, or the id is longer than 100 characters.
    """
    if not transaction:
        raise FieldError("reference", "must not be empty")
    payment_id = f"{source}-{quote(transaction, safe='').replace('~', '%7E')}"
    if len(payment_id) > PAYMENT_ID_LENGTH_MAX:
        raise FieldError("reference", f"makes an id of over {PAYMENT_ID_LENGTH_MAX} characters")
    return payment_id


def claim_hash(claim: Claim) -> str:
    """What tells a repeated report from a different one: a hash of the normalised claim."""
    text = "\n".join(
        (claim.plan_id or claim.serial_number, str(claim.amount_minor), claim.currency)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# --- the way through life -------------------------------------------------------------------------

FIRST_CHECK = timedelta(minutes=1)
CHECKS_MINUTES_MAX = 60
SWEEPS_MAX = 10
"""After this many fruitless sweeps (about five hours) a payment is held as stuck."""


def accepted(
    claim: Claim,
    *,
    moment: datetime,
    received_at: datetime,
    customer_id: str | None,
    refusal: str | None = None,
) -> Payment:
    """A new payment: ``received``, or ``refused`` with the reason."""
    return Payment(
        payment_id=payment_id_of(claim.source, claim.transaction),
        channel=claim.channel,
        reference=claim.reference,
        serial_number=claim.serial_number,
        amount_minor=claim.amount_minor,
        currency=claim.currency,
        claim_hash=claim_hash(claim),
        moment=moment,
        received_at=received_at,
        status=Status.REFUSED if refusal else Status.RECEIVED,
        customer_id=customer_id,
        plan_id=claim.plan_id,
        payer_phone=claim.payer_phone,
        reason=refusal,
        check_at=None if refusal else received_at + FIRST_CHECK,
    )


def after_refusal(refused: Payment, judged_anew: Payment) -> Payment:
    """The payment that takes the place of a refused one: its refusals stay as events."""
    kept = replace(judged_anew, events=refused.events, revision=refused.revision)
    return kept.with_event(refused.received_at, "refused", reason=refused.reason)


def settled(
    payment: Payment,
    *,
    lines: tuple[Line, ...],
    vends: tuple[Vend, ...],
    tokens: tuple[Token, ...],
    account_version: int,
    now: datetime,
) -> Payment:
    """The payment with its split, in one step with the account of that version.

    Raises:
        InvariantBroken: the lines do not add up to the amount.
    """
    return following_its_vends(
        replace(
            with_lines(payment, lines),
            vends=vends,
            tokens=tokens,
            account_versions=(*payment.account_versions, account_version),
            settled_at=now,
            sweeps=0,
        ),
        now,
    )


def with_lines(payment: Payment, lines: tuple[Line, ...]) -> Payment:
    """The payment with these lines. They always add up to its amount.

    Raises:
        InvariantBroken: they do not.
    """
    if sum(line.amount_minor for line in lines) != payment.amount_minor:
        raise InvariantBroken(f"lines of {payment.payment_id} do not add up to its amount")
    return replace(payment, lines=lines)


def following_its_vends(payment: Payment, now: datetime) -> Payment:
    """The payment with the status that its vends give it.

    A vend that needs a person holds the payment, whatever the others do; one under way keeps it
    ``vending``; else it is completed.
    """
    reason = next((r for r in map(_needs_a_person, payment.vends) if r), None)
    if reason:
        return held(payment, reason, now)
    if any(v.state in _UNDER_WAY or v.retry_at for v in payment.vends):
        return replace(
            payment,
            status=Status.VENDING,
            reason=None,
            check_at=payment.check_at or now + FIRST_CHECK,
        )
    return replace(payment, status=Status.COMPLETED, reason=None, completed_at=now, check_at=None)


_UNDER_WAY = frozenset({VendState.INTENDED, VendState.CALLING})


def _needs_a_person(vend: Vend) -> str | None:
    if vend.state is VendState.UNCERTAIN:
        return "vend_uncertain"
    if vend.state is VendState.REFUSED and vend.retry_at is None:
        return "vend_refused"
    if vend.state is VendState.VOID and not vend.closed:
        return "not_issued"
    return None


def held(payment: Payment, reason: str, now: datetime) -> Payment:
    """The payment, waiting for a person. The event is added only when it is news."""
    if payment.status is Status.HELD and payment.reason == reason:
        return payment
    waiting = replace(payment, status=Status.HELD, reason=reason, sweeps=0)
    waiting = replace(waiting, check_at=_next_look(waiting, now, 0))
    return waiting.with_event(now, "held", reason=reason)


def released(payment: Payment, now: datetime) -> Payment:
    """A held payment, back where it was: to be settled, or following its vends."""
    back = replace(payment, reason=None, sweeps=0, check_at=now + FIRST_CHECK)
    if payment.settled_at is None:
        return replace(back, status=Status.RECEIVED)
    return following_its_vends(replace(back, status=Status.VENDING), now)


def swept(payment: Payment, now: datetime) -> Payment:
    """The payment, looked at once more: checked again after 1, 2, 4 ... 60 minutes.

    One that was to be settled or vended and made no progress in ``SWEEPS_MAX`` looks is held.
    """
    is_held = payment.status is Status.HELD
    if payment.sweeps >= SWEEPS_MAX and not is_held:
        return held(payment, "stuck", now)
    check_at = _next_look(payment, now, payment.sweeps)
    return replace(payment, sweeps=min(payment.sweeps + 1, SWEEPS_MAX), check_at=check_at)


def _next_look(payment: Payment, now: datetime, sweeps: int) -> datetime:
    """When to look again. One that only waits for a person is looked at hourly."""
    waits_for_us = payment.status is not Status.HELD or bool(unfinished(payment.vends))
    minutes = min(2**sweeps, CHECKS_MINUTES_MAX) if waits_for_us else CHECKS_MINUTES_MAX
    return now + timedelta(minutes=minutes)


# --- vends ----------------------------------------------------------------------------------------


def vend_done(payment: Payment, number: int, value: str | None, now: datetime) -> Payment:
    """The payment after a vend brought its token (``None``: a remote top-up)."""
    vend = payment.vend(number)
    token = Token(number, vend.serial_number, vend.kind, vend.units, value)
    done = replace(vend, state=VendState.DONE, lease_until=None, retry_at=None)
    return following_its_vends(
        replace(payment.with_vend(done), tokens=(*payment.tokens, token), sweeps=0), now
    )


def vend_refused(
    payment: Payment, number: int, reason: str, now: datetime, retry_at: datetime | None = None
) -> Payment:
    """The payment after a definite no. With ``retry_at`` it is tried again without a person."""
    vend = replace(
        payment.vend(number), state=VendState.REFUSED, lease_until=None, retry_at=retry_at
    )
    noted = payment.with_vend(vend).with_event(now, "vend_refused", reason=reason)
    return following_its_vends(noted, now)


def vend_uncertain(payment: Payment, number: int, reason: str, now: datetime) -> Payment:
    """The payment after an answer that does not tell whether the manufacturer vended."""
    vend = replace(payment.vend(number), state=VendState.UNCERTAIN, lease_until=None, retry_at=None)
    noted = payment.with_vend(vend).with_event(now, "vend_uncertain", reason=reason)
    return following_its_vends(noted, now)


def vend_void(payment: Payment, number: int, now: datetime, *, closed: bool = False) -> Payment:
    """The payment after a person said that a vend issued nothing. Final for that vend."""
    vend = replace(
        payment.vend(number),
        state=VendState.VOID,
        lease_until=None,
        retry_at=None,
        closed=closed,
    )
    return following_its_vends(payment.with_vend(vend), now)


def vend_again(payment: Payment, number: int, now: datetime) -> Payment:
    """The payment with a new vend of the same intent in the place of a void one."""
    void = replace(payment.vend(number), state=VendState.VOID, lease_until=None, closed=True)
    fresh = replace(
        void,
        number=len(payment.vends) + 1,
        state=VendState.INTENDED,
        attempts=0,
        retry_at=None,
        closed=False,
    )
    both = payment.with_vend(void)
    return following_its_vends(replace(both, vends=(*both.vends, fresh)), now)


# --- messages -------------------------------------------------------------------------------------

RECEIPT = 0
HELD_MESSAGE = 90
UNUSABLE_MESSAGE = 91
REFUNDED_MESSAGE = 92
REFUSED_MESSAGE = 93
"""Numbers of the SMS of a payment: 0 a receipt without a token, 1 ... one per finished vend,
90 we are looking into it, 91 the money cannot be used for that serial, 92 it was given back,
93 refused."""


def messages_due(payment: Payment) -> tuple[int, ...]:
    """The SMS that this payment calls for as it stands now, by number.

    Nobody is told where neither a customer nor the payer's phone is known.
    """
    if payment.customer_id is None and payment.payer_phone is None:
        return ()
    done = tuple(v.number for v in payment.vends if v.state is VendState.DONE)
    if payment.status is Status.REFUSED:
        return (REFUSED_MESSAGE,)
    if payment.status is Status.HELD:
        return (*done, HELD_MESSAGE if payment.customer_id else UNUSABLE_MESSAGE)
    if payment.status is Status.COMPLETED and not done:
        return (RECEIPT,)
    return done


def unfinished(vends: Iterable[Vend]) -> tuple[Vend, ...]:
    """The vends that a worker must still take up."""
    return tuple(v for v in vends if v.state in _UNDER_WAY or v.retry_at is not None)
