"""Refund: give back what bought nothing, through the channel's own provider.

First the money leaves payment and account, in one step; only then is the provider asked. So it
can never be spent and given back too. A refund call is made under a lease, like a vend, and an
answer that tells nothing is never followed by a blind second call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import (
    PAID_OTHERWISE,
    RESULT_NOT_TAKEN,
    REVERSED,
    Payment,
    Refund,
    RefundState,
    Status,
    VendState,
    open_refund,
    refund_again,
    refund_answered,
    refund_begun,
    refund_called,
    vend_void,
)
from chalicelib.domain.reversal import (
    NotReversible,
    check_not_delivered,
    reversed_into_credit,
    reversible_minor,
)
from chalicelib.services.follow_up import queue_refund
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    Accounts,
    Clock,
    Journal,
    NotAtProvider,
    OutcomeUnknown,
    Payments,
    Provider,
    ProviderRefused,
    Providers,
    ProviderUncertain,
    ProviderUnreachable,
    Queues,
    QueueUnavailable,
    RecoveryClass,
    RefundTaken,
    SecretMissing,
    TryAgain,
    VersionConflict,
)
from chalicelib.services.resolve import NotHeld, PaymentNotFound, latest_payments, unused_vends
from chalicelib.services.vend import OutOfTime

WRITES_MAX = 8
CALLS_MAX = 6
LOOKS_MAX = 12
RETRY_SECONDS_MAX = 900
ARRIVAL_LOOKS_EVERY = timedelta(hours=1)
"""A refund that was taken hours ago is still looked at so often: money may take days to arrive."""
LEASE_MARGIN = timedelta(seconds=10)

_REFUNDABLE_IN = frozenset({Status.HELD, Status.REFUND_DUE})


class NotRefundable(MwangaError):
    """So much cannot be given back: it was used or is not there, or there is no way back."""

    code = "not_refundable"


class FullRefundOnly(MwangaError):
    """The channel gives back all of a payment or nothing; the money can become credit instead."""

    code = "full_refund_only"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of a refund: the state it is in, why, and when to go on with it."""

    state: RefundState
    reason: str | None = None
    reference: str | None = None
    retry_at: datetime | None = None

    def applied_to(self, payment: Payment, number: int, now: datetime) -> Payment:
        """The payment after this answer."""
        return refund_answered(
            payment,
            number,
            self.state,
            now,
            reason=self.reason,
            reference=self.reference,
            retry_at=self.retry_at,
        )

    @property
    def says_that_it_went(self) -> bool:
        """Whether the money has left the provider, or is about to."""
        return self.state in (RefundState.ACCEPTED, RefundState.DONE)

    def is_in(self, refund: Refund) -> bool:
        """Whether the refund shows this very answer: a write whose confirmation was lost."""
        return (refund.state, refund.retry_at) == (self.state, self.retry_at)


class GiveBack:
    """Gives money back: begins refunds, and asks their providers."""

    def __init__(
        self,
        *,
        payments: Payments,
        accounts: Accounts,
        providers: Providers,
        queues: Queues,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._payments = payments
        self._accounts = accounts
        self._providers = providers
        self._queues = queues
        self._clock = clock
        self._journal = journal
        self._pause = pause

    # --- a person gives back ------------------------------------------------------------------

    def refund(
        self, payment_id: str, *, actor: str, reason: str, amount_minor: int | None = None
    ) -> Payment:
        """Give back that much of a held payment; without an amount, all that bought nothing.

        Of a payment that was settled, that is the money of vends that issued nothing; they become
        void, and what of it is not given back becomes the customer's credit. A refund that the
        provider refused is asked for once more.

        Raises:
            PaymentNotFound, NotHeld, NotRefundable, FullRefundOnly: see there.
            VersionConflict, TryAgain, OutcomeUnknown: not begun, or not known to be.
        """
        for round_number in range(WRITES_MAX):
            payment = self._refundable(payment_id)
            noted = payment.with_event(self._clock.now(), "refund", actor, reason)
            try:
                stored = self._begin(noted, amount_minor)
            except VersionConflict:
                self._pause(jitter_seconds(round_number))
                continue
            except OutcomeUnknown:
                # Whoever is told to ask again would begin a second one, if the first was begun.
                stored = self._payments.get(payment_id) or payment
                if noted.events[-1] not in stored.events:
                    raise
            self._journal.event("refund_begun", payment_id=payment_id, actor=actor)
            self._queue(stored)
            return stored
        raise VersionConflict(payment_id)

    def _refundable(self, payment_id: str) -> Payment:
        payment = self._payments.get(payment_id)
        if payment is None:
            raise PaymentNotFound(payment_id)
        if payment.status not in _REFUNDABLE_IN:
            raise NotHeld(payment_id)
        if not self._providers.can_refund(payment.channel):
            raise NotRefundable("this channel has no way to give money back")
        if any(vend.state is VendState.CALLING for vend in payment.vends):
            raise NotRefundable("a manufacturer is being called for it")
        return payment

    def _begin(self, payment: Payment, amount_minor: int | None) -> Payment:
        refused = open_refund(payment)
        if refused is not None:
            return self._payments.save(self._once_more(payment, refused, amount_minor))
        if payment.reason == PAID_OTHERWISE:
            raise NotRefundable("another amount was paid than agreed: give it back at the provider")
        if payment.reason in (REVERSED, RESULT_NOT_TAKEN):
            raise NotRefundable("its money is not ours to give back: its provider has it")
        if payment.settled_at is None:
            amount_minor = self._checked(payment, amount_minor, payment.kept_minor)
            return self._payments.save(refund_begun(payment, amount_minor, self._clock.now()))
        return self._begin_settled(payment, amount_minor)

    def _once_more(self, payment: Payment, refused: Refund, amount_minor: int | None) -> Payment:
        if refused.state is not RefundState.REFUSED:
            raise NotRefundable("nobody knows what became of its last refund: resolve that first")
        if amount_minor not in (None, refused.amount_minor):
            raise NotRefundable("its last refund failed: repeat that one, or make it credit")
        now = self._clock.now()
        return refund_again(payment, replace(refused, retry_at=now), now)

    def _begin_settled(self, payment: Payment, amount_minor: int | None) -> Payment:
        """Take the money of the troubled vends off the account; the provider is asked after."""
        vends = unused_vends(payment)
        account = self._accounts.get(payment.customer_id) if payment.customer_id else None
        if account is None or not vends:
            raise NotRefundable("all of it has bought something")
        now = self._clock.now()
        try:
            check_not_delivered(payment, vends, latest_payments(self._payments, payment, vends))
            # Credit in hand joined the payment: what it bought becomes credit again.
            possible_minor = min(payment.kept_minor, reversible_minor(account, vends))
            amount_minor = self._checked(payment, amount_minor, possible_minor)
            begun = refund_begun(payment, amount_minor, now)
            after, account = reversed_into_credit(begun, account, vends, amount_minor)
        except NotReversible as used:
            raise NotRefundable(used.detail) from used
        for vend in vends:
            after = vend_void(after, vend.number, now, closed=True)
        return self._payments.settle(after, account, ())

    def _checked(self, payment: Payment, amount_minor: int | None, possible_minor: int) -> int:
        if amount_minor is None:
            amount_minor = possible_minor
        if not 0 < amount_minor <= possible_minor:
            raise NotRefundable("so much of it has not been left unused")
        provider = self._providers.get(payment.channel)
        assert provider is not None  # noqa: S101 - its channel can refund
        if provider.full_refunds_only and amount_minor != payment.amount_minor:
            raise FullRefundOnly("this channel gives back all of a payment or nothing")
        return amount_minor

    def _queue(self, payment: Payment) -> None:
        """Queue the call. A failure is harmless: the sweeper finds the payment."""
        try:
            queue_refund(self._queues, payment, self._clock.now())
        except QueueUnavailable:
            self._journal.event("queueing_failed", payment_id=payment.payment_id)

    # --- a worker asks the provider -------------------------------------------------------------

    def work(self, payment: Payment, deadline: datetime) -> None:
        """Go on with a payment's refund: begin one that is due, ask for it, or look it up.

        Raises:
            OutOfTime: ``deadline`` is nearer than the provider's time-out; nothing was asked.
            VersionConflict: somebody else is at work on it; the message must come back.
            TryAgain, OutcomeUnknown, QueueUnavailable: the message must come back.
        """
        provider = self._providers.get(payment.channel)
        if provider is None:
            return
        if payment.status is Status.REFUND_DUE:
            if payment.refund_at is not None and self._clock.now() < payment.refund_at:
                return  # a person may still assign it; the sweeper comes back to it
            payment = self._begun_by_itself(payment)
        refund = open_refund(payment)
        if refund is None or not _goes_on(payment, refund):
            queue_refund(self._queues, payment, self._clock.now())
            return
        takes = timedelta(seconds=provider.timeout_seconds) + LEASE_MARGIN
        if self._clock.now() + takes > deadline:
            raise OutOfTime(payment.payment_id)
        self._go_on(provider, payment, refund, takes)

    def _begun_by_itself(self, payment: Payment) -> Payment:
        noted = payment.with_event(self._clock.now(), "refund", reason=payment.reason)
        return self._payments.save(refund_begun(noted, payment.kept_minor, self._clock.now()))

    def _go_on(
        self, provider: Provider, payment: Payment, refund: Refund, takes: timedelta
    ) -> None:
        now = self._clock.now()
        if refund.state is RefundState.CALLING:
            if refund.lease_until is not None and now <= refund.lease_until:
                queue_refund(self._queues, payment, now)
                return
            answer = self._unknown(provider, refund, "no answer was recorded")
        elif refund.retry_at is not None and refund.retry_at > now:
            queue_refund(self._queues, payment, now)
            return
        elif _is_to_be_called(provider, refund):
            payment = self._payments.save(refund_called(payment, refund.number, now + takes, now))
            refund = payment.refund(refund.number)
            answer = self._asked(provider, payment, refund)
        else:
            answer = self._looked_up(provider, payment, refund)
        self._write_answer(payment, refund, answer)

    def _asked(self, provider: Provider, payment: Payment, refund: Refund) -> _Answer:
        """Make the one call."""
        try:
            taken = provider.refund(payment, refund)
        except ProviderRefused as refused:
            if refund.in_doubt:  # a no to this call says nothing of the one before
                return self._unknown(provider, refund, refused.code)
            return _Answer(RefundState.REFUSED, reason=refused.code)
        except ProviderUnreachable as unsent:
            return self._unsent(refund, unsent.code)
        except SecretMissing:
            return self._unsent(refund, "credentials_missing")
        except ProviderUncertain as uncertain:
            return self._unknown(provider, refund, uncertain.detail)
        return self._taken(refund, taken)

    def _looked_up(self, provider: Provider, payment: Payment, refund: Refund) -> _Answer:
        """Ask what became of it. Asking has no effect."""
        asked_at = self._clock.now()
        try:
            taken = provider.look_up_refund(payment, refund)
        except NotAtProvider:
            return self._absent(provider, refund, asked_at)
        except ProviderRefused as refused:
            if refused.code == NOT_KNOWN_THERE:  # says nothing of the refund
                return self._not_told(provider, refund, refused.code)
            return _Answer(RefundState.REFUSED, reason=refused.code)
        except (ProviderUnreachable, ProviderUncertain, SecretMissing) as unknown:
            return self._not_told(provider, refund, unknown.detail)
        return self._taken(refund, taken)

    # --- what an answer means -------------------------------------------------------------------

    def _taken(self, refund: Refund, taken: RefundTaken) -> _Answer:
        if taken.done:
            return _Answer(RefundState.DONE, reference=taken.reference)
        looks = refund.looks if refund.state is RefundState.ACCEPTED else 0
        retry_at = self._later(2 ** (looks + 1))
        if looks >= LOOKS_MAX:  # longer than a message can wait: the sweeper comes back to it
            retry_at = self._clock.now() + ARRIVAL_LOOKS_EVERY
        return _Answer(RefundState.ACCEPTED, reference=taken.reference, retry_at=retry_at)

    def _unsent(self, refund: Refund, reason: str) -> _Answer:
        """It was certainly not sent: it is tried again after 30 seconds, one, two … minutes."""
        retry_at = None
        if refund.attempts < CALLS_MAX:
            retry_at = self._later(30 * 2 ** (refund.attempts - 1))
        elif refund.in_doubt:
            return _Answer(RefundState.UNCERTAIN, reason=reason)
        return _Answer(RefundState.REFUSED, reason=reason, retry_at=retry_at)

    def _absent(self, provider: Provider, refund: Refund, asked_at: datetime) -> _Answer:
        """Not found. Once a call would surely show, that proves that nothing was taken."""
        called_at = refund.called_at or asked_at
        believed_at = called_at + timedelta(seconds=provider.refund_absent_after_seconds)
        if refund.state is RefundState.ACCEPTED or asked_at < believed_at:
            return self._not_told(provider, refund, "not found yet", not_before=believed_at)
        again = self._clock.now() if refund.attempts < CALLS_MAX else None
        return _Answer(RefundState.REFUSED, reason="absent", retry_at=again)

    def _not_told(
        self,
        provider: Provider,
        refund: Refund,
        reason: str,
        not_before: datetime | None = None,
    ) -> _Answer:
        """A look-up told nothing: a refund that was taken stays so, else nobody knows yet."""
        if refund.state is RefundState.ACCEPTED:
            return self._taken(refund, RefundTaken(refund.reference))
        return self._unknown(provider, refund, reason, not_before)

    def _unknown(
        self,
        provider: Provider,
        refund: Refund,
        reason: str,
        not_before: datetime | None = None,
    ) -> _Answer:
        """Nobody knows whether it was taken: the provider's class says what comes next."""
        retry_at: datetime | None = None
        looks = refund.looks + 1 if refund.state is RefundState.UNCERTAIN else 0
        if provider.refund_recovery is RecoveryClass.REPEATABLE and refund.attempts < CALLS_MAX:
            retry_at = self._later(5 * 2**refund.attempts)
        elif provider.refund_recovery is RecoveryClass.SEARCHABLE and looks < LOOKS_MAX:
            retry_at = self._later(2 ** (looks + 1))
        if retry_at is not None and not_before is not None:
            retry_at = min(retry_at, max(not_before, self._later(2)))
        return _Answer(RefundState.UNCERTAIN, reason=reason, retry_at=retry_at)

    def _later(self, seconds: int) -> datetime:
        return self._clock.now() + timedelta(seconds=min(seconds, RETRY_SECONDS_MAX))

    # --- writing it down ------------------------------------------------------------------------

    def _write_answer(self, payment: Payment, refund: Refund, answer: _Answer) -> None:
        """Write what became of that attempt, unless the refund has ended otherwise meanwhile."""
        for round_number in range(WRITES_MAX):
            try:
                if round_number:
                    payment = self._payments.get(payment.payment_id) or payment
                stored = self._with_answer(payment, refund, answer)
            except (VersionConflict, TryAgain, OutcomeUnknown):
                self._pause(jitter_seconds(round_number))
                continue
            if stored is not None:
                self._after(stored, refund.number)
            return
        raise TryAgain(payment.payment_id)

    def _with_answer(self, payment: Payment, asked: Refund, answer: _Answer) -> Payment | None:
        """The payment with that answer, written now or before; ``None``: it came too late."""
        now_there = payment.refund(asked.number)
        same_attempt = now_there.attempts == asked.attempts
        if same_attempt and answer.is_in(now_there):
            return payment
        if same_attempt and _still_awaits(now_there, asked, answer):
            now = self._clock.now()
            return self._payments.save(answer.applied_to(payment, asked.number, now))
        if answer.says_that_it_went and not (same_attempt and now_there.state is RefundState.DONE):
            self._note_late(payment, asked)
        return None

    def _note_late(self, payment: Payment, asked: Refund) -> None:
        """Money went back although the refund was given up, or was asked for anew: an alarm."""
        self._journal.event(
            "late_refund_answer", payment_id=payment.payment_id, refund=asked.number
        )
        self._journal.count("LateRefundAnswers", channel=payment.channel)
        said = f"refund {asked.number}, attempt {asked.attempts}"
        self._payments.save(
            payment.with_event(self._clock.now(), "late_refund_answer", reason=said)
        )

    def _after(self, payment: Payment, number: int) -> None:
        refund = payment.refund(number)
        self._journal.count("Refunds", channel=payment.channel, outcome=refund.state.value)
        queue_refund(self._queues, payment, self._clock.now())

    # --- the provider tells by itself -----------------------------------------------------------

    def told(self, payment_id: str, amount_minor: int, told: RefundTaken | str) -> None:
        """What a provider says of a refund without being asked; a text says why it failed.

        Such news may come late and name no attempt, so it is not believed where the provider can
        be asked: it only makes us look at once.

        Raises:
            TryAgain, OutcomeUnknown, QueueUnavailable: not stored, or not known to be, or what
                follows is not queued: it must be told again.
        """
        self._journal.bind(payment_id=payment_id)
        for round_number in range(WRITES_MAX):
            payment = self._payments.get(payment_id)
            refund = _refund_of(payment, amount_minor) if payment else None
            if payment is None or refund is None or _contradicts(refund, told):
                self._journal.event("refund_news_unplaced", payment_id=payment_id)
                self._journal.count("RefundNewsUnplaced")
                return
            if refund.state not in _AWAITING_NEWS:
                queue_refund(self._queues, payment, self._clock.now())
                return
            try:
                stored = self._payments.save(self._with_news(payment, refund, told))
            except VersionConflict:
                self._pause(jitter_seconds(round_number))
                continue
            self._after(stored, refund.number)
            return
        raise TryAgain(payment_id)

    def _with_news(self, payment: Payment, refund: Refund, told: RefundTaken | str) -> Payment:
        now = self._clock.now()
        provider = self._providers.get(payment.channel)
        if provider is not None and provider.refund_recovery is RecoveryClass.SEARCHABLE:
            return refund_again(payment, replace(refund, retry_at=now, looks=0), now)
        if isinstance(told, str):
            answer = _Answer(RefundState.REFUSED, reason=told)
        else:
            answer = self._taken(refund, told)
        return answer.applied_to(payment, refund.number, now)


_AWAITING_NEWS = frozenset({RefundState.ACCEPTED, RefundState.UNCERTAIN})
"""While a call is running its own answer comes first; what has ended is not told anew."""


def _refund_of(payment: Payment, amount_minor: int) -> Refund | None:
    """The refund that news of that amount is about: the open one, else the latest that is done."""
    refund = open_refund(payment)
    done = [r for r in payment.refunds if r.state is RefundState.DONE]
    latest = refund or (done[-1] if done else None)
    return latest if latest is not None and latest.amount_minor == amount_minor else None


def _contradicts(refund: Refund, told: RefundTaken | str) -> bool:
    """Whether news cannot be true of a refund as we know it: a person must look."""
    if refund.state is RefundState.DONE:
        return isinstance(told, str)
    if refund.state is RefundState.REFUSED:
        return not isinstance(told, str)
    return refund.state is RefundState.INTENDED


def _goes_on(payment: Payment, refund: Refund) -> bool:
    """Whether the provider is still to be asked: one that is slow also while a person looks."""
    slow = payment.status is Status.HELD and refund.state is RefundState.ACCEPTED
    return slow or payment.status is Status.REFUNDING


def _is_to_be_called(provider: Provider, refund: Refund) -> bool:
    if refund.state is RefundState.UNCERTAIN:
        return provider.refund_recovery is RecoveryClass.REPEATABLE
    return refund.state in (RefundState.INTENDED, RefundState.REFUSED)


def _still_awaits(now_there: Refund, asked: Refund, answer: _Answer) -> bool:
    """Whether an answer of the present attempt still counts.

    That the money went counts unless it went elsewhere since. Any other answer is out of date
    where somebody else has found out more than was known when it was asked for.
    """
    if answer.says_that_it_went:
        return now_there.state not in (RefundState.DONE, RefundState.VOID)
    if now_there.state is RefundState.ACCEPTED:
        return asked.state is RefundState.ACCEPTED
    return now_there.state in (RefundState.CALLING, RefundState.UNCERTAIN)
