"""Who changed what, of all that is no account; and, beside it, the entries of accounts."""

from __future__ import annotations

from chalicelib.services.ports import Change, Entry, Page
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import put
from chalicelib.store.models import ChangeRow, EntryRow
from chalicelib.store.transaction import Transaction

_BY_SUBJECT = Listing("changes", ChangeRow.query, ChangeRow.subject, (ChangeRow.change_id,))
_BY_ACCOUNT = Listing(
    "changes/account", EntryRow.query, EntryRow.customer_id, (EntryRow.account_version,)
)


class DynamoChanges:
    """The port ``Changes`` on DynamoDB."""

    def put(self, change: Change) -> None:
        """Store one that goes with no other write.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        put(ChangeRow.of(change))

    def of(self, subject: str, limit: int, cursor: str | None) -> Page[Change]:
        """The changes of a thing, the newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _BY_SUBJECT.part(subject, limit, cursor, scan_index_forward=False)
        return Page([row.value() for row in rows], after)

    def of_account(self, customer_id: str, limit: int, cursor: str | None) -> Page[Entry]:
        """The entries of an account, the newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _BY_ACCOUNT.part(customer_id, limit, cursor, scan_index_forward=False)
        return Page([row.value() for row in rows], after)


def put_change(transaction: Transaction, change: Change | None) -> None:
    """Add who does it to what is done; nothing where nobody is to be named."""
    if change is not None:
        transaction.put("change", ChangeRow.of(change))
