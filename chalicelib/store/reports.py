"""Reports, in the table of imports and exports; one more item says which days were closed."""

from __future__ import annotations

from typing import Any, ClassVar

from pynamodb.attributes import BooleanAttribute, UnicodeAttribute

from chalicelib.services.ports import (
    Closings,
    Page,
    Report,
    ReportFile,
    ReportKind,
    ReportState,
    VersionConflict,
)
from chalicelib.store.attributes import (
    ChoiceAttribute,
    DayAttribute,
    MomentAttribute,
    WholeNumberAttribute,
    present,
    records,
)
from chalicelib.store.connection import Table
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import ConditionUnmet, find, put, put_next_revision
from chalicelib.store.moves import MovesByTime
from chalicelib.store.transaction import Transaction, WritesRefused

_REPORTS, _CLOSINGS = "report", "closings"
"""What they stand under in their table: no import or export is found by a report's id."""


class ReportRow(Table):
    """A report."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "moves"

    record: ClassVar[type[Any]] = Report

    move_id = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True, default=_REPORTS)
    list = UnicodeAttribute(default=_REPORTS)
    kind = ChoiceAttribute(ReportKind)
    state = ChoiceAttribute(ReportState)
    first_day = DayAttribute(null=True)
    last_day = DayAttribute()
    cut = MomentAttribute()
    made_at = MomentAttribute()
    made_by = UnicodeAttribute()
    interim = BooleanAttribute(null=True)
    phase = UnicodeAttribute(null=True)
    cursor = UnicodeAttribute(null=True)
    work = UnicodeAttribute(null=True)
    saved_at = MomentAttribute(null=True)
    sentence = UnicodeAttribute(null=True)
    differences = WholeNumberAttribute(null=True)
    files = records(ReportFile)
    revision = WholeNumberAttribute()

    by_list = MovesByTime()

    @classmethod
    def of(cls, value: Report, **more: Any) -> ReportRow:
        """The row for a report."""
        fields = present(value)
        return cls(move_id=fields.pop("report_id"), **fields)

    def value(self) -> Report:
        """The report."""
        stored = self.attribute_values
        fields = {name: stored[name] for name in Report.__dataclass_fields__ if name in stored}
        return Report(report_id=self.move_id, **{"first_day": None, **fields})


class ClosingsRow(Table):
    """Which days were closed, in the same table."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "moves"

    record: ClassVar[type[Any]] = Closings

    move_id = UnicodeAttribute(hash_key=True, default=_CLOSINGS)
    item = UnicodeAttribute(range_key=True, default=_CLOSINGS)
    first_day = DayAttribute()
    last_day = DayAttribute()

    by_list = MovesByTime()  # PynamoDB knows a table as the model has it that came first


_ALL = Listing(
    "reports",
    ReportRow.by_list.query,
    ReportRow.list,
    (ReportRow.made_at, ReportRow.move_id, ReportRow.item),
)


class DynamoReports:
    """The port ``Reports`` on DynamoDB."""

    def create(self, report: Report) -> bool:
        """Store a new one; false where there is one of its id.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        try:
            put(ReportRow.of(report), ReportRow.move_id.does_not_exist())
        except ConditionUnmet:
            return False
        return True

    def close(self, report: Report, before: Closings | None) -> None:
        """Store the report that closes a day, and note that day, in one transaction.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        first_day = before.first_day if before else report.last_day
        closings = ClosingsRow(first_day=first_day, last_day=report.last_day)
        unchanged = (
            ClosingsRow.last_day == before.last_day
            if before
            else ClosingsRow.move_id.does_not_exist()
        )
        transaction = Transaction()
        transaction.put("report", ReportRow.of(report), ReportRow.move_id.does_not_exist())
        transaction.put("closings", closings, unchanged)
        try:
            transaction.commit()
        except WritesRefused as refused:
            raise VersionConflict(refused.detail) from refused

    def closings(self) -> Closings | None:
        """Which days were closed, read consistently.

        Raises:
            TryAgain: see there.
        """
        row = find(ClosingsRow, _CLOSINGS, _CLOSINGS)
        return row.value() if row else None

    def get(self, report_id: str) -> Report | None:
        """The report, read consistently.

        Raises:
            TryAgain: see there.
        """
        row = find(ReportRow, report_id, _REPORTS)
        return row.value() if row else None

    def save(self, report: Report) -> Report:
        """Write it if its stored revision is still ``report.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        return put_next_revision(ReportRow, report, report.report_id)

    def list(self, limit: int, cursor: str | None) -> Page[Report]:
        """All reports, the newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _ALL.part(_REPORTS, limit, cursor, scan_index_forward=False)
        return Page([row.value() for row in rows], after)
