"""The clock of the process."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """Tells the time of the machine. It cannot be set: tests hand out another clock instead."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC)
