"""Reading amounts: decimal texts in major units into exact minor units."""

from __future__ import annotations

import re
from fractions import Fraction

from chalicelib.domain.errors import FieldError
from chalicelib.domain.money import Currency, parse_amount, parse_price
from chalicelib.services.ports import Settings

_ZERO = re.compile(r"0{1,20}(\.0{1,20})?")
_UNITS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)


class Amounts:
    """Reads amounts of the company's currency, up to the largest that its settings allow."""

    def __init__(self, settings: Settings) -> None:
        self._currency = Currency(settings.currency, settings.currency_decimals)
        self._maximum_minor = settings.maximum_amount_minor

    def read(self, text: object, field: str) -> int:
        """An amount above zero.

        Raises:
            InvalidAmount: on ``field``.
        """
        return parse_amount(text, self._currency, self._maximum_minor, field)

    def read_or_zero(self, text: object, field: str) -> int:
        """An amount that may be left out, or be zero.

        Raises:
            InvalidAmount: on ``field``.
        """
        if text is None or (isinstance(text, str) and _ZERO.fullmatch(text)):
            return 0
        return self.read(text, field)

    def read_if_given(self, text: object, field: str) -> int | None:
        """An amount above zero, or none.

        Raises:
            InvalidAmount: on ``field``.
        """
        return None if text is None else self.read(text, field)

    def read_price(self, text: object, field: str) -> Fraction:
        """A price per kWh, in minor units; it may have more decimals than the currency.

        Raises:
            InvalidAmount: on ``field``.
        """
        return parse_price(text, self._currency, field)


def read_units(text: str, field: str) -> Fraction:
    """A number of kWh or days.

    Raises:
        FieldError: on ``field``: it is not a decimal text above zero.
    """
    if _UNITS.fullmatch(text) is None or Fraction(text) == 0:
        raise FieldError(field, "must be a decimal string above zero, such as 5.5")
    return Fraction(text)
