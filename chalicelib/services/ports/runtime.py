"""What the services ask of the process they run in."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present moment, in UTC."""


class Journal(Protocol):
    """One line per state change, and one metric. Never a token, never a secret, phones masked."""

    def event(self, what: str, **fields: Any) -> None:
        """Write one line."""

    def count(self, metric: str, value: int = 1, **dimensions: str) -> None:
        """Count something."""
