"""Short lists that are at hand as a whole, cut into parts like all others."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from chalicelib.api.reading import whole_number
from chalicelib.services.ports import InvalidCursor, Page

T = TypeVar("T")


def part_of(
    items: Sequence[T], limit: int, cursor: str | None, number: Callable[[T], int]
) -> Page[T]:
    """At most ``limit`` of the items behind the cursor, in the order of their numbers.

    Raises:
        InvalidCursor: it was not made here.
    """
    behind = -1 if cursor is None else _number_in(cursor)
    left = [item for item in sorted(items, key=number) if number(item) > behind]
    part = left[:limit]
    return Page(part, _cursor(number(part[-1])) if len(left) > limit else None)


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(str(number).encode()).decode()


def _number_in(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise InvalidCursor("not a cursor of this list") from None
    number = whole_number(text)
    if number is None:
        raise InvalidCursor("not a cursor of this list")
    return number
