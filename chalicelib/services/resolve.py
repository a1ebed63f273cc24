"""Resolve: what a person does with a held payment: try again, or say what became of it.

What stands in doubt is a vend or, after it began, a refund. Giving money back is in ``refund``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.payment import (
    PAID_OTHERWISE,
    RECEIPT,
    RESULT_NOT_TAKEN,
    REVERSED,
    STUCK,
    UNCONFIRMED,
    Payment,
    Refund,
    RefundState,
    Status,
    Vend,
    VendState,
    expired,
    messages_due,
    open_refund,
    refund_again,
    refund_answered,
    released,
    standing,
    vend_again,
    vend_done,
    vend_void,
)
from chalicelib.domain.reversal import (
    NotReversible,
    check_not_delivered,
    credited,
    reversed_into_credit,
    reversible_vends,
)
from chalicelib.services.follow_up import queue_messages_ahead, queue_what_follows
from chalicelib.services.ports import (
    Accounts,
    Clock,
    Devices,
    Journal,
    Manufacturers,
    Payments,
    Providers,
    Queues,
    QueueUnavailable,
    RecoveryClass,
    Vendor,
    VersionConflict,
    issues_tokens,
)

WRITES_MAX = 8
LATEST = 100
_WAITING = frozenset({Status.HELD, Status.REFUND_DUE})
_PERHAPS_NOT_PAID = frozenset({UNCONFIRMED, RESULT_NOT_TAKEN, REVERSED})
TROUBLED = frozenset({VendState.UNCERTAIN, VendState.REFUSED, VendState.VOID})


class PaymentNotFound(MwangaError):
    """There is no such payment."""

    code = "not_found"


class NotHeld(MwangaError):
    """Only a payment that waits for a person can be retried, resolved or given back."""

    code = "not_held"


class Resolve:
    """The ways out of ``held``. Every one leaves an event with the person and the reason."""

    def __init__(
        self,
        *,
        payments: Payments,
        accounts: Accounts,
        devices: Devices,
        manufacturers: Manufacturers,
        providers: Providers,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._payments = payments
        self._accounts = accounts
        self._devices = devices
        self._manufacturers = manufacturers
        self._providers = providers
        self._queues = queues
        self._clock = clock
        self._journal = journal

    # --- the ways out ------------------------------------------------------------------------

    def retry(
        self,
        payment_id: str,
        *,
        actor: str,
        reason: str,
        vend: int | None = None,
        not_issued: bool = False,
    ) -> Payment:
        """Let the payment go on: settle it, or take its troubled vends or refund up again.

        A refused vend is called again. In the place of a void one, and of an uncertain one of
        which the person says that nothing was issued, there is a new vend of the same intent. An
        uncertain one of which nothing is said is called or looked up once more, where its
        manufacturer allows that. A refund goes the same ways.

        Raises:
            PaymentNotFound, NotHeld: see there.
            FieldError: on ``vend`` (no such troubled vend) or ``not_issued`` (it must be said).
        """

        def change(payment: Payment) -> Payment:
            refund = open_refund(payment)
            if refund is not None:
                return self._refund_taken_up_again(payment, refund, not_issued)
            if payment.settled_at is None:
                _check_was_received(payment)
                return released(self._judged_anew(payment), self._clock.now())
            for troubled in _chosen(payment, vend):
                payment = self._taken_up_again(payment, troubled, not_issued)
            return released(payment, self._clock.now())

        return self._write(payment_id, "retry", actor, reason, change)

    def resolve_token(
        self,
        payment_id: str,
        *,
        actor: str,
        reason: str,
        token: str | None,
        units: Fraction | None = None,
        vend: int | None = None,
    ) -> Payment:
        """The uncertain vend did bring a token: this one; of a remote top-up: it was made.

        Raises:
            FieldError: on ``token`` (not one of that manufacturer), ``units`` (not what was
                asked for) or ``vend``.
        """

        def change(payment: Payment) -> Payment:
            uncertain = _the_one(payment, vend, {VendState.UNCERTAIN})
            if units is not None and units != uncertain.units:
                raise FieldError("units", "differ from what was asked for")
            value = self._vendor(uncertain.manufacturer).token(token)
            return vend_done(payment, uncertain.number, value, self._clock.now())

        return self._write(payment_id, "resolved_token", actor, reason, change)

    def resolve_not_issued(
        self, payment_id: str, *, actor: str, reason: str, vend: int | None = None
    ) -> Payment:
        """The vend issued nothing and never will: it is void. The payment stays held.

        Of a refund in doubt: it was not made. It stays refused until it is asked for again, or
        its money goes another way.

        Raises:
            PaymentNotFound, NotHeld: see there.
            FieldError: on ``vend``, or on ``outcome`` (its refund is under way).
        """

        def change(payment: Payment) -> Payment:
            now = self._clock.now()
            refund = open_refund(payment)
            if refund is not None:
                _check_not_asked_for_now(refund)
                return refund_answered(payment, refund.number, RefundState.REFUSED, now)
            states = {VendState.UNCERTAIN, VendState.REFUSED}
            chosen = _the_one(payment, vend, states)
            return vend_void(payment, chosen.number, now)

        return self._write(payment_id, "resolved_not_issued", actor, reason, change)

    def resolve_refunded(self, payment_id: str, *, actor: str, reason: str) -> Payment:
        """The refund in doubt was made: the provider's console shows it.

        Also of money that was paid otherwise than agreed, and given back in that console.

        Raises:
            PaymentNotFound, NotHeld: see there.
            FieldError: on ``outcome``: no refund of it is in doubt, or it is under way.
        """

        def change(payment: Payment) -> Payment:
            refund = open_refund(payment)
            if refund is None and payment.reason == PAID_OTHERWISE:
                return expired(payment, PAID_OTHERWISE, self._clock.now())
            if refund is None:
                raise FieldError("outcome", "no refund of it is in doubt")
            _check_not_asked_for_now(refund)
            return refund_answered(payment, refund.number, RefundState.DONE, self._clock.now())

        return self._write(payment_id, "resolved_refunded", actor, reason, change)

    def resolve_not_paid(self, payment_id: str, *, actor: str, reason: str) -> Payment:
        """No money is there for it: it was never paid, or its provider has taken it back.

        Raises:
            PaymentNotFound, NotHeld: see there.
            FieldError: on ``outcome``: its money was received, as far as anybody has told us.
        """

        def change(payment: Payment) -> Payment:
            if payment.reason not in _PERHAPS_NOT_PAID or payment.settled_at is not None:
                raise FieldError("outcome", "its money was received")
            return expired(payment, "not_paid", self._clock.now())

        return self._write(payment_id, "resolved_not_paid", actor, reason, change)

    def resolve_credit(self, payment_id: str, *, actor: str, reason: str) -> Payment:
        """No token was issued: the vends become void and their money becomes credit.

        New lines take the old ones back, the carry that the vends had used returns, and the
        account moves one version on, in one transaction with the payment. Of a refund that was
        not made: it is void, and its money is credit.

        Raises:
            PaymentNotFound, NotHeld: see there.
            FieldError: on ``outcome``: nothing of it can become credit.
        """
        for _ in range(WRITES_MAX):
            payment = self._held(payment_id)
            account = self._accounts.get(payment.customer_id) if payment.customer_id else None
            if payment.settled_at is None or account is None:
                raise FieldError("outcome", "nothing was settled that could become credit")
            after, account_after = self._into_credit(payment, account)
            after = after.with_event(self._clock.now(), "resolved_credit", actor, reason)
            queue_messages_ahead(self._queues, payment, (RECEIPT,))
            try:
                stored = self._payments.settle(after, account_after, ())
            except VersionConflict:
                continue
            return self._done(stored, "resolved_credit", actor)
        raise VersionConflict(payment_id)

    def _into_credit(self, payment: Payment, account: Account) -> tuple[Payment, Account]:
        now = self._clock.now()
        refund = open_refund(payment)
        if refund is not None:
            _check_refused(refund)
            void = payment.with_refund(replace(refund, state=RefundState.VOID, retry_at=None))
            after, account = credited(void, account, refund.amount_minor)
            return standing(after, now), account
        vends = unused_vends(payment)
        if not vends:
            raise FieldError("outcome", "no vend of it waits for a person, or could become credit")
        try:
            check_not_delivered(payment, vends, latest_payments(self._payments, payment, vends))
            after, account = reversed_into_credit(payment, account, vends)
        except NotReversible as used:
            raise FieldError("outcome", used.detail) from used
        for vend in vends:
            after = vend_void(after, vend.number, now, closed=True)
        return after, account

    def resolve_assign(
        self, payment_id: str, *, actor: str, reason: str, serial_number: str
    ) -> Payment:
        """The money was meant for this device: settle it for that one.

        Also where it was about to go back by itself, or where giving it back was refused.

        Raises:
            FieldError: on ``serial_number`` (no such device, or nobody's), or on ``outcome``
                (the payment is settled already, or a refund of it is in doubt).
        """

        def change(payment: Payment) -> Payment:
            if payment.settled_at is not None:
                raise FieldError("outcome", "the payment has been settled for a device")
            _check_was_received(payment)
            refund = open_refund(payment)
            if refund is not None:
                _check_refused(refund)
                payment = payment.with_refund(replace(refund, state=RefundState.VOID))
            device = self._devices.get(serial_number)
            if device is None or device.customer_id is None:
                raise FieldError("serial_number", "no device of a customer", "unknown_device")
            assigned = replace(payment, serial_number=serial_number, customer_id=device.customer_id)
            return released(assigned, self._clock.now())

        return self._write(payment_id, "resolved_assign", actor, reason, change)

    # --- the steps ----------------------------------------------------------------------------

    def _write(
        self,
        payment_id: str,
        what: str,
        actor: str,
        reason: str,
        change: Callable[[Payment], Payment],
    ) -> Payment:
        for _ in range(WRITES_MAX):
            before = self._held(payment_id)
            noted = before.with_event(self._clock.now(), what, actor, reason)
            after = change(noted)
            news = set(messages_due(after)) - set(messages_due(before))
            queue_messages_ahead(self._queues, after, news)
            try:
                stored = self._payments.save(after)
            except VersionConflict:
                continue
            return self._done(stored, what, actor)
        raise VersionConflict(payment_id)

    def _held(self, payment_id: str) -> Payment:
        payment = self._payments.get(payment_id)
        if payment is None:
            raise PaymentNotFound(payment_id)
        if payment.status not in _WAITING:
            raise NotHeld(payment_id)
        return payment

    def _done(self, payment: Payment, what: str, actor: str) -> Payment:
        self._journal.event(
            what, payment_id=payment.payment_id, actor=actor, status=payment.status.value
        )
        try:
            self._queue(payment)
        except QueueUnavailable:
            self._journal.event("queueing_failed", payment_id=payment.payment_id)
        return payment

    def _queue(self, payment: Payment) -> None:
        if payment.status is Status.RECEIVED:
            self._queues.settle(payment, deduplication=f"{payment.payment_id}.r{payment.revision}")
        queue_what_follows(self._queues, payment, self._clock.now())

    def _judged_anew(self, payment: Payment) -> Payment:
        """Who owns the device now is who the payment is for, once a person lets it go on."""
        if payment.plan_id is not None:
            return payment
        device = self._devices.get(payment.serial_number)
        return replace(payment, customer_id=device.customer_id if device else None)

    def _taken_up_again(self, payment: Payment, vend: Vend, not_issued: bool) -> Payment:
        now = self._clock.now()
        if vend.state is VendState.REFUSED:
            return payment.with_vend(replace(vend, retry_at=now))
        if vend.state is VendState.UNCERTAIN and not not_issued:
            recovery = self._manufacturers.get(vend.manufacturer).manufacturer.recovery
            _check_can_be_told(recovery)
            return payment.with_vend(replace(vend, retry_at=now, looks=0))
        return vend_again(payment, vend.number, now)

    def _refund_taken_up_again(self, payment: Payment, refund: Refund, not_issued: bool) -> Payment:
        """One that got stuck goes on as it stands: only its own worker knows of a running call."""
        now = self._clock.now()
        again = refund
        if refund.state is RefundState.UNCERTAIN and not not_issued:
            provider = self._providers.get(payment.channel)
            _check_can_be_told(provider.refund_recovery if provider else RecoveryClass.OPAQUE)
            again = replace(refund, retry_at=now, looks=0)
        elif refund.state is RefundState.ACCEPTED:
            again = replace(refund, retry_at=now)
        elif refund.state in (RefundState.UNCERTAIN, RefundState.REFUSED):
            again = replace(refund, state=RefundState.REFUSED, retry_at=now)
        return refund_again(payment, again, now)

    def _vendor(self, key: str) -> Vendor:
        module = self._manufacturers.get(key)
        assert not issues_tokens(module), key  # noqa: S101 - such vends are never in doubt
        return module


def _check_not_asked_for_now(refund: Refund) -> None:
    """That a person may say what became of a refund: not while its provider is being asked.

    Raises:
        FieldError: on ``outcome``.
    """
    if refund.state is RefundState.CALLING:
        raise FieldError("outcome", "its refund is under way: let it go on first")


def _check_was_received(payment: Payment) -> None:
    """That the payment's amount is what has moved.

    Raises:
        FieldError: on ``outcome``: another amount was paid than was agreed, so it must go back.
    """
    if payment.reason == PAID_OTHERWISE:
        raise FieldError(
            "outcome",
            "another amount was paid than agreed: give it back at the provider, and say so",
        )


def _check_refused(refund: Refund) -> None:
    """That the money of a refund may go another way: it has surely not gone back.

    Raises:
        FieldError: on ``outcome``.
    """
    if refund.state is not RefundState.REFUSED:
        raise FieldError("outcome", "say first what became of its refund")


def _check_can_be_told(recovery: RecoveryClass) -> None:
    """That something in doubt may be taken up again without a person's word.

    Raises:
        FieldError: on ``not_issued``.
    """
    if recovery is RecoveryClass.OPAQUE:
        raise FieldError("not_issued", "say that nothing was issued: the other side cannot tell")


def troubled_vends(payment: Payment) -> tuple[Vend, ...]:
    """The vends that need a person, and whose money has bought nothing as far as we know."""
    return tuple(
        v for v in payment.vends if v.state in TROUBLED and not v.closed and v.retry_at is None
    )


def unused_vends(payment: Payment) -> tuple[Vend, ...]:
    """The vends of a held payment whose money can go another way.

    Those that need a person, and, of a payment that is stuck, those that were never sold. An
    unlock stays: it has to be made.
    """
    vends = troubled_vends(payment)
    if payment.reason == STUCK:
        vends += tuple(v for v in payment.vends if _was_never_sold(v))
    return reversible_vends(payment, vends)


def _was_never_sold(vend: Vend) -> bool:
    if vend.state is VendState.REFUSED:
        return vend.retry_at is not None and not vend.in_doubt
    return vend.state is VendState.INTENDED


def latest_payments(
    payments: Payments, payment: Payment, vends: Sequence[Vend]
) -> Sequence[Payment]:
    """The latest payments of its owner, where time vends make it necessary to look at them."""
    if not any(vend.kind is VendKind.TIME for vend in vends):
        return ()
    return payments.by_owner(payment.owner, LATEST, None).items


def _chosen(payment: Payment, number: int | None) -> tuple[Vend, ...]:
    """The vend that was named, or all that need a person."""
    troubled = troubled_vends(payment)
    if number is None:
        return troubled
    chosen = tuple(v for v in troubled if v.number == number)
    if not chosen:
        raise FieldError("vend", "no vend of that number needs a person")
    return chosen


def _the_one(payment: Payment, number: int | None, states: set[VendState]) -> Vend:
    """The one vend in one of those states that is meant."""
    chosen = [v for v in _chosen(payment, number) if v.state in states]
    if not chosen:
        raise FieldError("vend", "no vend of it is in such a state")
    if len(chosen) > 1:
        raise FieldError("vend", "name the vend that is meant")
    return chosen[0]
