"""DynamoDB's own size formula, and what a write costs by it.

A text takes its bytes in UTF-8; a number about one byte for two digits and one more; true, false
and null one byte; a list or map three bytes, and one byte for each element besides its content.
Every attribute also takes the bytes of its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

UNIT_BYTES = 1024


def item_size(item: Mapping[str, Any]) -> int:
    """The size of an item, given as DynamoDB's protocol has it, in bytes."""
    return sum(_text_size(name) + _value_size(value) for name, value in item.items())


def write_units(size: int, *, transactional: bool = False) -> int:
    """The write units for an item of that size in bytes."""
    units = max(1, math.ceil(size / UNIT_BYTES))
    return 2 * units if transactional else units


def _value_size(stored: Mapping[str, Any]) -> int:
    [(kind, value)] = stored.items()
    match kind:
        case "S":
            return _text_size(value)
        case "N":
            return _number_size(value)
        case "BOOL" | "NULL":
            return 1
        case "M":
            return 3 + sum(1 + _text_size(n) + _value_size(v) for n, v in value.items())
        case "L":
            return 3 + sum(1 + _value_size(element) for element in value)
        case _:
            raise ValueError(f"we store nothing of type {kind}")


def _text_size(text: str) -> int:
    return len(text.encode())


def _number_size(digits: str) -> int:
    """At most one byte more than half the digits; the sign of a negative number takes one too."""
    significant = digits.lstrip("-").strip("0") or "0"
    return math.ceil(len(significant) / 2) + 1 + digits.startswith("-")
