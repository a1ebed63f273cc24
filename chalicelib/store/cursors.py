"""Lists in parts. A cursor says behind which row a list goes on; outside it is opaque."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pynamodb.attributes import Attribute
from pynamodb.constants import NUMBER

from chalicelib.services.ports import InvalidCursor
from chalicelib.store.connection import Table
from chalicelib.store.dynamodb import reading

M = TypeVar("M", bound=Table)

_LENGTH_MAX = 1000
_KEY_LENGTH_MAX = 300
_DIGITS = re.compile(r"-?[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True)
class Listing(Generic[M]):
    """One list that is read in parts: a query over one partition of a table or an index.

    ``behind`` are the attributes that, with the partition, say where in the list a row stands.
    A cursor holds only these, so a forged one leads nowhere but to another place in the list.
    """

    name: str
    query: Callable[..., Iterable[M]]
    partition: Attribute[Any]
    behind: tuple[Attribute[Any], ...]

    def part(
        self, partition: Any, limit: int, cursor: str | None, **conditions: Any
    ) -> tuple[list[M], str | None]:
        """At most ``limit`` rows behind the cursor, and the next cursor if there are more.

        Raises:
            InvalidCursor: it was not made by this list.
            TryAgain: DynamoDB is busy or did not answer.
        """
        start = self._start(partition, cursor) if cursor is not None else None

        def request() -> list[M]:
            return list(
                self.query(
                    partition,
                    limit=limit + 1,  # one more than asked for tells whether there are more
                    page_size=limit + 1,
                    last_evaluated_key=start,
                    **conditions,
                )
            )

        rows = reading(request)
        if len(rows) <= limit:
            return rows, None
        return rows[:limit], self._cursor(rows[limit - 1])

    def _cursor(self, row: M) -> str:
        return encoded(self.name, *self._keys(row))

    def _keys(self, row: M) -> list[str]:
        return [a.serialize(getattr(row, a.attr_name)) for a in self.behind]

    def _start(self, partition: Any, cursor: str) -> dict[str, dict[str, str]]:
        keys = decoded(self.name, cursor, len(self.behind))
        for attribute, key in zip(self.behind, keys, strict=True):
            if attribute.attr_type == NUMBER and not _DIGITS.fullmatch(key):
                raise InvalidCursor
        return {
            self.partition.attr_name: {
                self.partition.attr_type: self.partition.serialize(partition)
            },
            **{a.attr_name: {a.attr_type: key} for a, key in zip(self.behind, keys, strict=True)},
        }


def encoded(name: str, *keys: str) -> str:
    """The cursor of the list of that name behind the row with those keys."""
    text = json.dumps([name, *keys], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decoded(name: str, cursor: str, count: int) -> list[str]:
    """The ``count`` keys in a cursor of the list of that name.

    Raises:
        InvalidCursor: it is not such a cursor.
    """
    if len(cursor) > _LENGTH_MAX:
        raise InvalidCursor
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidCursor from error
    if not isinstance(parts, list) or len(parts) != count + 1 or parts[0] != name:
        raise InvalidCursor
    keys = parts[1:]
    if not all(isinstance(key, str) and 0 < len(key) <= _KEY_LENGTH_MAX for key in keys):
        raise InvalidCursor
    return keys
