"""The journal that services write to: the log and the metrics in one."""

from __future__ import annotations

from typing import Any

from chalicelib.runtime.log import Log
from chalicelib.runtime.metrics import Metrics


class StandardOutputJournal:
    """Writes events and counts to standard output. ``constant`` fields are on every event."""

    def __init__(self, **constant: str) -> None:
        self._log = Log(**constant)
        self._metrics = Metrics()

    def event(self, what: str, **fields: Any) -> None:
        """Write one line. Fields that must not be printed are left out."""
        self._log.event(what, **fields)

    def count(self, metric: str, value: int = 1, **dimensions: str) -> None:
        """Count something."""
        self._metrics.count(metric, value, **dimensions)
