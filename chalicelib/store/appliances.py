"""What is sold on plans."""

from __future__ import annotations

from chalicelib.services.ports import (
    Appliance,
    ApplianceKind,
    DefaultPlan,
    NameTaken,
    Note,
    Page,
)
from chalicelib.store.changes import put_change
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import find
from chalicelib.store.models import ApplianceRow
from chalicelib.store.names import hold_name
from chalicelib.store.numbers import next_number
from chalicelib.store.transaction import Transaction, WritesRefused

_LIST = "appliance"
_ALL = Listing(
    "appliances", ApplianceRow.by_list.query, ApplianceRow.list, (ApplianceRow.appliance_id,)
)


class DynamoAppliances:
    """The port ``Appliances`` on DynamoDB."""

    def create(
        self,
        name: str,
        kind: ApplianceKind,
        price_minor: int,
        default_plan: DefaultPlan | None,
        manufacturer: str | None = None,
        note: Note | None = None,
    ) -> Appliance:
        """Store a new appliance and its name, in one transaction.

        Raises:
            NameTaken, TryAgain, OutcomeUnknown: see there.
        """
        appliance = Appliance(
            next_number(_LIST), name, kind, price_minor, default_plan, manufacturer
        )
        unused = ApplianceRow.appliance_id.does_not_exist()
        transaction = Transaction()
        transaction.put("appliance", ApplianceRow.of(appliance), unused)
        hold_name(transaction, _LIST, name, str(appliance.appliance_id))
        put_change(transaction, note(appliance.appliance_id) if note else None)
        try:
            transaction.commit()
        except WritesRefused as refused:
            raise NameTaken from refused
        return appliance

    def get(self, appliance_id: int) -> Appliance | None:
        """The appliance, read consistently."""
        row = find(ApplianceRow, appliance_id)
        return row.value() if row else None

    def list(self, limit: int, cursor: str | None) -> Page[Appliance]:
        """Appliances by id.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _ALL.part(_LIST, limit, cursor)
        return Page([row.value() for row in rows], after)
