"""The SMS that were sent or are to be sent."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.domain.payment import Payment
from chalicelib.services.ports import Customer, Message
from chalicelib.store.dynamodb import find_all, put, reading
from chalicelib.store.models import CustomerRow, MessageRow, PaymentRow


class DynamoMessages:
    """The port ``Messages`` on DynamoDB."""

    def view_for_sending(
        self, payment_id: str, number: int, customer_id: str | None
    ) -> tuple[Payment | None, Message | None, Customer | None]:
        """Payment, the message so far, and the customer, consistently in one request."""
        payment = (PaymentRow, payment_id)
        message = (MessageRow, (payment_id, number))
        customer = (CustomerRow, customer_id)
        wanted = [payment, message, customer] if customer_id else [payment, message]
        rows = {key: row.value() for key, row in find_all(*wanted).items()}
        return rows.get(payment), rows.get(message), rows.get(customer)

    def put(self, message: Message) -> None:
        """Store the message as it stands now; the last writer wins.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        put(MessageRow.of(message))

    def of_payment(self, payment_id: str) -> Sequence[Message]:
        """All messages of a payment, by number, read consistently."""
        rows = reading(lambda: list(MessageRow.query(payment_id, consistent_read=True)))
        return [row.value() for row in rows]
