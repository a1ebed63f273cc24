"""The company's settings."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.services.ports import Page, Settings, SettingsChange, VersionConflict
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import ConditionUnmet, find, put
from chalicelib.store.models import GuardRow, SettingsChangeRow, SettingsRow
from chalicelib.store.transaction import Transaction, WritesRefused

_ROW = "company"
_MONEY_FIXED = "money_fixed"
_CHANGES = Listing(
    "settings changes",
    SettingsChangeRow.query,
    SettingsChangeRow.name,
    (SettingsChangeRow.revision,),
)


class DynamoSettings:
    """The port ``SettingsStore`` on DynamoDB."""

    def __init__(self) -> None:
        self._money_fixed = False

    def get(self) -> Settings:
        """The settings as stored, read consistently; the defaults where none are."""
        row = find(SettingsRow, _ROW)
        return row.value() if row else Settings()

    def save(self, settings: Settings, change: SettingsChange) -> Settings:
        """Write them, and who changed what, in one transaction.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = replace(settings, revision=settings.revision + 1)
        unchanged = (
            SettingsRow.revision == settings.revision
            if settings.revision
            else SettingsRow.name.does_not_exist()
        )
        transaction = Transaction()
        transaction.put("settings", SettingsRow.of(written, name=_ROW), unchanged)
        row = SettingsChangeRow.of(change)
        transaction.put("change", row, SettingsChangeRow.revision.does_not_exist())
        try:
            transaction.commit()
        except WritesRefused as refused:
            raise VersionConflict("settings") from refused
        return written

    def changes(self, limit: int, cursor: str | None) -> Page[SettingsChange]:
        """What was changed, the newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _CHANGES.part(_ROW, limit, cursor, scan_index_forward=False)
        return Page([row.value() for row in rows], after)

    def money_is_fixed(self) -> bool:
        """Whether a payment exists, so that currency and time zone may not change any more."""
        return find(GuardRow, _MONEY_FIXED) is not None

    def fix_money(self) -> None:
        """Note, for good, that a payment exists. One request per process, none after it.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        if self._money_fixed:
            return
        try:
            row = GuardRow(guard_id=_MONEY_FIXED, held_by="payment")
            put(row, GuardRow.guard_id.does_not_exist())
        except ConditionUnmet:
            pass  # an earlier process has
        self._money_fixed = True
