"""Find payments: one, those of a customer or a device, those that are open; and their SMS."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

from chalicelib.domain.errors import FieldError, InvalidSerial
from chalicelib.domain.payment import (
    FINAL,
    PAYMENT_ID_LENGTH_MAX,
    Payment,
    Status,
    payment_id_of,
)
from chalicelib.domain.serial import normalise_serial
from chalicelib.services.customers import KeepCustomers
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

PEOPLE_MAX = 10
IDS_AT_ONCE = 50

_CUSTOMER = re.compile(r"[cC]?([1-9][0-9]{0,8})", re.ASCII)
_OWNERS, _ORPHANS = "o.", "s."


class FindPayments:
    """Finds payments and their messages.

    ``sources`` tells the pots into which money can fall: with what a receipt, they make an id.
    """

    def __init__(
        self,
        *,
        payments: Payments,
        devices: Devices,
        messages: Messages,
        keep_customers: KeepCustomers,
        sources: Callable[[], Sequence[str]],
    ) -> None:
        self._payments = payments
        self._devices = devices
        self._messages = messages
        self._keep_customers = keep_customers
        self._sources = sources

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

    def of_phone(self, phone: str, limit: int) -> Page[Payment]:
        """The newest payments of the customers who have that phone number.

        Families share phones, so they may be several. Who paid with another phone is not found.
        """
        people = self._keep_customers.find(phone=phone, limit=PEOPLE_MAX, cursor=None).items
        return self._newest(limit, *(self._of_person(p.customer_id, limit) for p in people))

    def of_receipt(self, receipt: str) -> Page[Payment]:
        """The payments that a provider's receipt, or our reference, names. It is looked for in
        each pot, as it is and in capitals: people read it from a screen."""
        return Page(self._named(receipt))

    def search(self, text: str, limit: int) -> Page[Payment]:
        """The newest payments of whatever somebody on the phone has said.

        That may be a payment's id, a receipt, a serial number, a phone number, or a customer's
        id or number. What it could be, it is looked for as: a number may be several of these.
        """
        said = text.strip()
        return self._newest(
            limit,
            self._named(said),
            self._of_serial(said, limit),
            self.of_phone(said, limit).items,
            self._of_person(_customer_id_of(said), limit),
        )

    def _named(self, said: str) -> Sequence[Payment]:
        """The payments whose id this is, or would be in some pot."""
        ids = [said] if 0 < len(said.encode()) <= PAYMENT_ID_LENGTH_MAX else []
        for source in self._sources():
            for transaction in dict.fromkeys((said, said.upper())):
                with suppress(FieldError):  # it would make no id
                    ids.append(payment_id_of(source, transaction))
        return [
            payment
            for start in range(0, len(ids), IDS_AT_ONCE)
            for payment in self._payments.known_under_any(ids[start : start + IDS_AT_ONCE])
        ]

    def _of_serial(self, said: str, limit: int) -> Sequence[Payment]:
        try:
            return self.of_device(normalise_serial(said), limit, None).items
        except InvalidSerial:
            return ()

    def _of_person(self, customer_id: str | None, limit: int) -> Sequence[Payment]:
        return self.of_customer(customer_id, limit, None).items if customer_id else ()

    def _newest(self, limit: int, *parts: Sequence[Payment]) -> Page[Payment]:
        """The newest of all these, each once."""
        each = {payment.payment_id: payment for part in parts for payment in part}
        newest = sorted(each.values(), key=lambda p: (p.received_at, p.payment_id), reverse=True)
        return Page(newest[:limit])

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


def _customer_id_of(said: str) -> str | None:
    """The id of the customer that is meant by ``C17``, ``c17`` or ``17``."""
    number = _CUSTOMER.fullmatch(said)
    return f"C{number[1]}" if number else None
