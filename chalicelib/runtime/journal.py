"""The journal that services write to: the log and the metrics in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chalicelib.runtime.log import Log
from chalicelib.runtime.metrics import Metrics

_context: dict[str, Any] = {}
"""What the process is at work on. One at a time: Lambda hands a process the next request or batch
when the last one is answered. So it is the process's, and what a thread of it writes (a call's
watch, say) carries it too."""


class StandardOutputJournal:
    """Writes events and counts to standard output. ``constant`` fields are on every line.

    ``namespace`` is that of the metrics.
    """

    def __init__(self, namespace: str, /, **constant: str) -> None:
        self._log = Log(**constant)
        self._metrics = Metrics(namespace, **constant)

    @contextmanager
    def about(self, **fields: Any) -> Iterator[None]:
        """Put these on every line that is written within; nothing of it is left behind."""
        around = dict(_context)
        self.bind(**fields)
        try:
            yield
        finally:
            _become(around)

    def bind(self, **fields: Any) -> None:
        """Put these on every further line, until the surrounding ``about`` ends."""
        _become({**_context, **fields})

    def event(self, what: str, **fields: Any) -> None:
        """Write one line. Fields that must not be printed are left out."""
        self._log.event(what, **{**_context, **fields})

    def count(self, metric: str, value: float = 1, **dimensions: str) -> None:
        """Count something, by the dimensions and over all."""
        self._metrics.count(metric, value, _context, **dimensions)

    def gauge(self, metric: str, value: float, **dimensions: str) -> None:
        """Say how much of something there is now, by exactly these dimensions."""
        self._metrics.gauge(metric, value, _context, **dimensions)


def _become(context: Mapping[str, Any]) -> None:
    _context.clear()
    _context.update(context)
