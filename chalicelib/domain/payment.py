"""A payment, its vends, tokens and refunds: what they are and how they move on.

::

    pending --> received --> vending --> completed
       |           |-------------------> completed   (debt only, or tokens computed at settlement)
       |           `--> refund_due --> refunding --> refunded
       `--> expired               from every state: held(reason), and back
    refused   (no money moved; the id stays free)

    a vend:    intended --> calling --> done | refused | uncertain
               uncertain --> done | void        refused --> calling | void
               uncertain --> calling, where repeating the very same call can do no harm

    a refund:  intended --> calling --> accepted --> done | refused
               calling --> done | refused | uncertain
               uncertain --> accepted | done | refused     refused --> calling | void

``pending`` and ``expired`` are of payments that we start: a customer who pays after all makes an
expired one ``received``. Money that a provider has reserved until it has our result is ``pending``
too; with a ``reason``, that result is no, and it becomes ``refused``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
    with it the token can be made again. ``money_minor``, ``cost_minor`` and ``days_bought`` are as
    in the intent, and so is ``paid_until``, until the vend is done: then the device was told it.
    ``retry_at`` is set while a vend in trouble is worked on without a person: a refused one is
    called again (the manufacturer was certainly not reached), an uncertain one is called again
    or looked up. ``called_at`` is when the last call began, ``looks`` counts the look-ups since,
    and ``reference`` is what the manufacturer calls the sale. ``in_doubt``: one of its calls may
    have had an effect that nobody knows of. ``closed`` marks a void vend whose money has gone
    elsewhere: into another vend, into credit, or back to the payer.
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
    days_bought: Fraction = Fraction(0)
    retry_at: datetime | None = None
    called_at: datetime | None = None
    looks: int = 0
    reference: str | None = None
    in_doubt: bool = False
    closed: bool = False


class RefundState(StrEnum):
    """Where one refund is. ``accepted``: the provider has taken it, the money is on its way."""

    INTENDED = "intended"
    CALLING = "calling"
    ACCEPTED = "accepted"
    DONE = "done"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that goes back to the payer through the channel's own provider.

    ``attempts``, ``lease_until``, ``retry_at``, ``called_at``, ``looks``, ``reference`` and
    ``in_doubt`` are as in a vend. A ``void`` refund gave nothing back: its money is the payment's.
    """

    number: int
    amount_minor: int
    state: RefundState = RefundState.INTENDED
    attempts: int = 0
    lease_until: datetime | None = None
    retry_at: datetime | None = None
    called_at: datetime | None = None
    looks: int = 0
    reference: str | None = None
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """What the customer types in. ``value`` is ``None`` for a remote top-up. Never logged.

    ``before`` are tokens that the device must be given first, in that order: a new key, say.
    """

    vend: int
    serial_number: str
    kind: VendKind
    units: Fraction | None = None
    value: str | None = None
    before: tuple[str, ...] = ()


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
    else as it came (shortened); ``reference`` is what the provider calls the payment, and
    ``known_as`` what else it must be told to know the payment again. A claim that is not
    ``proven`` comes from a caller who signs nothing.
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
    known_as: Mapping[str, str] = field(default_factory=dict)
    proven: bool = True


@dataclass(frozen=True, slots=True)
class Payment:
    """One incoming sum for one serial number from one channel.

    ``claim_hash`` is over the normalised claim (serial, amount, currency): it tells a repeated
    report from a different one under the same id. ``revision`` rises by one at every write.
    ``account_versions`` names the account versions that this payment made.
    ``check_at`` is when the sweeper looks at it again; ``None`` in a final state. ``receipt`` is
    the provider's own name for a payment that we started, ``known_as`` what else it must be told
    to know the payment again, and ``asked_at`` when a worker asked it to charge the payer.
    ``refund_at`` is when money that has moved without a valid device goes back by itself.
    ``stored`` is the payment as it was read, which every later form of it carries along: what is
    written shows by it which steps are being taken. It is no part of the payment itself.
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
    refunds: tuple[Refund, ...] = ()
    events: tuple[Event, ...] = ()
    account_versions: tuple[int, ...] = ()
    receipt: str | None = None
    known_as: Mapping[str, str] = field(default_factory=dict)
    asked_at: datetime | None = None
    refund_at: datetime | None = None
    settled_at: datetime | None = None
    completed_at: datetime | None = None
    check_at: datetime | None = None
    sweeps: int = 0
    revision: int = 1
    stored: Payment | None = field(default=None, compare=False, repr=False)

    @property
    def owner(self) -> str:
        """Whose list it stands in: the customer's, or the serial number's without one."""
        return self.customer_id or f"serial#{self.serial_number}"

    @property
    def refunded_minor(self) -> int:
        """What has gone back to the payer, or is on its way there, or nobody knows."""
        return sum(r.amount_minor for r in self.refunds if r.state is not RefundState.VOID)

    @property
    def kept_minor(self) -> int:
        """What is ours to split: the amount without what is given back."""
        return self.amount_minor - self.refunded_minor

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

    def refund(self, number: int) -> Refund:
        """The refund of that number.

        Raises:
            KeyError: there is none.
        """
        for refund in self.refunds:
            if refund.number == number:
                return refund
        raise KeyError(number)

    def with_refund(self, changed: Refund) -> Payment:
        """This payment with that refund put in the place of the one of its number."""
        return replace(
            self,
            refunds=tuple(changed if r.number == changed.number else r for r in self.refunds),
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

STUCK = "stuck"
"""Why a payment without progress is held."""
PAID_OTHERWISE = "paid_otherwise"
"""Why a payment that we started is held without having been received: other money has moved."""
UNCONFIRMED = "unconfirmed"
"""Why a large payment is held of which only a caller who signs nothing has told us."""
RESULT_NOT_TAKEN = "result_not_taken"
"""Why money is held that a provider has reserved: it does not take our result."""
REVERSED = "reversed_by_provider"
"""Why a payment is held that its provider took back before it was settled."""

FIRST_CHECK = timedelta(minutes=1)
CHECKS_MINUTES_MAX = 60
PENDING_CHECKS_MINUTES_MAX = 360
"""A checkout is verified after 2, 8, 32 … minutes: anybody can open one, so they must be cheap."""
PUT_OFF_FOR = timedelta(minutes=15)
"""How often a payment is looked at that waits for what a person has paused."""
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
        known_as=claim.known_as,
        reason=refusal,
        check_at=None if refusal else received_at + FIRST_CHECK,
    )


def started(
    claim: Claim, *, moment: datetime, received_at: datetime, customer_id: str | None
) -> Payment:
    """A new payment that we start: ``pending`` until its provider says that money has moved."""
    fresh = accepted(claim, moment=moment, received_at=received_at, customer_id=customer_id)
    return replace(fresh, status=Status.PENDING)


def reserved(
    claim: Claim,
    *,
    moment: datetime,
    received_at: datetime,
    customer_id: str | None,
    refusal: str | None,
) -> Payment:
    """Money that a provider has reserved: ``pending`` until it has taken our yes or no."""
    fresh = started(claim, moment=moment, received_at=received_at, customer_id=customer_id)
    return replace(fresh, reason=refusal)


def result_taken(payment: Payment, now: datetime) -> Payment:
    """Reserved money, now that the provider has taken our result: ours, or the payer's again."""
    if payment.reason is not None:
        return replace(payment, status=Status.REFUSED, completed_at=now, check_at=None, sweeps=0)
    return replace(payment, status=Status.RECEIVED, check_at=now + FIRST_CHECK, sweeps=0)


def result_not_taken(payment: Payment, now: datetime) -> Payment:
    """Reserved money of which the provider does not take our result: a person must look.

    What we would have refused is remembered as an event; then nobody may settle it by mistake.
    """
    if payment.reason is not None:
        payment = payment.with_event(now, "refused", reason=payment.reason)
    return held(payment, RESULT_NOT_TAKEN, now)


def paid(payment: Payment, *, receipt: str, moment: datetime, now: datetime) -> Payment:
    """A payment that we started, now that money has moved; also one that had expired."""
    return replace(
        payment,
        status=Status.RECEIVED,
        reason=None,
        receipt=receipt,
        moment=moment,
        received_at=now,
        completed_at=None,
        check_at=now + FIRST_CHECK,
        sweeps=0,
    )


def twin(payment: Payment, payment_id: str, now: datetime) -> Payment:
    """What stands under the receipt of a payment that we started, where the pot is a shared one.

    A customer may pay into the same pot without us, and such a payment has its receipt for an id.
    Where this stands, a second report of the receipt is found to be a repetition.
    """
    return replace(
        payment,
        payment_id=payment_id,
        status=Status.EXPIRED,
        customer_id=None,
        reason=f"paid_as {payment.payment_id}",
        completed_at=now,
        check_at=None,
        revision=1,
        stored=None,
    )


def expired(payment: Payment, reason: str, now: datetime) -> Payment:
    """A payment that we started and that nobody has paid."""
    over = replace(
        payment, status=Status.EXPIRED, reason=reason, completed_at=now, check_at=None, sweeps=0
    )
    return over.with_event(now, "expired", reason=reason)


def after_refusal(refused: Payment, judged_anew: Payment) -> Payment:
    """The payment that takes the place of a refused one: its refusals stay as events."""
    kept = replace(
        judged_anew, events=refused.events, revision=refused.revision, stored=refused.stored
    )
    return kept.with_event(refused.received_at, "refused", reason=refused.reason)


def settled(
    payment: Payment,
    *,
    lines: tuple[Line, ...],
    vends: tuple[Vend, ...],
    tokens: tuple[Token, ...],
    account_version: int | None,
    now: datetime,
) -> Payment:
    """The payment with its split, in one step with the account of that version (if it made one).

    Raises:
        InvariantBroken: the lines do not add up to the amount.
    """
    return standing(
        replace(
            with_lines(payment, lines),
            vends=vends,
            tokens=tokens,
            account_versions=(*payment.account_versions, *_made(account_version)),
            settled_at=now,
            sweeps=0,
        ),
        now,
    )


def _made(account_version: int | None) -> tuple[int, ...]:
    return () if account_version is None else (account_version,)


def with_lines(payment: Payment, lines: tuple[Line, ...]) -> Payment:
    """The payment with these lines. They always add up to its amount, less what is given back.

    Raises:
        InvariantBroken: they do not.
    """
    if sum(line.amount_minor for line in lines) != payment.kept_minor:
        raise InvariantBroken(f"lines of {payment.payment_id} do not add up to its amount")
    return replace(payment, lines=lines)


def standing(payment: Payment, now: datetime) -> Payment:
    """The payment with the status that its refunds and vends give it.

    A refund under way comes first: nothing else is done with a payment while its money may be
    going back. Then what needs a person holds it, whatever else is well; a vend under way keeps
    it ``vending``; else it is ``completed``, or ``refunded`` where a part of it was given back.
    """
    if any(_is_under_way(refund, now) for refund in payment.refunds):
        return _under_way(payment, Status.REFUNDING, now)
    reason = next((r for r in map(_refund_needs_a_person, payment.refunds) if r), None)
    if reason:
        return held(payment, reason, now)
    if payment.settled_at is None:
        return _unsettled(payment, now)
    reason = next((r for r in map(_needs_a_person, payment.vends) if r), None)
    if reason:
        return held(payment, reason, now)
    if unfinished(payment.vends):
        return _under_way(payment, Status.VENDING, now)
    refunded = any(r.state is RefundState.DONE for r in payment.refunds)
    return _ended(payment, Status.REFUNDED if refunded else Status.COMPLETED, now)


def _unsettled(payment: Payment, now: datetime) -> Payment:
    """Money that went to no account: all of it given back, or a rest that waits for a person."""
    if payment.kept_minor == 0:
        return _ended(payment, Status.REFUNDED, now)
    return held(payment, "partly_refunded" if payment.refunded_minor else "not_refunded", now)


def _under_way(payment: Payment, status: Status, now: datetime) -> Payment:
    check_at = payment.check_at or now + FIRST_CHECK
    return replace(payment, status=status, reason=None, check_at=check_at)


def _ended(payment: Payment, status: Status, now: datetime) -> Payment:
    return replace(payment, status=status, reason=None, completed_at=now, check_at=None)


_UNDER_WAY = frozenset({VendState.INTENDED, VendState.CALLING})
_REFUND_UNDER_WAY = frozenset({RefundState.INTENDED, RefundState.CALLING})

REFUND_ARRIVES_WITHIN = timedelta(days=14)
"""A refund that its provider has taken and that is still not done then needs a person."""


def _is_under_way(refund: Refund, now: datetime) -> bool:
    if refund.state is RefundState.ACCEPTED:
        return refund.called_at is None or now - refund.called_at <= REFUND_ARRIVES_WITHIN
    return refund.state in _REFUND_UNDER_WAY or refund.retry_at is not None


def _refund_needs_a_person(refund: Refund) -> str | None:
    return {
        RefundState.UNCERTAIN: "refund_uncertain",
        RefundState.REFUSED: "refund_refused",
        RefundState.ACCEPTED: "refund_slow",
    }.get(refund.state)


def _needs_a_person(vend: Vend) -> str | None:
    if vend.state is VendState.UNCERTAIN and vend.retry_at is None:
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


def unconfirmed(payment: Payment, now: datetime) -> Payment:
    """A received payment that waits until its provider's own list, or a person, confirms it."""
    return held(payment, UNCONFIRMED, now)


def is_unconfirmed(payment: Payment) -> bool:
    """Whether it waits for that."""
    return payment.status is Status.HELD and payment.reason == UNCONFIRMED


def released(payment: Payment, now: datetime) -> Payment:
    """A held payment, back where it was: to be settled, or as its refunds and vends stand."""
    back = replace(payment, reason=None, sweeps=0, check_at=now + FIRST_CHECK, refund_at=None)
    if payment.settled_at is None:
        return replace(back, status=Status.RECEIVED)
    return standing(back, now)


def swept(payment: Payment, now: datetime) -> Payment:
    """The payment, looked at once more: checked again after 1, 2, 4 ... 60 minutes.

    One that was to be settled, vended or refunded and made no progress in ``SWEEPS_MAX`` looks
    is held. One that waits for its payer, or for a provider that has taken its refund, is not
    stuck: that takes as long as it takes, or, for a refund, until it is ``refund_slow``.
    """
    waits = payment.status in (Status.HELD, Status.PENDING) or any(
        refund.state is RefundState.ACCEPTED for refund in payment.refunds
    )
    if payment.sweeps >= SWEEPS_MAX and not waits:
        return held(payment, STUCK, now)
    check_at = _next_look(payment, now, payment.sweeps)
    return replace(payment, sweeps=min(payment.sweeps + 1, SWEEPS_MAX), check_at=check_at)


def put_off(payment: Payment, now: datetime) -> Payment:
    """The payment, looked at while it waits for what a person has paused: that does not count."""
    return replace(payment, check_at=now + PUT_OFF_FOR)


def _next_look(payment: Payment, now: datetime, sweeps: int) -> datetime:
    """When to look again. One that only waits for a person is looked at hourly."""
    if payment.status is Status.PENDING:
        return now + timedelta(minutes=min(2 * 4**sweeps, PENDING_CHECKS_MINUTES_MAX))
    waits_for_us = payment.status is not Status.HELD or bool(unfinished(payment.vends))
    minutes = min(2**sweeps, CHECKS_MINUTES_MAX) if waits_for_us else CHECKS_MINUTES_MAX
    return now + timedelta(minutes=minutes)


# --- vends ----------------------------------------------------------------------------------------


def vend_done(
    payment: Payment,
    number: int,
    value: str | None,
    now: datetime,
    *,
    before: tuple[str, ...] = (),
    units: Fraction | None = None,
    reference: str | None = None,
    told_until: datetime | None = None,
) -> Payment:
    """The payment after a vend brought its token (``None``: a remote top-up).

    ``before`` are the tokens to be typed in before it. ``units`` are what the manufacturer says it
    gave, where it takes money and says so; ``told_until`` is what an absolute one was told: a later
    date, if more was owed by then.
    """
    vend = payment.vend(number)
    done = replace(
        vend,
        state=VendState.DONE,
        units=units if units is not None else vend.units,
        paid_until=told_until or vend.paid_until,
        reference=reference or vend.reference,
        lease_until=None,
        retry_at=None,
        called_at=None,
        looks=0,
        in_doubt=False,
    )
    token = Token(number, vend.serial_number, vend.kind, done.units, value, before)
    return standing(
        replace(payment.with_vend(done), tokens=(*payment.tokens, token), sweeps=0), now
    )


def vend_refused(
    payment: Payment, number: int, reason: str, now: datetime, retry_at: datetime | None = None
) -> Payment:
    """The payment after a definite no. With ``retry_at`` it is tried again without a person."""
    vend = replace(
        payment.vend(number),
        state=VendState.REFUSED,
        lease_until=None,
        retry_at=retry_at,
        in_doubt=False,
    )
    noted = payment.with_vend(vend).with_event(now, "vend_refused", reason=reason)
    return standing(noted, now)


def vend_uncertain(
    payment: Payment,
    number: int,
    reason: str,
    now: datetime,
    *,
    retry_at: datetime | None = None,
    reference: str | None = None,
) -> Payment:
    """The payment after an answer that does not tell whether the manufacturer vended.

    With ``retry_at`` it is called again or looked up without a person. What a search could not
    tell is no news: the event is added when the vend becomes uncertain, and when it is given up.
    Without a ``reason`` nothing went otherwise than usual (sold, and on its way): no event.
    """
    before = payment.vend(number)
    vend = replace(
        before,
        state=VendState.UNCERTAIN,
        lease_until=None,
        retry_at=retry_at,
        looks=before.looks + 1 if before.state is VendState.UNCERTAIN else 0,
        reference=reference or before.reference,
        in_doubt=True,
    )
    noted = payment.with_vend(vend)
    if reason and (before.state is not VendState.UNCERTAIN or retry_at is None):
        noted = noted.with_event(now, "vend_uncertain", reason=reason)
    return standing(noted, now)


def vend_void(payment: Payment, number: int, now: datetime, *, closed: bool = False) -> Payment:
    """The payment after a person said that a vend issued nothing. Final for that vend."""
    vend = replace(
        payment.vend(number),
        state=VendState.VOID,
        lease_until=None,
        retry_at=None,
        closed=closed,
    )
    return standing(payment.with_vend(vend), now)


def vend_again(payment: Payment, number: int, now: datetime) -> Payment:
    """The payment with a new vend of the same intent in the place of a void one."""
    void = replace(
        payment.vend(number), state=VendState.VOID, lease_until=None, retry_at=None, closed=True
    )
    fresh = replace(
        void,
        number=len(payment.vends) + 1,
        state=VendState.INTENDED,
        attempts=0,
        called_at=None,
        looks=0,
        reference=None,
        in_doubt=False,
        closed=False,
    )
    both = payment.with_vend(void)
    return standing(replace(both, vends=(*both.vends, fresh)), now)


# --- refunds --------------------------------------------------------------------------------------


def refund_due(payment: Payment, reason: str, refund_at: datetime, now: datetime) -> Payment:
    """Money that has moved without a valid device: it goes back at ``refund_at``.

    Until then a person may assign it to the right device.
    """
    due = replace(
        payment,
        status=Status.REFUND_DUE,
        reason=reason,
        refund_at=refund_at,
        check_at=refund_at,
        sweeps=0,
    )
    return due.with_event(now, "refund_due", reason=reason)


def refund_begun(payment: Payment, amount_minor: int, now: datetime) -> Payment:
    """The payment with one more refund, not yet asked for.

    Raises:
        InvariantBroken: more would go back than is there.
    """
    if not 0 < amount_minor <= payment.kept_minor:
        raise InvariantBroken(f"{payment.payment_id} cannot give back {amount_minor}")
    refund = Refund(len(payment.refunds) + 1, amount_minor)
    begun = replace(
        payment,
        refunds=(*payment.refunds, refund),
        reason=None,
        refund_at=None,
        sweeps=0,
        check_at=now + FIRST_CHECK,
    )
    return standing(begun, now)


def refund_called(payment: Payment, number: int, lease_until: datetime, now: datetime) -> Payment:
    """The payment while a worker asks the provider for that refund."""
    before = payment.refund(number)
    calling = replace(
        before,
        state=RefundState.CALLING,
        attempts=before.attempts + 1,
        lease_until=lease_until,
        called_at=now,
        retry_at=None,
        looks=0,
        reference=None,
    )
    return standing(payment.with_refund(calling), now)


def refund_answered(
    payment: Payment,
    number: int,
    state: RefundState,
    now: datetime,
    *,
    reason: str | None = None,
    reference: str | None = None,
    retry_at: datetime | None = None,
) -> Payment:
    """The payment after what became of that refund. With ``retry_at`` no person is needed yet.

    ``reason`` says why it is ``refused`` or ``uncertain``; the event is added when that is news.
    """
    before = payment.refund(number)
    after = replace(
        before,
        state=state,
        lease_until=None,
        retry_at=retry_at,
        looks=before.looks + 1 if before.state is state else 0,
        reference=reference or before.reference,
        in_doubt=before.in_doubt or state is RefundState.UNCERTAIN,
    )
    answered = replace(payment.with_refund(after), sweeps=0)
    if reason is not None and (before.state is not state or retry_at is None):
        answered = answered.with_event(now, f"refund_{state.value}", reason=reason)
    return standing(answered, now)


def refund_again(payment: Payment, again: Refund, now: datetime) -> Payment:
    """The payment whose refund goes on without a person, with that in its place.

    It is looked at as soon as a new one: what waited for a person was looked at hourly.
    """
    going_on = replace(payment.with_refund(again), sweeps=0, check_at=now + FIRST_CHECK)
    return standing(going_on, now)


def open_refund(payment: Payment) -> Refund | None:
    """The refund that is not yet done with: no payment has two."""
    ended = (RefundState.DONE, RefundState.VOID)
    return next((r for r in payment.refunds if r.state not in ended), None)


# --- messages -------------------------------------------------------------------------------------

RECEIPT = 0
HELD_MESSAGE = 90
UNUSABLE_MESSAGE = 91
REFUSED_MESSAGE = 93
REFUND_MESSAGES = 100
"""Numbers of the SMS of a payment: 0 a receipt without a token, 1 ... one per finished vend,
90 we are looking into it, 91 the money cannot be used for that serial, 93 refused, 101 ... one
per finished refund."""


UNTOLD = frozenset({VendKind.LOCK, VendKind.CLEAR_CREDIT})
"""What takes something from a customer: those tokens are for whoever works on the device."""


def messages_due(payment: Payment) -> tuple[int, ...]:
    """The SMS that this payment calls for as it stands now, by number.

    Nobody is told where neither a customer nor the payer's phone is known. Of what an entry has
    vended its owner is told when it is there; that it is late, only of the unlock that they wait
    for.
    """
    if payment.customer_id is None and payment.payer_phone is None:
        return ()
    done = tuple(
        v.number for v in payment.vends if v.state is VendState.DONE and v.kind not in UNTOLD
    )
    refunded = tuple(
        REFUND_MESSAGES + r.number for r in payment.refunds if r.state is RefundState.DONE
    )
    if payment.status is Status.REFUSED:
        return (REFUSED_MESSAGE,)
    if payment.status is Status.REFUND_DUE:
        return (*refunded, UNUSABLE_MESSAGE)
    if payment.channel == ENTRY_CHANNEL:
        unlocks = any(v.kind is VendKind.UNLOCK for v in payment.vends)
        return (*done, HELD_MESSAGE) if payment.status is Status.HELD and unlocks else done
    if payment.status is Status.HELD:
        lost = payment.customer_id is None and payment.reason != UNCONFIRMED
        return (*done, *refunded, UNUSABLE_MESSAGE if lost else HELD_MESSAGE)
    if payment.status is Status.COMPLETED and not done:
        return (RECEIPT,)
    return (*done, *refunded)


def unfinished(vends: Iterable[Vend]) -> tuple[Vend, ...]:
    """The vends that a worker must still take up."""
    return tuple(v for v in vends if v.state in _UNDER_WAY or v.retry_at is not None)


# --- a payment of nothing -------------------------------------------------------------------------

ENTRY_CHANNEL = "entry"


def vending_for_entry(
    customer_id: str,
    account_version: int,
    vend: Vend,
    token: Token | None,
    currency: str,
    now: datetime,
) -> Payment:
    """What carries the vend of an entry: a payment of nothing, settled by the entry itself.

    An entry can unlock a device (a plan that was paid in full before it came to us, a total that
    was lowered to what is paid). Its vend then has all that a payment's vend has: a lease,
    the sweeper, ways out for a person, an SMS. It changes no account, so it has no version.
    """
    reference = f"{customer_id}.{account_version}"
    claim = Claim(
        channel=ENTRY_CHANNEL,
        source=ENTRY_CHANNEL,
        transaction=reference,
        reference=reference,
        serial_number=vend.serial_number,
        amount_minor=0,
        currency=currency,
    )
    fresh = accepted(claim, moment=now, received_at=now, customer_id=customer_id)
    return settled(
        fresh,
        lines=(),
        vends=(vend,),
        tokens=(token,) if token else (),
        account_version=None,
        now=now,
    )
