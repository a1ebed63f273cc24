"""Customers, and the registration: customer, device and account together or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from chalicelib.services.changes import change_by_entry
from chalicelib.services.names import folded
from chalicelib.services.ports import (
    Change,
    ConditionFailed,
    Customer,
    Device,
    Erasure,
    Page,
    Registration,
    SiteKind,
    VersionConflict,
)
from chalicelib.store.accounts import (
    put_ended_plans,
    put_entry,
    put_guard,
    put_new_payment,
)
from chalicelib.store.changes import put_change
from chalicelib.store.cursors import Listing
from chalicelib.store.devices import as_read, next_revision_of_device
from chalicelib.store.dynamodb import ConditionUnmet, find, put, reading
from chalicelib.store.models import AccountRow, CustomerRow, DeviceRow, GuardRow
from chalicelib.store.numbers import last_number, next_number
from chalicelib.store.payments import one_version_behind
from chalicelib.store.sites import count_children
from chalicelib.store.transaction import Transaction, WritesRefused

_ALL = Listing(
    "customers/all",
    CustomerRow.by_list.query,
    CustomerRow.list,
    (CustomerRow.number, CustomerRow.customer_id),
)
_BY_PHONE = Listing(
    "customers/phone", CustomerRow.by_phone.query, CustomerRow.phone, (CustomerRow.customer_id,)
)
_BY_NAME = Listing(
    "customers/name",
    CustomerRow.by_name.query,
    CustomerRow.name_initial,
    (CustomerRow.name_folded, CustomerRow.customer_id),
)
_EVERYBODY = "customer"


class DynamoCustomers:
    """The port ``Customers`` on DynamoDB."""

    def get(self, customer_id: str) -> Customer | None:
        """The customer, read consistently in one request."""
        row = find(CustomerRow, customer_id)
        return row.value() if row else None


class DynamoRegistry:
    """The port ``Registry`` on DynamoDB."""

    def next_number(self, counter: str) -> int:
        """The next integer of that counter.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        return next_number(counter)

    # --- customers ----------------------------------------------------------------------------

    def customer_of(self, phone: str, name: str, surname: str) -> Customer | None:
        """The customer with that phone and that name, read consistently by way of the guard."""
        customer_id = self.guard(identity_of_person(phone, name, surname))
        row = find(CustomerRow, customer_id) if customer_id else None
        return row.value() if row else None

    def customers(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        phone: str | None = None,
        name: str | None = None,
        number: int | None = None,
    ) -> Page[Customer]:
        """Customers by number; or those of a number, else of a phone, else of a name's beginning.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        if number is not None:
            its_number = CustomerRow.number == number
            rows, after = _ALL.part(_EVERYBODY, limit, cursor, range_key_condition=its_number)
        elif phone is not None:
            rows, after = _BY_PHONE.part(phone, limit, cursor)
        elif name is not None and folded(name):
            beginning = folded(name)
            begins = CustomerRow.name_folded.startswith(beginning)
            rows, after = _BY_NAME.part(beginning[0], limit, cursor, range_key_condition=begins)
        else:
            rows, after = _ALL.part(_EVERYBODY, limit, cursor)
        return Page([row.value() for row in rows], after)

    def last_number(self, counter: str) -> int:
        """The number that was given last; 0 where none was.

        Raises:
            TryAgain: see there.
        """
        return last_number(counter)

    def customers_numbered(self, first: int, last: int) -> Sequence[Customer]:
        """The customers with these numbers, both included, the highest first.

        Raises:
            TryAgain: see there.
        """
        between = CustomerRow.number.between(first, last)
        rows = reading(
            lambda: list(CustomerRow.by_list.query(_EVERYBODY, between, scan_index_forward=False))
        )
        return [row.value() for row in rows]

    def create_customer(self, customer: Customer, change: Change | None = None) -> None:
        """Store a new customer without a device, and who made it, in one transaction.

        Raises:
            ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        transaction = Transaction()
        _put_new_customer(transaction, customer)
        _count_in_villages(transaction, {customer.village_id: 1})
        put_change(transaction, change)
        _commit(transaction, ("guard", "customer", "village"))

    def update_customer(
        self, before: Customer, after: Customer, change: Change | None = None
    ) -> Customer:
        """Replace a customer, and move what its phone, name and village hold.

        Raises:
            VersionConflict, ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        written = replace(after, revision=before.revision + 1)
        transaction = Transaction()
        transaction.put(
            "customer", CustomerRow.of(written), CustomerRow.revision == before.revision
        )
        if _identity_of(before) != _identity_of(after):
            guard = GuardRow(guard_id=_identity_of(before))
            transaction.delete("customer", guard, GuardRow.held_by == before.customer_id)
            put_guard(transaction, (_identity_of(after), after.customer_id))
        if before.village_id != after.village_id:
            _count_in_villages(transaction, {before.village_id: -1, after.village_id: 1})
        put_change(transaction, change)
        try:
            _commit(transaction, ("customer", "guard", "village"))
        except ConditionFailed as failed:
            if failed.what == "customer":
                raise VersionConflict(before.customer_id) from failed
            raise
        return written

    def erase_customer(self, erasure: Erasure) -> None:
        """Write what is left of a customer and its account, free its phone and name, and say who
        did it, in one transaction.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        before, account = erasure.before, erasure.account
        written = replace(erasure.after, revision=before.revision + 1)
        transaction = Transaction()
        as_it_was = CustomerRow.revision == before.revision
        transaction.put("customer", CustomerRow.of(written), as_it_was)
        guard = GuardRow(guard_id=_identity_of(before))
        transaction.delete("guard", guard, GuardRow.held_by == before.customer_id)
        transaction.put("account", AccountRow.of(account), one_version_behind(account))
        put_entry(transaction, erasure.entry)
        put_change(transaction, erasure.change)
        try:
            transaction.commit()
        except WritesRefused as refused:
            raise VersionConflict(before.customer_id) from refused

    # --- registration -------------------------------------------------------------------------

    def register(self, registration: Registration) -> None:
        """Store customer, device, account and entry together, in one transaction.

        Raises:
            ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        device, account = registration.device, registration.account
        transaction = Transaction()
        transaction.put("device", DeviceRow.of(device), DeviceRow.serial_number.does_not_exist())
        transaction.put("account", AccountRow.of(account), one_version_behind(account))
        put_entry(transaction, registration.entry)
        put_change(transaction, change_by_entry(registration.entry, device.serial_number))
        put_ended_plans(transaction, registration.ended_plans)
        villages = Counter({device.village_id: 1})
        if registration.new_customer:
            _put_new_customer(transaction, registration.customer)
            villages[registration.customer.village_id] += 1
        if registration.payment:
            put_new_payment(transaction, registration.payment)
        if registration.guard:
            put_guard(transaction, registration.guard)
        _count_in_villages(transaction, villages)
        _commit(
            transaction,
            ("device", "guard", "customer", "village", "account", "entry", "payment"),
        )

    def create_device(self, device: Device, change: Change | None = None) -> None:
        """Store a new device that nobody owns, and who brought it, in one transaction.

        Raises:
            ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        transaction = Transaction()
        transaction.put("device", DeviceRow.of(device), DeviceRow.serial_number.does_not_exist())
        _count_in_villages(transaction, {device.village_id: 1})
        put_change(transaction, change)
        _commit(transaction, ("device", "village"))

    def update_device(self, device: Device, change: Change | None = None) -> Device:
        """Write the device, and who did, if its stored revision is still ``device.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = next_revision_of_device(device)
        transaction = Transaction()
        transaction.put("device", DeviceRow.of(written), as_read(device))
        put_change(transaction, change)
        try:
            transaction.commit()
        except WritesRefused as refused:
            raise VersionConflict(device.serial_number) from refused
        return written

    # --- guards -------------------------------------------------------------------------------

    def guard(self, guard_id: str) -> str | None:
        """The value under that guard, read consistently."""
        row = find(GuardRow, guard_id)
        return row.held_by if row else None

    def put_guard(self, guard_id: str, value: str) -> None:
        """Store a guard.

        Raises:
            ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        try:
            put(GuardRow(guard_id=guard_id, held_by=value), GuardRow.guard_id.does_not_exist())
        except ConditionUnmet as unmet:
            raise ConditionFailed("guard") from unmet


def _commit(transaction: Transaction, order: tuple[str, ...]) -> None:
    """Commit; of the conditions that failed, the first in ``order`` is the one to tell."""
    try:
        transaction.commit()
    except WritesRefused as refused:
        what = next(what for what in order if what in refused.what)
        # A version's entry, and the payment of that entry, are there only where the account moved.
        moved_on = what in ("entry", "payment")
        raise ConditionFailed("account" if moved_on else what) from refused


def _put_new_customer(transaction: Transaction, customer: Customer) -> None:
    """A new customer and the guard that keeps it the only one of its phone and name."""
    row = CustomerRow.of(customer)
    transaction.put("customer", row, CustomerRow.customer_id.does_not_exist())
    put_guard(transaction, (_identity_of(customer), customer.customer_id))


def _count_in_villages(transaction: Transaction, change: Mapping[int, int]) -> None:
    """Count what comes to a village and goes, one write each: a village in use is not deleted."""
    for village_id, by in sorted(change.items()):
        count_children(transaction, "village", SiteKind.VILLAGE, village_id, by)


def _identity_of(customer: Customer) -> str:
    return identity_of_person(customer.phone, customer.name, customer.surname)


def identity_of_person(phone: str, name: str, surname: str) -> str:
    """The guard of a customer: the same for the same phone and, case and spacing aside, name."""
    parts = (folded(part).replace("%", "%25").replace("#", "%23") for part in (name, surname))
    return "#".join(("customer", phone, *parts))
