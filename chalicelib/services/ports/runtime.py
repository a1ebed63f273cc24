"""What the services ask of the process they run in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present moment, in UTC."""


class Journal(Protocol):
    """One line per state change, and the metrics. Never a token, never a secret, phones masked."""

    def about(self, **fields: Any) -> AbstractContextManager[None]:
        """Put these on every line that is written within."""

    def bind(self, **fields: Any) -> None:
        """Put these on every further line, until the surrounding ``about`` ends."""

    def event(self, what: str, **fields: Any) -> None:
        """Write one line."""

    def count(self, metric: str, value: float = 1, **dimensions: str) -> None:
        """Count something, by the dimensions and over all."""

    def gauge(self, metric: str, value: float, **dimensions: str) -> None:
        """Say how much of something there is now, by exactly these dimensions."""
