"""How long whoever lost a race waits before the next round."""

from __future__ import annotations

import random

FIRST_ROUND_SECONDS_MAX = 0.05


def jitter_seconds(round_number: int) -> float:
    """A random wait, twice as long at most with each round, so that racers do not meet again."""
    return random.uniform(0, FIRST_ROUND_SECONDS_MAX * 2**round_number)  # noqa: S311 - no secret
