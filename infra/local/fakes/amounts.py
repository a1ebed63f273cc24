"""Amounts in whole units of a currency, with decimals where there are some."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from infra.local.fakes.reading import Field, number, numeral

_NUMBER = number(2)
_NUMERAL = numeral(2)


def _is_amount(value: Any) -> bool:
    return _NUMBER.accepts(value) or _NUMERAL.accepts(
        str(value) if isinstance(value, float) else value
    )


AMOUNT = Field(f"{_NUMBER.must_be}, or the same as a text", _is_amount)


def amount_of(value: Any) -> Decimal:
    """What :data:`AMOUNT` accepted, exactly."""
    return Decimal(str(value))


def shown(amount: Decimal) -> int | float:
    """The amount as a JSON number: without a point where there are no decimals."""
    return int(amount) if amount == int(amount) else float(amount)
