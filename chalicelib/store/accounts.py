"""Accounts, and every change of one that is not a payment: an entry."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.domain.account import Account
from chalicelib.domain.payment import Payment
from chalicelib.domain.plan import Plan
from chalicelib.services.changes import change_by_entry
from chalicelib.services.ports import (
    AccountChange,
    ConditionFailed,
    Device,
    Entry,
    VersionConflict,
)
from chalicelib.store.changes import put_change
from chalicelib.store.devices import as_read, next_revision_of_device
from chalicelib.store.dynamodb import find
from chalicelib.store.models import (
    AccountRow,
    DeviceRow,
    EndedPlanRow,
    EntryRow,
    GuardRow,
    PaymentRow,
)
from chalicelib.store.payments import next_revision, one_version_behind, unchanged
from chalicelib.store.transaction import Transaction, WritesRefused


class DynamoAccounts:
    """The port ``Accounts`` on DynamoDB."""

    def get(self, customer_id: str) -> Account | None:
        """The account, read consistently."""
        row = find(AccountRow, customer_id)
        return row.value() if row else None

    def change(
        self,
        account: Account,
        entry: Entry,
        *,
        device: Device | None = None,
        other_device: Device | None = None,
        ended_plans: Sequence[Plan] = (),
        payment: Payment | None = None,
        new_payment: Payment | None = None,
        guard: tuple[str, str] | None = None,
    ) -> None:
        """Write account and entry, and what changes with them, in one transaction.

        ``device`` and ``payment`` carry the revision that they were read with. A guard that
        exists outweighs a conflict: the request was made before.

        Raises:
            VersionConflict, ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        transaction = Transaction()
        _put_account(transaction, AccountChange(account, entry))
        put_ended_plans(transaction, ended_plans)
        for written in (device, other_device):
            if written:
                _put_device(transaction, written, entry)
        if payment:
            payment_row = PaymentRow.of(next_revision(payment))
            transaction.put("payment", payment_row, unchanged(payment))
        if new_payment:
            put_new_payment(transaction, new_payment)
        if guard:
            put_guard(transaction, guard)
        try:
            transaction.commit()
        except WritesRefused as refused:
            if "guard" in refused.what:
                raise ConditionFailed("guard") from refused
            raise VersionConflict(refused.detail) from refused

    def change_both(self, first: AccountChange, second: AccountChange, device: Device) -> None:
        """Write two accounts with their entries, and a device, in one transaction.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        transaction = Transaction()
        for change in (first, second):
            _put_account(transaction, change)
        _put_device(transaction, device, second.entry)
        try:
            transaction.commit()
        except WritesRefused as refused:
            raise VersionConflict(refused.detail) from refused

    def ended_plan(self, plan_id: str) -> Plan | None:
        """A plan that has ended, read consistently."""
        row = find(EndedPlanRow, plan_id)
        return row.value() if row else None

    def entry(self, customer_id: str, account_version: int) -> Entry | None:
        """The entry of that version, read consistently."""
        row = find(EntryRow, customer_id, account_version)
        return row.value() if row else None


def _put_account(transaction: Transaction, change: AccountChange) -> None:
    """Add an account, on the version from which it was made, and the entry of its version."""
    row = AccountRow.of(change.account)
    transaction.put("account", row, one_version_behind(change.account))
    put_entry(transaction, change.entry)


def _put_device(transaction: Transaction, device: Device, entry: Entry) -> None:
    """Add a device, on the revision that it was read with, and who changed it."""
    transaction.put("device", DeviceRow.of(next_revision_of_device(device)), as_read(device))
    put_change(transaction, change_by_entry(entry, device.serial_number))


def put_entry(transaction: Transaction, entry: Entry) -> None:
    """Add the entry; a version that has one already is a conflict."""
    transaction.put("entry", EntryRow.of(entry), EntryRow.customer_id.does_not_exist())


def put_ended_plans(transaction: Transaction, plans: Sequence[Plan]) -> None:
    """Add plans that leave their account in this transaction. The account's version guards them."""
    for plan in plans:
        transaction.put("plan", EndedPlanRow.of(plan))


def put_new_payment(transaction: Transaction, payment: Payment) -> None:
    """Add a payment that is not there yet."""
    row = PaymentRow.of(payment)
    transaction.put("payment", row, PaymentRow.payment_id.does_not_exist())


def put_guard(transaction: Transaction, guard: tuple[str, str]) -> None:
    """Add a guard: its id, and what holds it."""
    guard_id, held_by = guard
    row = GuardRow(guard_id=guard_id, held_by=held_by)
    transaction.put("guard", row, GuardRow.guard_id.does_not_exist())
