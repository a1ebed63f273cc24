"""Marks: how far something was read, kept among the guards."""

from __future__ import annotations

from datetime import datetime

from chalicelib.store.attributes import MomentAttribute
from chalicelib.store.dynamodb import find, put
from chalicelib.store.models import GuardRow


class DynamoMarks:
    """The port ``Marks`` on DynamoDB."""

    def get(self, name: str) -> datetime | None:
        """The moment of that mark, read consistently; ``None``: it was never set."""
        row = find(GuardRow, name)
        return MomentAttribute().deserialize(row.held_by) if row else None

    def set(self, name: str, at: datetime) -> None:
        """Set the mark. Of two who set it one wins: something is then read twice.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        put(GuardRow(guard_id=name, held_by=MomentAttribute().serialize(at)))
