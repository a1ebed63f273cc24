"""What is paused: one item beside the company's settings, and who changed it."""

from __future__ import annotations

from pynamodb.attributes import UnicodeAttribute

from chalicelib.services.ports import Pause, PauseKind, Pauses, SettingsChange, VersionConflict
from chalicelib.store.attributes import DocumentAttribute, MomentAttribute, WholeNumberAttribute
from chalicelib.store.connection import Table
from chalicelib.store.dynamodb import find
from chalicelib.store.models import SettingsChangeRow
from chalicelib.store.transaction import Transaction, WritesRefused

_ROW = "pauses"


class PausesRow(Table):
    """All pauses, in the table of settings, under the name ``pauses``.

    ``paused`` has one document per kind; in it stands by key who has paused it, when, and why.
    """

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "settings"

    name = UnicodeAttribute(hash_key=True)
    paused = DocumentAttribute()
    revision = WholeNumberAttribute()


class DynamoPauses:
    """The port ``PausesStore`` on DynamoDB."""

    def get(self) -> Pauses:
        """What is paused, read consistently.

        Raises:
            TryAgain: see there.
        """
        row = find(PausesRow, _ROW)
        if row is None:
            return Pauses()
        return Pauses(
            tuple(
                Pause(
                    kind,
                    key,
                    said["reason"],
                    said["actor"],
                    MomentAttribute().deserialize(said["since"]),
                )
                for kind in PauseKind
                for key, said in sorted(row.paused.get(kind.value, {}).items())
            ),
            row.revision,
        )

    def save(self, pauses: Pauses, change: SettingsChange) -> Pauses:
        """Write it, and who changed what, in one transaction.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = Pauses(pauses.pauses, pauses.revision + 1)
        unchanged = (
            PausesRow.revision == pauses.revision
            if pauses.revision
            else PausesRow.name.does_not_exist()
        )
        transaction = Transaction()
        transaction.put("pauses", _row_of(written), unchanged)
        row = SettingsChangeRow.of(change, name=_ROW)
        transaction.put("change", row, SettingsChangeRow.revision.does_not_exist())
        try:
            transaction.commit()
        except WritesRefused as refused:
            raise VersionConflict(_ROW) from refused
        return written


def _row_of(pauses: Pauses) -> PausesRow:
    paused = {
        kind.value: {
            p.key: {
                "reason": p.reason,
                "actor": p.actor,
                "since": MomentAttribute().serialize(p.since),
            }
            for p in pauses.pauses
            if p.kind is kind
        }
        for kind in PauseKind
    }
    return PausesRow(name=_ROW, paused=paused, revision=pauses.revision)
