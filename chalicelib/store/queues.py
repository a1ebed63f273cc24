"""The five queues.

A message says what to look at and never how it stands: whoever takes it reads the present state.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.payment import Payment
from chalicelib.runtime import aws, environment
from chalicelib.services.ports import QueueUnavailable

DELAY_SECONDS_MAX = 900

_IDENTIFIER = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}", re.ASCII)


class SqsQueues:
    """The port ``Queues`` on SQS."""

    def settle(self, payment: Payment, deduplication: str) -> None:
        """Queue a payment for settlement, behind the earlier payments of its customer.

        Raises:
            QueueUnavailable: it is not known to be queued; sending again does no harm.
        """
        _send(
            environment.payments_queue_url(),
            {
                "payment_id": payment.payment_id,
                "customer_id": payment.customer_id,
                "serial_number": payment.serial_number,
            },
            MessageGroupId=_identifier(payment.customer_id or payment.payment_id),
            MessageDeduplicationId=_identifier(deduplication),
        )

    def vend(
        self,
        payment_id: str,
        number: int,
        attempt: int,
        manufacturer: str,
        delay_seconds: int = 0,
    ) -> None:
        """Queue one vend.

        Raises:
            QueueUnavailable: as above.
        """
        body = {
            "payment_id": payment_id,
            "number": number,
            "attempt": attempt,
            "manufacturer": manufacturer,
        }
        # A group on a standard queue orders nothing: it tells SQS whose messages hold the workers
        # up, so that the others' are handed out first (a fair queue).
        _send(
            environment.vends_queue_url(),
            body,
            DelaySeconds=_delay(delay_seconds),
            MessageGroupId=manufacturer,
        )

    def switch(self, serial_number: str, manufacturer: str) -> None:
        """Queue a device that may have to be switched off, among the vends.

        Raises:
            QueueUnavailable: as above.
        """
        body = {"switch": serial_number, "manufacturer": manufacturer}
        _send(environment.vends_queue_url(), body, MessageGroupId=manufacturer)

    def message(
        self, payment_id: str, number: int, customer_id: str | None, delay_seconds: int = 0
    ) -> None:
        """Queue one SMS.

        Raises:
            QueueUnavailable: as above.
        """
        body = {"payment_id": payment_id, "number": number, "customer_id": customer_id}
        _send(environment.messages_queue_url(), body, DelaySeconds=_delay(delay_seconds))

    def provider_call(self, payment_id: str, delay_seconds: int = 0) -> None:
        """Queue a payment that its provider must be asked about.

        Raises:
            QueueUnavailable: as above.
        """
        body = {"payment_id": payment_id}
        _send(environment.provider_calls_queue_url(), body, DelaySeconds=_delay(delay_seconds))

    def listing(self, channel: str) -> None:
        """Queue a provider that must be asked for all that was paid to us.

        Raises:
            QueueUnavailable: as above.
        """
        _send(environment.provider_calls_queue_url(), {"list": channel})

    def move(self, what: str, move_id: str, part: int = 0) -> None:
        """Queue a step of an import or export.

        Raises:
            QueueUnavailable: as above.
        """
        _send(environment.moves_queue_url(), {"what": what, "move_id": move_id, "part": part})

    def erase(self, customer_id: str, cursor: str | None = None, delay_seconds: int = 0) -> None:
        """Queue the rest of an erasure, among the moves: from that part of the payments on.

        Raises:
            QueueUnavailable: as above.
        """
        body = {"what": "erase", "customer_id": customer_id, "cursor": cursor}
        _send(environment.moves_queue_url(), body, DelaySeconds=_delay(delay_seconds))


def _send(queue_url: str, body: dict[str, Any], **settings: Any) -> None:
    text = json.dumps(body, separators=(",", ":"))
    try:
        aws.client("sqs").send_message(QueueUrl=queue_url, MessageBody=text, **settings)
    except (BotoCoreError, ClientError) as error:
        raise QueueUnavailable(type(error).__name__) from error


def _delay(seconds: int) -> int:
    return max(0, min(seconds, DELAY_SECONDS_MAX))


def _identifier(text: str) -> str:
    """The text where SQS takes it as an identifier (128 printable ASCII), else a hash of it."""
    if _IDENTIFIER.fullmatch(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()
