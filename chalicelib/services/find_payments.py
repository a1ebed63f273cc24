"""Find payments: one, those of a customer or a device, those that are open; and their SMS."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import FINAL, Payment, Status
from chalicelib.services.ports import (
    Devices,
    InvalidCursor,
    Message,
    Messages,
    Page,
    Payments,
)
from chalicelib.services.resolve import PaymentNotFound

PAGES_MAX = 10
"""A device's payments are picked out of its owner's: after this many pages without one, the
caller gets an empty part of the list and goes on from there."""

_OWNERS, _ORPHANS = "o.", "s."


class FindPayments:
    """Finds payments and their messages."""

    def __init__(self, *, payments: Payments, devices: Devices, messages: Messages) -> None:
        self._payments = payments
        self._devices = devices
        self._messages = messages

    def get(self, payment_id: str) -> Payment:
        """The payment of that id, also a refused one.

        Raises:
            PaymentNotFound: see there.
        """
        payment = self._payments.get(payment_id)
        if payment is None:
            raise PaymentNotFound(f"there is no payment {payment_id}")
        return payment

    def of_customer(self, customer_id: str, limit: int, cursor: str | None) -> Page[Payment]:
        """A customer's payments, newest first.

        Raises:
            InvalidCursor: see there.
        """
        return self._payments.by_owner(customer_id, limit, cursor)

    def of_device(self, serial_number: str, limit: int, cursor: str | None) -> Page[Payment]:
        """A device's payments: those of its owner, newest first, then those that found no owner.

        Raises:
            InvalidCursor: see there.
        """
        device = self._devices.get(serial_number)
        owner = device.customer_id if device else None
        part, behind = _split(cursor) if cursor is not None else (_OWNERS, None)
        if owner is not None and part == _OWNERS:
            page = self._of_owner(owner, serial_number, limit, behind)
            if page.next is not None:
                return Page(page.items, _OWNERS + page.next)
            if page.items:
                return Page(page.items, _ORPHANS)
        page = self._payments.by_owner(f"serial#{serial_number}", limit, behind or None)
        return Page(page.items, _ORPHANS + page.next if page.next else None)

    def _of_owner(
        self, owner: str, serial_number: str, limit: int, cursor: str | None
    ) -> Page[Payment]:
        """The next part of the owner's payments in which there is one for that device."""
        for _ in range(PAGES_MAX):
            page = self._payments.by_owner(owner, limit, cursor)
            found = [payment for payment in page.items if payment.serial_number == serial_number]
            cursor = page.next
            if found or cursor is None:
                return Page(found, cursor)
        return Page((), cursor)

    def open(self, status: str, limit: int, cursor: str | None) -> Page[Payment]:
        """Open payments in that status.

        Raises:
            FieldError: on ``status``: it is none, or a final one.
            InvalidCursor: see there.
        """
        wanted = {status.value for status in Status} - {status.value for status in FINAL}
        if status not in wanted:
            raise FieldError("status", f"must be one of {', '.join(sorted(wanted))}")
        return self._payments.open(status, limit, cursor)

    def messages(self, payment_id: str) -> Sequence[Message]:
        """The SMS of a payment, by number.

        Raises:
            PaymentNotFound: see there.
        """
        self.get(payment_id)
        return self._messages.of_payment(payment_id)


def _split(cursor: str) -> tuple[str, str | None]:
    part, behind = cursor[: len(_OWNERS)], cursor[len(_OWNERS) :]
    if part not in (_OWNERS, _ORPHANS) or (part == _OWNERS and not behind):
        raise InvalidCursor("not a cursor of this list")
    return part, behind or None
