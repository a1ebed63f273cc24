"""Ask a provider: what a worker does about a payment of which only its provider can tell."""

from __future__ import annotations

from datetime import datetime

from chalicelib.domain.payment import Payment, Status
from chalicelib.services.collect import Collect
from chalicelib.services.ports import Journal, Payments
from chalicelib.services.refund import GiveBack


class AskProvider:
    """Verifies checkouts and goes on with refunds. Whoever asks twice asks about the same thing."""

    def __init__(
        self, *, payments: Payments, collect: Collect, give_back: GiveBack, journal: Journal
    ) -> None:
        self._payments = payments
        self._collect = collect
        self._give_back = give_back
        self._journal = journal

    def work(self, payment_id: str, deadline: datetime) -> Payment | None:
        """Do what the payment's present state calls for.

        Raises:
            OutOfTime, VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable: the message
                must come back.
        """
        payment = self._payments.get(payment_id)
        if payment is None:
            self._journal.event("payment_missing", payment_id=payment_id)
            return None
        if payment.status is Status.REFUND_DUE or payment.refunds:
            self._give_back.work(payment, deadline)
        else:
            self._collect.ask(payment, deadline)
        return payment
