"""The company's settings."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.services.ports import Settings, VersionConflict
from chalicelib.store.dynamodb import ConditionUnmet, find, put
from chalicelib.store.models import GuardRow, SettingsRow

_ROW = "company"
_MONEY_FIXED = "money_fixed"


class DynamoSettings:
    """The port ``SettingsStore`` on DynamoDB."""

    def __init__(self) -> None:
        self._money_fixed = False

    def get(self) -> Settings:
        """The settings as stored, read consistently; the defaults where none are."""
        row = find(SettingsRow, _ROW)
        return row.value() if row else Settings()

    def save(self, settings: Settings) -> Settings:
        """Write them if their stored revision is still ``settings.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = replace(settings, revision=settings.revision + 1)
        condition = (
            SettingsRow.revision == settings.revision
            if settings.revision
            else SettingsRow.name.does_not_exist()
        )
        try:
            put(SettingsRow.of(written, name=_ROW), condition)
        except ConditionUnmet as unmet:
            raise VersionConflict("settings") from unmet
        return written

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
