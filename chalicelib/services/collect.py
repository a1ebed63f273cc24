"""Collect: payments that we start, from the checkout to the word that money has moved."""

from __future__ import annotations

from datetime import timedelta

from chalicelib.domain.errors import MwangaError
from chalicelib.domain.moment import moment_of
from chalicelib.domain.payment import (
    PAID_OTHERWISE,
    Payment,
    Status,
    expired,
    held,
    paid,
    payment_id_of,
)
from chalicelib.services.accept import ReferenceConflict, record_conflict
from chalicelib.services.ports import (
    Catalogue,
    Clock,
    ConditionFailed,
    Journal,
    Paid,
    Payments,
    Providers,
    ProviderUncertain,
    ProviderUnreachable,
    Queues,
    QueueUnavailable,
    SecretMissing,
    VersionConflict,
)

WRITES_MAX = 5
EXPIRES_AFTER = timedelta(hours=24)
"""A checkout that nobody has paid by then is over. Whoever pays it even later is not turned away:
money that has moved makes it ``received`` all the same."""

NOT_TOLD_AFTER = timedelta(hours=48)
"""A checkout of which its provider cannot tell anything by then is over, too."""


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
        self._note_expired(payment, reason)

    def paid(self, payment_id: str, told: Paid) -> Payment:
        """Money has moved: the payment is received, once, and queued for settlement.

        A receipt that was told before changes nothing; one that is known for another payment,
        and another receipt for this one, are conflicts, as are another amount or currency.

        Raises:
            NoSuchPayment: see there.
            ReferenceConflict: nothing is credited; noted on the payment, once.
            TryAgain, OutcomeUnknown: not stored, or not known to be: it must be told again.
        """
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
            except ConditionFailed:
                if self._payments.get(payment_id) == payment:
                    self._conflict(payment, told)
                continue
            self._note_received(stored)
            self._queue(stored)
            return stored
        raise VersionConflict(payment_id)

    def _receive(self, payment: Payment, told: Paid) -> Payment:
        now = self._clock.now()
        hours = self._catalogue.settings().late_payment_hours
        received = paid(
            payment, receipt=told.receipt, moment=moment_of(told.paid_at, now, hours), now=now
        )
        return self._payments.receive(received, (_guard_id(payment, told), payment.payment_id))

    def _told_again(self, payment: Payment, told: Paid) -> Payment:
        if payment.receipt != told.receipt:
            self._conflict(payment, told)
        self._journal.event("payment_repeated", payment_id=payment.payment_id)
        self._journal.count("Duplicates", channel=payment.channel)
        if payment.status is Status.RECEIVED:
            self._queue(payment)
        return payment

    def _conflict(self, payment: Payment, told: Paid) -> None:
        said = f"{told.receipt} {told.amount_minor} {told.currency}"
        record_conflict(self._payments, payment, said, self._clock, self._journal)
        raise ReferenceConflict("amount, currency or receipt are not what was agreed")

    def _queue(self, payment: Payment) -> None:
        """Queue it for settlement. A failure is harmless: the sweeper finds the payment."""
        try:
            self._queues.settle(payment, deduplication=payment.payment_id)
        except QueueUnavailable:
            self._journal.event("queueing_failed", payment_id=payment.payment_id)

    # --- asking -------------------------------------------------------------------------------

    def verify(self, payment: Payment) -> None:
        """Ask the provider what became of a pending payment; a long unpaid one expires.

        An answer that tells nothing leaves it as it is: the sweeper comes back to it.

        Raises:
            TryAgain, OutcomeUnknown: what it said could not be stored: ask again.
        """
        age = self._clock.now() - payment.received_at
        try:
            told = self._told_by(payment)
        except (ProviderUnreachable, ProviderUncertain, SecretMissing) as unknown:
            self._journal.event(
                "not_verified", payment_id=payment.payment_id, reason=unknown.detail
            )
            if age >= NOT_TOLD_AFTER:
                self._end(payment.payment_id, "not_verified")
            return
        if told is not None:
            try:
                self.paid(payment.payment_id, told)
                return
            except ReferenceConflict:
                pass  # noted on the payment, with an alarm
        if age >= EXPIRES_AFTER:
            self._end(payment.payment_id, "not_paid")

    def _told_by(self, payment: Payment) -> Paid | None:
        """What was paid, as its provider has it.

        Raises:
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
        self._journal.event("payment_held", payment_id=payment_id, reason=PAID_OTHERWISE)
        self._journal.count("Held", reason=PAID_OTHERWISE)

    # --- the journal --------------------------------------------------------------------------

    def _note_received(self, payment: Payment) -> None:
        self._journal.event(
            "payment_received", payment_id=payment.payment_id, channel=payment.channel
        )
        self._journal.count("Accepted", channel=payment.channel)

    def _note_expired(self, payment: Payment, reason: str) -> None:
        self._journal.event("payment_expired", payment_id=payment.payment_id, reason=reason)
        self._journal.count("Expired", channel=payment.channel)


def _is_awaited(payment: Payment) -> bool:
    """Whether the right report would still make it received."""
    return payment.status in (Status.PENDING, Status.EXPIRED) or payment.reason == PAID_OTHERWISE


def _is_what_was_agreed(payment: Payment, told: Paid) -> bool:
    return (payment.amount_minor, payment.currency) == (told.amount_minor, told.currency)


def _guard_id(payment: Payment, told: Paid) -> str:
    """One receipt, one payment: the guard has the form of a payment's id in the same pot."""
    source, _, _ = payment.payment_id.partition("-")
    return payment_id_of(source, told.receipt)
