"""The reports of the proof of the books, and the entries that it reads.

Which pass is the latest is asked before every step, and an index would answer late. So an item
of the fixed id ``latest`` names it, and a new pass is written together with that item: of two
workers that begin one at the same time, only one does. That item is in no list, for it has not
the attribute ``list``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pynamodb.attributes import UnicodeAttribute
from pynamodb.indexes import AllProjection

from chalicelib.services.ports import (
    Entry,
    Page,
    PassState,
    Reconciliation,
    ReportedDifference,
    VersionConflict,
)
from chalicelib.store.attributes import (
    ChoiceAttribute,
    MomentAttribute,
    WholeNumberAttribute,
    records,
)
from chalicelib.store.connection import Index, Table
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import find, put_next_revision, reading
from chalicelib.store.models import EntryRow
from chalicelib.store.transaction import Transaction, WritesRefused


class ReconciliationsByTime(Index):
    """All passes."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_list"
        projection = AllProjection()

    list = UnicodeAttribute(hash_key=True)
    run_id = UnicodeAttribute(range_key=True)


class ReconciliationRow(Table):
    """One pass."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "reconciliations"

    record: ClassVar[type[Any]] = Reconciliation

    run_id = UnicodeAttribute(hash_key=True)
    state = ChoiceAttribute(PassState)
    started_at = MomentAttribute()
    finished_at = MomentAttribute(null=True)
    cursor = UnicodeAttribute(null=True)
    customers = WholeNumberAttribute(null=True)
    versions = WholeNumberAttribute(null=True)
    payments = WholeNumberAttribute(null=True)
    busy = WholeNumberAttribute(null=True)
    differences_count = WholeNumberAttribute(null=True)
    differences = records(ReportedDifference)
    revision = WholeNumberAttribute()
    list = UnicodeAttribute(default="reconciliation")

    by_list = ReconciliationsByTime()


class LatestRow(Table):
    """Which pass is the latest, in the same table under ``latest``."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "reconciliations"

    run_id = UnicodeAttribute(hash_key=True, default="latest")
    named = UnicodeAttribute()

    by_list = ReconciliationsByTime()  # PynamoDB knows a table as the model has it that came first


_LIST = "reconciliation"
_ALL = Listing(
    "reconciliations",
    ReconciliationRow.by_list.query,
    ReconciliationRow.list,
    (ReconciliationRow.run_id,),
)


class DynamoReconciliations:
    """The port ``Reconciliations`` on DynamoDB."""

    def latest(self) -> Reconciliation | None:
        """The pass that was begun last, read consistently.

        Raises:
            TryAgain: see there.
        """
        pointer = find(LatestRow, "latest")
        row = find(ReconciliationRow, pointer.named) if pointer else None
        return row.value() if row else None

    def begin(self, fresh: Reconciliation, after: Reconciliation | None) -> None:
        """Store a new pass and let ``latest`` name it, in one transaction.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        still = LatestRow.named == after.run_id if after else LatestRow.run_id.does_not_exist()
        transaction = Transaction()
        new = ReconciliationRow.run_id.does_not_exist()
        transaction.put("pass", ReconciliationRow.of(fresh), new)
        transaction.put("latest", LatestRow(named=fresh.run_id), still)
        try:
            transaction.commit()
        except WritesRefused as refused:
            raise VersionConflict(refused.detail) from refused

    def save(self, reconciliation: Reconciliation) -> Reconciliation:
        """Write the pass if its stored revision is still ``reconciliation.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        return put_next_revision(ReconciliationRow, reconciliation, reconciliation.run_id)

    def list(self, limit: int, cursor: str | None) -> Page[Reconciliation]:
        """Passes, newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _ALL.part(_LIST, limit, cursor, scan_index_forward=False)
        return Page([row.value() for row in rows], after)


class DynamoEntries:
    """The port ``Entries`` on DynamoDB."""

    def of_customer(self, customer_id: str) -> Sequence[Entry]:
        """All entries of that account by version, read consistently.

        Raises:
            TryAgain: see there.
        """
        rows = reading(lambda: list(EntryRow.query(customer_id, consistent_read=True)))
        return [row.value() for row in rows]
