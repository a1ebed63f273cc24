"""Lists that are read in parts, where all of one is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from chalicelib.services.ports import Page

T = TypeVar("T")


def all_of(read: Callable[[int, str | None], Page[T]], at_once: int) -> Iterator[T]:
    """Everything in a list, whatever the number of its parts.

    ``read`` answers at most so many items behind a cursor; ``at_once`` are read at a time.
    """
    page = read(at_once, None)
    yield from page.items
    while page.next is not None:
        page = read(at_once, page.next)
        yield from page.items
