"""Amounts, prices and units: from the texts at the edge to exact numbers, and back.

Inside, an amount is an integer in the currency's minor unit; prices, carries and units are
``Fraction``. No float ever touches them. At the edge an amount is a decimal string in major
units, such as ``"1500.00"``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from chalicelib.domain.errors import InvalidAmount

TEXT_LENGTH_MAX = 40
"""Longer texts are no amounts; the limit also bounds the work done on hostile input."""

PRICE_DECIMALS_MAX = 6

_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
_FRACTION = re.compile(r"(-?[0-9]+)(?:/([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Currency:
    """The company's currency. ``decimals`` follows from ISO 4217 (KES 2, UGX 0, TND 3)."""

    code: str
    decimals: int

    @property
    def minor_per_major(self) -> int:
        """How many minor units one major unit has."""
        return int(10**self.decimals)


def parse_amount(
    text: object, currency: Currency, maximum_minor: int, field: str = "amount"
) -> int:
    """Read an amount in major units; answer it in minor units.

    Only ASCII digits with at most one point between them are an amount: no sign, exponent,
    space or separator. Zeros beyond the currency's decimals are harmless; other digits are not.

    Raises:
        InvalidAmount: not such a text, not above zero, or above ``maximum_minor``.
    """
    amount = _parse_decimal(text, field) * currency.minor_per_major
    if amount.denominator != 1:
        raise InvalidAmount(field, f"{currency.code} has {currency.decimals} decimals")
    if amount <= 0:
        raise InvalidAmount(field, "must be above zero")
    if amount > maximum_minor:
        raise InvalidAmount(field, f"must be at most {format_minor(maximum_minor, currency)}")
    return int(amount)


def parse_price(text: object, currency: Currency, field: str = "price_per_kwh") -> Fraction:
    """Read a price per kWh in major units; answer it in minor units, exactly.

    A price may have more decimals than the currency, but at most six.

    Raises:
        InvalidAmount: not a decimal text, not above zero, or with too many decimals.
    """
    price = _parse_decimal(text, field)
    if (price * 10**PRICE_DECIMALS_MAX).denominator != 1:
        raise InvalidAmount(field, f"must have at most {PRICE_DECIMALS_MAX} decimals")
    if price <= 0:
        raise InvalidAmount(field, "must be above zero")
    return price * currency.minor_per_major


def format_minor(amount_minor: int, currency: Currency) -> str:
    """An amount in major units, always with the currency's decimals: ``"1500.00"``."""
    return format_exact(Fraction(amount_minor), currency)


def format_exact(amount_minor: Fraction, currency: Currency) -> str:
    """An exact amount in major units, with as many decimals as it needs.

    At least the currency's decimals are shown. A number that no decimal can express is shown
    as a fraction (``"1/300"``), never rounded.
    """
    return _format_decimal(amount_minor / currency.minor_per_major, currency.decimals)


def format_price(price_minor: Fraction, currency: Currency) -> str:
    """A price per kWh in major units: ``"25.00"``, ``"25.125"``."""
    return format_exact(price_minor, currency)


def format_units(units: Fraction) -> str:
    """Units (kWh or days) as an exact decimal string without needless zeros: ``"5.5"``, ``"7"``."""
    return _format_decimal(units, 0)


def fraction_text(number: Fraction) -> str:
    """An exact number as text: ``"1/2"``, ``"3"``, ``"0"``. ``parse_fraction`` reads it back."""
    return str(number)


def parse_fraction(text: str) -> Fraction:
    """Read what ``fraction_text`` wrote.

    Raises:
        ValueError: the text is not a whole number or a fraction of two.
    """
    match = _FRACTION.fullmatch(text)
    if match is None or (match[2] is not None and int(match[2]) == 0):
        raise ValueError(f"not a fraction: {text!r}")
    return Fraction(int(match[1]), int(match[2] or 1))


def _parse_decimal(text: object, field: str) -> Fraction:
    if not isinstance(text, str) or len(text) > TEXT_LENGTH_MAX:
        raise InvalidAmount(field, "must be a decimal string such as 1500.00")
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise InvalidAmount(field, "must be a decimal string such as 1500.00")
    whole, decimals = match[1], match[2] or ""
    return Fraction(int(whole + decimals), int(10 ** len(decimals)))


def _format_decimal(number: Fraction, decimals_min: int) -> str:
    """``number`` in full, with at least ``decimals_min`` decimals; a fraction if it never ends."""
    decimals = _decimals_needed(number.denominator)
    if decimals is None:
        return fraction_text(number)
    decimals = max(decimals, decimals_min)
    digits = str(abs(int(number * 10**decimals))).rjust(decimals + 1, "0")
    whole, rest = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    return ("-" if number < 0 else "") + whole + ("." + rest if rest else "")


def _decimals_needed(denominator: int) -> int | None:
    """The decimals after which a fraction in lowest terms ends; ``None`` if it never does.

    It ends exactly if the denominator has no other prime factors than 2 and 5.
    """
    twos = _multiplicity(denominator, 2)
    fives = _multiplicity(denominator, 5)
    return max(twos, fives) if denominator == 2**twos * 5**fives else None


def _multiplicity(number: int, prime: int) -> int:
    times = 0
    while number % prime == 0:
        number //= prime
        times += 1
    return times
