"""Times as providers write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_ISO_8601 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def utc_time(value: object) -> datetime | None:
    """A time in ISO 8601 with its zone, in UTC; ``None`` where it is none, or names no zone."""
    if not isinstance(value, str) or _ISO_8601.fullmatch(value) is None:
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
