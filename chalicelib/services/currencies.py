"""The currencies of the world and their decimals (ISO 4217)."""

from __future__ import annotations

from functools import cache

from chalicelib.domain.money import Currency


@cache
def currency_of(code: str) -> Currency | None:
    """The currency of that code; ``None`` where there is none, or none that has decimals (gold)."""
    # Loaded by whoever changes the settings: it reads a table of all currencies.
    from iso4217 import Currency as Listed

    try:
        decimals = Listed(code).exponent
    except ValueError:
        return None
    return None if decimals is None else Currency(code, decimals)
