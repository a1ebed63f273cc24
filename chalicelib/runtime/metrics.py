"""Metrics in CloudWatch's embedded metric format: a log line that CloudWatch counts.

Costs no request, and nothing to import.
"""

from __future__ import annotations

import json
import time

NAMESPACE = "Mwanga"


class Metrics:
    """Prints one embedded metric per call."""

    def count(self, metric: str, value: int = 1, **dimensions: str) -> None:
        """Add ``value`` to a metric. ``dimensions`` split it: few values each, never an id.

        Whatever splits it, it is counted over all too: an alarm watches one series, and no
        statistic adds up series on its own.

        A name that ends in ``Milliseconds`` is a duration; everything else counts things.
        """
        unit = "Milliseconds" if metric.endswith("Milliseconds") else "Count"
        declaration = {
            "Namespace": NAMESPACE,
            "Dimensions": [sorted(dimensions), []] if dimensions else [[]],
            "Metrics": [{"Name": metric, "Unit": unit}],
        }
        line = {
            "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [declaration]},
            **dimensions,
            metric: value,
        }
        print(json.dumps(line, separators=(",", ":")), flush=True)
