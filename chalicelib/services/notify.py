"""Notify: one SMS for every outcome, with a fixed identity (payment, number)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from chalicelib.domain.payment import Payment, messages_due
from chalicelib.services.ports import (
    Catalogue,
    Clock,
    Customer,
    Journal,
    Message,
    Messages,
    MessageState,
    Settings,
    SmsFailed,
    SmsGateway,
)

ATTEMPTS_MAX = 5
KEPT = timedelta(days=400)
"""For so long an SMS is kept: over a year of questions about it. Its token stays in the payment."""

Compose = Callable[[Payment, int, Customer | None, Settings, str], str]
"""Writes the text: payment, number, customer, settings, language."""


class Notify:
    """Sends the SMS that are due. One that was sent is not sent again by a repeated message."""

    def __init__(
        self,
        *,
        messages: Messages,
        catalogue: Catalogue,
        gateway: SmsGateway,
        compose: Compose,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._messages = messages
        self._catalogue = catalogue
        self._gateway = gateway
        self._compose = compose
        self._clock = clock
        self._journal = journal

    def send(self, payment_id: str, number: int, customer_id: str | None) -> None:
        """Send that SMS of that payment, if it is (still) due and was not sent before.

        Raises:
            SmsFailed: the gateway did not take it; the message must come back.
        """
        payment, before, customer = self._messages.view_for_sending(payment_id, number, customer_id)
        if payment is None or number not in messages_due(payment):
            return
        if payment.customer_id != customer_id:
            # The message is older than what a person has decided since.
            self.send(payment_id, number, payment.customer_id)
            return
        if before is not None and before.state is not MessageState.QUEUED:
            return
        to = _receiver(payment, customer)
        if to is None:
            self._journal.event("nobody_to_tell", payment_id=payment_id, number=number)
            return
        self._hand_over(self._written(payment, number, customer, to, before))

    def _written(
        self,
        payment: Payment,
        number: int,
        customer: Customer | None,
        to: str,
        before: Message | None,
    ) -> Message:
        settings = self._catalogue.settings()
        language = settings.languages[0]
        return Message(
            payment_id=payment.payment_id,
            number=number,
            to=to,
            language=language,
            body=self._compose(payment, number, customer, settings, language),
            state=MessageState.QUEUED,
            attempts=(before.attempts if before else 0) + 1,
            forget_at=self._clock.now() + KEPT,
        )

    def _hand_over(self, message: Message) -> None:
        """Send, then store: an unknown outcome sends again (twice is harmless, never is not)."""
        try:
            self._gateway.send(message)
        except SmsFailed:
            self._failed(message)
            return
        self._messages.put(replace(message, state=MessageState.SENT, sent_at=self._clock.now()))
        self._journal.event(
            "message_sent", payment_id=message.payment_id, number=message.number, to=message.to
        )
        self._journal.count("MessagesSent")

    def _failed(self, message: Message) -> None:
        self._journal.event(
            "message_failed",
            payment_id=message.payment_id,
            number=message.number,
            attempt=message.attempts,
        )
        self._journal.count("MessagesFailed")
        if message.attempts >= ATTEMPTS_MAX:
            self._messages.put(replace(message, state=MessageState.FAILED))
            return
        self._messages.put(message)
        raise SmsFailed(message.payment_id)


def _receiver(payment: Payment, customer: Customer | None) -> str | None:
    """Whom to tell: the customer, who may be erased, or else whoever paid."""
    if customer is None:
        return payment.payer_phone
    return None if customer.erased else customer.phone
