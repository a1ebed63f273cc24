"""Integers that are given once: the numbers of customers, sites, tariffs."""

from __future__ import annotations

from chalicelib.store.dynamodb import writing
from chalicelib.store.models import CounterRow


def next_number(counter: str) -> int:
    """The next integer of that counter, from 1, in one request.

    A request whose answer is lost is repeated and takes another number: gaps, never twins.

    Raises:
        TryAgain, OutcomeUnknown: see there.
    """
    row = CounterRow(name=f"counter#{counter}")
    writing(lambda: row.update([CounterRow.last.add(1)]))
    return row.last
