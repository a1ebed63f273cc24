"""Metrics in CloudWatch's embedded metric format: a log line that CloudWatch counts.

Costs no request, and nothing to import. Every metric is described in ``infra/metrics.py``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from chalicelib.runtime.log import made_safe

_UNITS = {"Milliseconds": "Milliseconds", "Seconds": "Seconds", "Amount": "None"}
_NOTHING: Mapping[str, Any] = {}


def unit_of(metric: str) -> str:
    """CloudWatch's unit of a metric, by the end of its name; what else there is, is counted."""
    return next((unit for end, unit in _UNITS.items() if metric.endswith(end)), "Count")


class Metrics:
    """Prints one embedded metric per call. ``constant`` fields are on every line.

    ``namespace`` is the stack's: what one stage does must not ring the alarms of another.
    """

    def __init__(self, namespace: str, /, **constant: str) -> None:
        self._namespace = namespace
        self._constant = constant

    def count(
        self,
        metric: str,
        value: float = 1,
        context: Mapping[str, Any] = _NOTHING,
        /,
        **dimensions: str,
    ) -> None:
        """Add ``value`` to a metric. ``dimensions`` split it: few values each, never an id.

        Whatever splits it, it is counted over all too: an alarm watches one series, and no
        statistic adds up series on its own. ``context`` is on the line and splits nothing.
        """
        by = [sorted(dimensions), []] if dimensions else [[]]
        self._print(metric, value, by, context, dimensions)

    def gauge(
        self, metric: str, value: float, context: Mapping[str, Any] = _NOTHING, /, **dimensions: str
    ) -> None:
        """Say how much of something there is now, in the one series of these dimensions.

        What is there over all is said by itself: of a gauge, the sum of its parts would be right
        in no other statistic.
        """
        self._print(metric, value, [sorted(dimensions)], context, dimensions)

    def _print(
        self,
        metric: str,
        value: float,
        by: list[list[str]],
        context: Mapping[str, Any],
        dimensions: Mapping[str, str],
    ) -> None:
        declaration = {
            "Namespace": self._namespace,
            "Dimensions": by,
            "Metrics": [{"Name": metric, "Unit": unit_of(metric)}],
        }
        line = {
            "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [declaration]},
            **made_safe(context),
            **self._constant,
            **dimensions,
            metric: value,
        }
        print(json.dumps(line, separators=(",", ":")), flush=True)
