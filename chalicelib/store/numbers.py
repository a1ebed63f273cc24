"""Integers that are given once: the numbers of customers, sites, tariffs."""

from __future__ import annotations

from chalicelib.store.dynamodb import find, writing
from chalicelib.store.models import CounterRow


def next_number(counter: str) -> int:
    """The next integer of that counter, from 1, in one request.

    A request whose answer is lost is repeated and takes another number: gaps, never twins.

    Raises:
        TryAgain, OutcomeUnknown: see there.
    """
    row = CounterRow(name=_key(counter))
    writing(lambda: row.update([CounterRow.last.add(1)]))
    return row.last


def last_number(counter: str) -> int:
    """The integer of that counter that was given last, read consistently; 0 where none was.

    Raises:
        TryAgain: see there.
    """
    row = find(CounterRow, _key(counter))
    return row.last if row else 0


def _key(counter: str) -> str:
    return f"counter#{counter}"
