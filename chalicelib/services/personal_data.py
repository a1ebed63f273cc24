"""Personal data: everything that is kept about one customer, for the customer to have.

The customer's own data only: not who of the staff did something, and not the phone of somebody
else who paid. What there are few of stands in the first part; payments come in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chalicelib.domain.payment import Payment
from chalicelib.services.account_view import AccountView, ViewAccounts
from chalicelib.services.changes import change_of, of_customer
from chalicelib.services.devices import DeviceView
from chalicelib.services.entries import Act
from chalicelib.services.lists import all_of
from chalicelib.services.plans import CustomerNotFound
from chalicelib.services.ports import (
    Change,
    Changes,
    Clock,
    Customer,
    Customers,
    Device,
    Devices,
    Entries,
    Entry,
    FieldRegistration,
    FieldRegistrations,
    Journal,
    Message,
    Messages,
    Page,
    Payments,
)

AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class PaidAndTold:
    """A payment of the customer, and the SMS about it. ``phone`` paid it, if it was their own."""

    payment: Payment
    phone: str | None
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class PersonalData:
    """What is kept about a customer. Parts behind the first have payments alone."""

    customer: Customer
    account: AccountView
    devices: Sequence[DeviceView]
    entries: Sequence[Entry]
    changes: Sequence[Change]
    registrations: Sequence[FieldRegistration]
    payments: Page[PaidAndTold]


class TellPersonalData:
    """Puts together what is kept about a customer."""

    def __init__(
        self,
        *,
        customers: Customers,
        view_accounts: ViewAccounts,
        devices: Devices,
        show_device: Callable[[Device], DeviceView],
        entries: Entries,
        changes: Changes,
        field_registrations: FieldRegistrations,
        payments: Payments,
        messages: Messages,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._customers = customers
        self._view_accounts = view_accounts
        self._devices = devices
        self._show_device = show_device
        self._entries = entries
        self._changes = changes
        self._field_registrations = field_registrations
        self._payments = payments
        self._messages = messages
        self._clock = clock
        self._journal = journal

    def of(self, customer_id: str, limit: int, cursor: str | None, *, actor: str) -> PersonalData:
        """What is kept about the customer, with so many payments behind the cursor. That somebody
        took it is kept among the changes of the customer.

        Raises:
            CustomerNotFound, InvalidCursor: see there.
        """
        customer = self._customers.get(customer_id)
        if customer is None:
            raise CustomerNotFound(f"there is no customer {customer_id}")
        payments = self._payments_of(customer, limit, cursor)
        first = cursor is None
        told = PersonalData(
            customer=customer,
            account=self._view_accounts.view(customer_id, None),
            devices=self._devices_of(customer_id) if first else (),
            entries=self._entries.of_customer(customer_id) if first else (),
            changes=self._changes_of(customer_id) if first else (),
            registrations=self._field_registrations.of_customer(customer_id) if first else (),
            payments=payments,
        )
        if first:
            act = Act(actor, self._clock.now(), "")
            self._changes.put(change_of(act, of_customer(customer_id), "personal_data_taken"))
        self._journal.event("personal_data_taken", customer_id=customer_id, actor=actor)
        return told

    def _devices_of(self, customer_id: str) -> list[DeviceView]:
        return [self._show_device(device) for device in self._devices.of_customer(customer_id)]

    def _changes_of(self, customer_id: str) -> list[Change]:
        subject = of_customer(customer_id)
        return list(all_of(lambda n, cursor: self._changes.of(subject, n, cursor), AT_ONCE))

    def _payments_of(self, customer: Customer, limit: int, cursor: str | None) -> Page[PaidAndTold]:
        page = self._payments.by_owner(customer.customer_id, limit, cursor)
        return Page([self._with_messages(payment, customer) for payment in page.items], page.next)

    def _with_messages(self, payment: Payment, customer: Customer) -> PaidAndTold:
        """Some providers write a phone without its plus sign."""
        own = (payment.payer_phone or "").lstrip("+") == customer.phone.lstrip("+")
        return PaidAndTold(
            payment,
            payment.payer_phone if own else None,
            tuple(self._messages.of_payment(payment.payment_id)),
        )
