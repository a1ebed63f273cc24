"""Imports and exports.

An import is an item; each of its errors, and each part of it that is done, is one more under the
same id. Only imports and exports themselves have the attribute ``list``, and so are in the index.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from pynamodb.attributes import BooleanAttribute, UnicodeAttribute
from pynamodb.expressions.update import Action
from pynamodb.indexes import AllProjection

from chalicelib.services.ports import (
    ConditionFailed,
    Export,
    ExportFile,
    ExportState,
    FileFormat,
    Import,
    ImportState,
    Page,
    RowError,
)
from chalicelib.store.attributes import (
    ChoiceAttribute,
    MomentAttribute,
    WholeNumberAttribute,
    present,
    records,
)
from chalicelib.store.connection import Index, Table
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import find, put, put_next_revision
from chalicelib.store.transaction import Transaction, WritesRefused

_ITSELF = "itself"
_IMPORTS, _EXPORTS = "import", "export"
_ERROR, _PART = "error#", "part#"


class MovesByTime(Index):
    """All imports, or all exports."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_list"
        projection = AllProjection()

    list = UnicodeAttribute(hash_key=True)
    made_at = MomentAttribute(range_key=True)


class ImportRow(Table):
    """An import."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "moves"

    record: ClassVar[type[Any]] = Import

    move_id = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True, default=_ITSELF)
    list = UnicodeAttribute(default=_IMPORTS)
    made_at = MomentAttribute()
    format = ChoiceAttribute(FileFormat)
    content_type = UnicodeAttribute()
    content_hash = UnicodeAttribute()
    state = ChoiceAttribute(ImportState)
    made_by = UnicodeAttribute()
    rows = WholeNumberAttribute(null=True)
    error_count = WholeNumberAttribute(null=True)
    to_complete = WholeNumberAttribute(null=True)
    parts = WholeNumberAttribute(null=True)
    parts_done = WholeNumberAttribute(null=True)
    written_rows = WholeNumberAttribute(null=True)
    failed_rows = WholeNumberAttribute(null=True)
    written_by = UnicodeAttribute(null=True)
    revision = WholeNumberAttribute()

    by_list = MovesByTime()

    @classmethod
    def of(cls, value: Import, **more: Any) -> ImportRow:
        """The row for an import."""
        fields = present(value)
        return cls(move_id=fields.pop("import_id"), **fields)

    def value(self) -> Import:
        """The import. With its last part it is done."""
        moving: Import = _value(self, import_id=self.move_id)
        if moving.state is ImportState.WRITING and moving.parts_done == moving.parts:
            return replace(moving, state=ImportState.DONE)
        return moving


class ImportErrorRow(Table):
    """One thing that is wrong in an import."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "moves"

    record: ClassVar[type[Any]] = RowError

    move_id = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True)
    line = WholeNumberAttribute()
    column = UnicodeAttribute(null=True)
    message = UnicodeAttribute()

    by_list = MovesByTime()  # PynamoDB knows a table as the model has it that came first


class ImportPartRow(Table):
    """A part of an import that is done."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "moves"

    move_id = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True)

    by_list = MovesByTime()


class ExportRow(Table):
    """An export."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "moves"

    record: ClassVar[type[Any]] = Export

    move_id = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True, default=_ITSELF)
    list = UnicodeAttribute(default=_EXPORTS)
    made_at = MomentAttribute()
    state = ChoiceAttribute(ExportState)
    made_by = UnicodeAttribute()
    with_keys = BooleanAttribute(null=True)
    next_number = WholeNumberAttribute()
    last_number = WholeNumberAttribute(null=True)
    cursor = UnicodeAttribute(null=True)
    customers = WholeNumberAttribute(null=True)
    devices = WholeNumberAttribute(null=True)
    files = records(ExportFile)
    revision = WholeNumberAttribute()

    by_list = MovesByTime()

    @classmethod
    def of(cls, value: Export, **more: Any) -> ExportRow:
        """The row for an export."""
        fields = present(value)
        return cls(move_id=fields.pop("export_id"), **fields)

    def value(self) -> Export:
        """The export."""
        moving: Export = _value(self, export_id=self.move_id)
        return moving


def _value(row: Table, **more: str) -> Any:
    """What a row stores, under the id that it has outside."""
    stored = row.attribute_values
    fields = {name: stored[name] for name in row.record.__dataclass_fields__ if name in stored}
    return row.record(**fields, **more)


_BY_TIME = (ImportRow.made_at, ImportRow.move_id, ImportRow.item)
_ALL_IMPORTS = Listing("imports", ImportRow.by_list.query, ImportRow.list, _BY_TIME)
_ALL_EXPORTS = Listing("exports", ExportRow.by_list.query, ExportRow.list, _BY_TIME)
_ERRORS = Listing(
    "imports/errors", ImportErrorRow.query, ImportErrorRow.move_id, (ImportErrorRow.item,)
)


class DynamoImports:
    """The port ``Imports`` on DynamoDB."""

    def create(self, moving: Import) -> None:
        """Store a new one.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        put(ImportRow.of(moving))

    def get(self, import_id: str) -> Import | None:
        """The import, read consistently.

        Raises:
            TryAgain: see there.
        """
        row = find(ImportRow, import_id, _ITSELF)
        return row.value() if row else None

    def save(self, moving: Import) -> Import:
        """Write it if its stored revision is still ``moving.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        return put_next_revision(ImportRow, moving, moving.import_id)

    def finish_part(self, import_id: str, part: int, written: int, failed: int) -> None:
        """Count a part as done, once, in one transaction.

        Raises:
            ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        done = ImportPartRow(move_id=import_id, item=f"{_PART}{part:05}")
        counted: list[Action] = [
            ImportRow.parts_done.add(1),
            ImportRow.written_rows.add(written),
            ImportRow.failed_rows.add(failed),
        ]
        itself = ImportRow(move_id=import_id, item=_ITSELF)
        transaction = Transaction()
        transaction.put("part", done, ImportPartRow.item.does_not_exist())
        transaction.update("import", itself, counted, ImportRow.state == ImportState.WRITING)
        try:
            transaction.commit()
        except WritesRefused as refused:
            raise ConditionFailed("part") from refused

    def add_errors(self, import_id: str, errors: Iterable[RowError]) -> None:
        """Keep what is wrong, under keys that sort as the rows do.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        for error in errors:
            key = f"{_ERROR}{error.line:07}#{error.column}"
            put(ImportErrorRow.of(error, move_id=import_id, item=key))

    def errors(self, import_id: str, limit: int, cursor: str | None) -> Page[RowError]:
        """What is wrong, by row.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        of_errors = ImportErrorRow.item.startswith(_ERROR)
        rows, after = _ERRORS.part(import_id, limit, cursor, range_key_condition=of_errors)
        return Page([row.value() for row in rows], after)

    def list(self, limit: int, cursor: str | None) -> Page[Import]:
        """All imports, the newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _ALL_IMPORTS.part(_IMPORTS, limit, cursor, scan_index_forward=False)
        return Page([row.value() for row in rows], after)


class DynamoExports:
    """The port ``Exports`` on DynamoDB."""

    def create(self, moving: Export) -> None:
        """Store a new one.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        put(ExportRow.of(moving))

    def get(self, export_id: str) -> Export | None:
        """The export, read consistently.

        Raises:
            TryAgain: see there.
        """
        row = find(ExportRow, export_id, _ITSELF)
        return row.value() if row else None

    def save(self, moving: Export) -> Export:
        """Write it if its stored revision is still ``moving.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        return put_next_revision(ExportRow, moving, moving.export_id)

    def list(self, limit: int, cursor: str | None) -> Page[Export]:
        """All exports, the newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _ALL_EXPORTS.part(_EXPORTS, limit, cursor, scan_index_forward=False)
        return Page([row.value() for row in rows], after)
