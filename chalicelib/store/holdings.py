"""What the company has, many things at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from chalicelib.domain.account import Account
from chalicelib.services.names import folded
from chalicelib.services.ports import Device, Page
from chalicelib.store.connection import Table
from chalicelib.store.cursors import Listing
from chalicelib.store.customers import identity_of_person
from chalicelib.store.dynamodb import BATCH_MAX, find_all
from chalicelib.store.models import IN_STOCK, AccountRow, DeviceRow, GuardRow
from chalicelib.store.names import name_guard

_IN_STOCK = Listing(
    "devices/stock", DeviceRow.by_stock.query, DeviceRow.stock, (DeviceRow.serial_number,)
)

M = TypeVar("M", bound=Table)


class DynamoHoldings:
    """The port ``Holdings`` on DynamoDB."""

    def known(self, persons: Iterable[tuple[str, str, str]]) -> Mapping[tuple[str, str, str], str]:
        """The customer ids of those of these who are customers.

        Raises:
            TryAgain: see there.
        """
        by_guard: dict[str, list[tuple[str, str, str]]] = {}
        for person in persons:
            by_guard.setdefault(identity_of_person(*person), []).append(person)
        rows = _found(GuardRow, by_guard)
        return {person: row.held_by for row in rows for person in by_guard[row.guard_id]}

    def named(self, in_list: str, names: Iterable[str]) -> Mapping[str, int]:
        """The ids of what has these names in a list, by folded name.

        Raises:
            TryAgain: see there.
        """
        by_guard = {name_guard(in_list, name): folded(name) for name in names}
        rows = _found(GuardRow, by_guard)
        # A site's holder is its key, which ends in its number; the others' is their number.
        return {by_guard[row.guard_id]: int(row.held_by.rpartition("#")[2]) for row in rows}

    def devices_of(self, serial_numbers: Iterable[str]) -> Mapping[str, Device]:
        """Those of these devices that exist.

        Raises:
            TryAgain: see there.
        """
        return {row.serial_number: row.value() for row in _found(DeviceRow, serial_numbers)}

    def accounts_of(self, customer_ids: Iterable[str]) -> Mapping[str, Account]:
        """Those of these accounts that exist.

        Raises:
            TryAgain: see there.
        """
        return {row.customer_id: row.value() for row in _found(AccountRow, customer_ids)}

    def unowned_devices(self, limit: int, cursor: str | None) -> Page[Device]:
        """Devices that nobody owns, by serial number.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _IN_STOCK.part(IN_STOCK, limit, cursor)
        return Page([row.value() for row in rows], after)


def _found(model: type[M], keys: Iterable[str]) -> Iterator[M]:
    """Those items that exist, whatever the number of the keys."""
    wanted = sorted(set(keys))
    for first in range(0, len(wanted), BATCH_MAX):
        part = wanted[first : first + BATCH_MAX]
        yield from find_all(*((model, key) for key in part)).values()
