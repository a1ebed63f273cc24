"""Collect: payments that we start, or that a provider reserves, until their money has moved.

What a provider says by itself may be no more than a hint: then it is asked. And what it has paid
back without being asked is never overlooked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.errors import MwangaError
from chalicelib.domain.moment import moment_of
from chalicelib.domain.payment import (
    PAID_OTHERWISE,
    REVERSED,
    Payment,
    Status,
    expired,
    held,
    is_unconfirmed,
    paid,
    payment_id_of,
    released,
    result_not_taken,
    result_taken,
    twin,
    unconfirmed,
)
from chalicelib.services.accept import (
    ReferenceConflict,
    count_money_in,
    record_conflict,
    waits_for_proof,
)
from chalicelib.services.follow_up import queue_refund
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    Catalogue,
    Charger,
    Clock,
    ConditionFailed,
    Journal,
    Paid,
    Payments,
    ProviderRefused,
    Providers,
    ProviderUncertain,
    ProviderUnreachable,
    Queues,
    QueueUnavailable,
    Reserver,
    SecretMissing,
    TakenBack,
    VersionConflict,
    charges,
    reserves,
)
from chalicelib.services.vend import OutOfTime

WRITES_MAX = 5
EXPIRES_AFTER = timedelta(hours=24)
"""A checkout that nobody has paid by then is over. Whoever pays it even later is not turned away:
money that has moved makes it ``received`` all the same."""

NOT_TOLD_AFTER = timedelta(hours=48)
"""A checkout of which its provider cannot tell anything by then is over, too."""

CHARGED_WITHIN = timedelta(minutes=10)
"""A payer who asked longer ago is not asked for the money any more: they have gone away."""

LOOKED_AT_AFTER_SECONDS = 20
"""So long after it was asked to charge a payer, a provider that said nothing certain is asked
what became of it."""

RESULT_TOLD_WITHIN = timedelta(hours=48)
"""Reserved money whose provider does not take our result by then needs a person."""

RESULT_SECONDS_MIN, RESULT_SECONDS_MAX = 10, 900
RESULT_IS_LATE_AFTER = timedelta(minutes=10)
"""A result that is not taken by then raises an alarm: somebody's money hangs in the air."""


MARGIN = timedelta(seconds=10)

_NOT_SETTLED = frozenset({Status.RECEIVED, Status.REFUND_DUE})


class NoSuchPayment(MwangaError):
    """We have started no payment of that id."""

    code = "not_found"


class Collect:
    """Follows payments that we started until money has moved, or nobody will pay them."""

    def __init__(
        self,
        *,
        payments: Payments,
        catalogue: Catalogue,
        providers: Providers,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._payments = payments
        self._catalogue = catalogue
        self._providers = providers
        self._queues = queues
        self._clock = clock
        self._journal = journal

    def not_started(self, payment: Payment, reason: str) -> None:
        """The provider surely started nothing for this pending payment: it has expired.

        Where that cannot be written now, the payment stays pending and expires with time.
        """
        try:
            self._payments.save(expired(payment, reason, self._clock.now()))
        except MwangaError as failed:
            self._journal.event(
                "expiry_not_written", payment_id=payment.payment_id, reason=failed.code
            )
            return
        self._journal.count("Expired", channel=payment.channel)

    def paid(self, payment_id: str, told: Paid) -> Payment:
        """Money has moved: the payment is received, once, and queued for settlement.

        A receipt that was told before changes nothing; one that is known for another payment,
        and another receipt for this one, are conflicts, as are another amount or currency.

        Raises:
            NoSuchPayment: see there.
            ReferenceConflict: nothing is credited; noted on the payment, once.
            TryAgain, OutcomeUnknown: not stored, or not known to be: it must be told again.
        """
        self._journal.bind(payment_id=payment_id)
        for _ in range(WRITES_MAX):
            payment = self._payments.get(payment_id)
            if payment is None:
                raise NoSuchPayment("no payment of that reference was started here")
            if not _is_what_was_agreed(payment, told):
                self._conflict(payment, told)
            if not _is_awaited(payment):
                return self._told_again(payment, told)
            try:
                stored = self._receive(payment, told)
            except VersionConflict:
                continue
            except ConditionFailed as known:
                if known.what == "twin":
                    return self._paid_as_another(payment, told)
                if self._payments.get(payment_id) == payment:
                    self._conflict(payment, told)
                continue
            count_money_in(self._journal, stored)
            self._queue(stored)
            return stored
        raise VersionConflict(payment_id)

    def _receive(self, payment: Payment, told: Paid) -> Payment:
        now = self._clock.now()
        hours = self._catalogue.settings().late_payment_hours
        received = paid(
            payment, receipt=told.receipt, moment=moment_of(told.paid_at, now, hours), now=now
        )
        received = replace(received, known_as={**payment.known_as, **told.known_as})
        if waits_for_proof(self._catalogue.settings(), told.amount_minor, told):
            received = unconfirmed(received, now)
        receipt_id = _guard_id(payment, told)
        other = twin(received, receipt_id, now) if told.shared_pot else None
        return self._payments.receive(received, (receipt_id, payment.payment_id), other)

    def _paid_as_another(self, payment: Payment, told: Paid) -> Payment:
        """The receipt stands for a payment of its own, which was told without our reference.

        If that is the same money, this payment is over; else a person must look.
        """
        other = self._payments.get(_guard_id(payment, told))
        if other is None or other.claim_hash != payment.claim_hash:
            self._conflict(payment, told)
        assert other is not None  # noqa: S101 - or it is a conflict
        if payment.status is Status.PENDING:
            self.not_started(payment, f"paid_as {other.payment_id}")
        return other

    def _told_again(self, payment: Payment, told: Paid) -> Payment:
        if payment.receipt != told.receipt:
            self._conflict(payment, told)
        if told.proven and is_unconfirmed(payment):
            return self._confirmed(payment)
        self._journal.event("payment_repeated", payment_id=payment.payment_id)
        self._journal.count("Duplicates", channel=payment.channel)
        if payment.status is Status.RECEIVED:
            self._queue(payment)
        return payment

    def _confirmed(self, payment: Payment) -> Payment:
        now = self._clock.now()
        confirmed = self._payments.save(released(payment.with_event(now, "confirmed"), now))
        self._queue(confirmed)
        return confirmed

    def _conflict(self, payment: Payment, told: Paid) -> None:
        said = f"{told.receipt} {told.amount_minor} {told.currency}"
        record_conflict(self._payments, payment, said, self._clock, self._journal)
        raise ReferenceConflict("amount, currency or receipt are not what was agreed")

    def _queue(self, payment: Payment) -> None:
        """Queue what follows. A failure is harmless: the sweeper finds the payment."""
        try:
            if payment.status is Status.RECEIVED:
                self._queues.settle(
                    payment, deduplication=f"{payment.payment_id}.{payment.revision}"
                )
            queue_refund(self._queues, payment, self._clock.now())
        except QueueUnavailable:
            self._journal.event("queueing_failed", payment_id=payment.payment_id)

    def begun(self, payment: Payment, known_as: Mapping[str, str]) -> None:
        """The provider was asked for this pending payment, and will know it by that.

        Where that cannot be written now, its word still finds the payment by our reference.
        """
        try:
            self._payments.save(replace(payment, known_as={**payment.known_as, **known_as}))
        except MwangaError as failed:
            self._journal.event(
                "handle_not_written", payment_id=payment.payment_id, reason=failed.code
            )

    def hinted(self, payment_id: str) -> None:
        """A provider says that there is news of this payment: it is asked, by a worker.

        Raises:
            NoSuchPayment: we know none of that id.
            QueueUnavailable: it must be told again.
        """
        self._journal.bind(payment_id=payment_id)
        if self._payments.get(payment_id) is None:
            raise NoSuchPayment("no payment of that reference was started here")
        self._queues.provider_call(payment_id)

    def reversed(self, payment_id: str, reference: str) -> None:
        """The provider has given the money of this payment back, and not because we asked.

        What was not settled yet is held, so that it buys nothing; of the rest a person decides.
        Each of the provider's references is noted once, with an alarm.

        Raises:
            NoSuchPayment: see there.
            TryAgain, OutcomeUnknown, VersionConflict: not stored, or not known to be.
        """
        self._journal.bind(payment_id=payment_id)
        for _ in range(WRITES_MAX):
            payment = self._payments.get(payment_id)
            if payment is None:
                raise NoSuchPayment("no payment of that reference is known here")
            if payment.refunds or _knows_reversal(payment, reference):
                return  # we gave it back, or it is known
            now = self._clock.now()
            noted = payment.with_event(now, REVERSED, reason=reference)
            if payment.status in _NOT_SETTLED:
                noted = held(noted, REVERSED, now)
            elif payment.status is Status.PENDING:
                noted = expired(noted, REVERSED, now)
            try:
                self._payments.save(noted)
            except VersionConflict:
                continue
            self._journal.event(
                REVERSED, payment_id=payment_id, status=payment.status.value, reference=reference
            )
            self._journal.count("ReversedByProvider", channel=payment.channel)
            return
        raise VersionConflict(payment_id)

    # --- asking -------------------------------------------------------------------------------

    def ask(self, payment: Payment, deadline: datetime) -> None:
        """Ask the provider what this payment's present state calls for.

        Money that it has reserved waits for our result; a payer whom it is to charge is charged,
        once; everything else that waits is verified. So is one that ended: of a payment that
        was paid too late, or taken back, only the provider knows.

        Raises:
            OutOfTime: ``deadline`` is nearer than the provider's time-out; nothing was asked.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable: the message must come
                back.
        """
        provider = self._providers.get(payment.channel)
        if provider is not None:
            takes = timedelta(seconds=provider.timeout_seconds) + MARGIN
            if self._clock.now() + takes > deadline:
                raise OutOfTime(payment.payment_id)
        if payment.status is Status.PENDING and reserves(provider):
            self._tell_result(provider, payment)
        elif payment.status is Status.PENDING and charges(provider) and payment.asked_at is None:
            self._charge(provider, payment)
        else:
            self.verify(payment)

    def _tell_result(self, provider: Reserver, payment: Payment) -> None:
        """Tell our yes or no, for as long as it takes until the provider has it."""
        age = self._clock.now() - payment.received_at
        try:
            provider.tell_result(payment)
        except ProviderRefused as refused:
            self._result_not_taken(payment, refused.code)
            return
        except (ProviderUnreachable, ProviderUncertain, SecretMissing) as unknown:
            self._journal.event(
                "result_not_told", payment_id=payment.payment_id, reason=unknown.detail
            )
            if age >= RESULT_IS_LATE_AFTER:
                self._journal.count("ResultsLate", channel=payment.channel)
            if age >= RESULT_TOLD_WITHIN:
                self._result_not_taken(payment, unknown.code)
                return
            seconds = max(RESULT_SECONDS_MIN, min(int(age.total_seconds()), RESULT_SECONDS_MAX))
            self._queues.provider_call(payment.payment_id, seconds)
            return
        stored = self._payments.save(result_taken(payment, self._clock.now()))
        if stored.status is Status.RECEIVED:
            count_money_in(self._journal, stored)
        else:
            self._journal.count("Refused", channel=payment.channel, reason=payment.reason or "")
        self._queue(stored)

    def _result_not_taken(self, payment: Payment, why: str) -> None:
        noted = payment.with_event(self._clock.now(), "result_refused", reason=why)
        self._payments.save(result_not_taken(noted, self._clock.now()))

    def _charge(self, provider: Charger, payment: Payment) -> None:
        """Ask the payer for the money, once: what was asked is remembered before it is."""
        now = self._clock.now()
        if now - payment.received_at > CHARGED_WITHIN:
            self.not_started(payment, "not_asked_in_time")
            return
        asked = self._payments.save(replace(payment, asked_at=now))
        try:
            told = provider.charge(asked)
        except ProviderRefused as refused:
            self.not_started(asked, refused.code)
            return
        except (ProviderUnreachable, SecretMissing) as unsent:
            self._journal.event("not_asked", payment_id=payment.payment_id, reason=unsent.code)
            self._payments.save(replace(asked, asked_at=None))
            self._queues.provider_call(payment.payment_id, LOOKED_AT_AFTER_SECONDS)
            return
        except ProviderUncertain as unknown:
            self._journal.event(
                "charge_unknown", payment_id=payment.payment_id, reason=unknown.detail
            )
            told = None
        if told is not None:
            self._believed(payment.payment_id, told)
        else:
            self._queues.provider_call(payment.payment_id, LOOKED_AT_AFTER_SECONDS)

    def _believed(self, payment_id: str, told: Paid) -> bool:
        """Take up what the provider answered; ``False``: it is a conflict, which was noted."""
        try:
            self.paid(payment_id, told)
        except ReferenceConflict:
            return False
        return True

    def verify(self, payment: Payment) -> None:
        """Ask the provider what became of a pending payment; a long unpaid one expires.

        An answer that tells nothing leaves it as it is: the sweeper comes back to it.

        Raises:
            TryAgain, OutcomeUnknown: what it said could not be stored: ask again.
        """
        age = self._clock.now() - payment.received_at
        try:
            told = self._told_by(payment)
        except TakenBack as taken:
            self.reversed(payment.payment_id, taken.reference)
            return
        except (
            ProviderRefused,
            ProviderUnreachable,
            ProviderUncertain,
            SecretMissing,
        ) as unknown:
            if isinstance(unknown, ProviderRefused) and unknown.code != NOT_KNOWN_THERE:
                self._end(payment.payment_id, unknown.code)
                return
            self._journal.event(
                "not_verified", payment_id=payment.payment_id, reason=unknown.detail
            )
            if age >= NOT_TOLD_AFTER:
                self._end(payment.payment_id, "not_verified")
            return
        if told is not None and self._believed(payment.payment_id, told):
            return
        if age >= EXPIRES_AFTER:
            self._end(payment.payment_id, "not_paid")

    def _told_by(self, payment: Payment) -> Paid | None:
        """What was paid, as its provider has it.

        Raises:
            TakenBack, ProviderRefused: see there.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        provider = self._providers.get(payment.channel)
        return None if provider is None else provider.verify(payment)

    def _end(self, payment_id: str, reason: str) -> None:
        """Nobody will pay it as it was agreed. Where other money has moved, a person must look."""
        payment = self._payments.get(payment_id)
        if payment is None or payment.status is not Status.PENDING:
            return
        if not any(event.what == "reference_conflict" for event in payment.events):
            self.not_started(payment, reason)
            return
        self._payments.save(held(payment, PAID_OTHERWISE, self._clock.now()))


def _is_awaited(payment: Payment) -> bool:
    """Whether the right report would still make it received."""
    return payment.status in (Status.PENDING, Status.EXPIRED) or payment.reason == PAID_OTHERWISE


def _knows_reversal(payment: Payment, reference: str) -> bool:
    return any(e.what == REVERSED and e.reason == reference for e in payment.events)


def _is_what_was_agreed(payment: Payment, told: Paid) -> bool:
    return (payment.amount_minor, payment.currency) == (told.amount_minor, told.currency)


def _guard_id(payment: Payment, told: Paid) -> str:
    """One receipt, one payment: the guard has the form of a payment's id in the same pot."""
    source, _, _ = payment.payment_id.partition("-")
    return payment_id_of(source, told.receipt)
