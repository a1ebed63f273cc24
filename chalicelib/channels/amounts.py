"""Amounts as providers write them: decimal texts in major units, and back."""

from __future__ import annotations

import re
from fractions import Fraction

from chalicelib.channels.strict_json import Number
from chalicelib.domain.errors import InvalidAmount, MwangaError
from chalicelib.domain.money import Currency, format_minor, parse_amount
from chalicelib.services.currencies import currency_of

AMOUNT_MINOR_MAX = 10**12
"""No report names more than ten thousand million of any currency. What may be *paid* is judged
later: money that has moved is stored, however much it is."""

_CODE = re.compile(r"[A-Z]{3}")


class UnusableAmount(MwangaError):
    """What was paid cannot be read, is not above zero, or is no whole number of minor units."""

    code = "unusable_amount"


def amount_minor(written: object, currency: Currency) -> int:
    """An amount in major units, as a text or a JSON number, in minor units.

    Raises:
        UnusableAmount: see there.
    """
    text = written.text if isinstance(written, Number) else written
    if isinstance(text, str):
        text = text.strip()
    try:
        return parse_amount(text, currency, AMOUNT_MINOR_MAX)
    except InvalidAmount as wrong:
        raise UnusableAmount(wrong.detail) from None


def money(written: object, code: object) -> tuple[int, str]:
    """An amount in major units of the currency of that code, in its minor units; and the code.

    Raises:
        UnusableAmount: see there; or there is no such currency.
    """
    known = isinstance(code, str) and _CODE.fullmatch(code) is not None
    currency = currency_of(str(code)) if known else None
    if currency is None:
        raise UnusableAmount("unknown currency")
    return amount_minor(written, currency), currency.code


def is_in_hundredths(amount: int, currency: Currency) -> bool:
    """Whether an amount has no more than two decimals: many providers take no others."""
    return amount * 100 % currency.minor_per_major == 0


def check_hundredths(amount: int, currency: Currency) -> None:
    """That a payment of that amount has no more than two decimals.

    Raises:
        InvalidAmount: it has.
    """
    if not is_in_hundredths(amount, currency):
        raise InvalidAmount("amount", "must have at most two decimals")


def major(amount: int, currency: Currency) -> str:
    """An amount in major units, with the currency's decimals: ``"1500.00"``."""
    return format_minor(amount, currency)


def whole_major(amount: int, currency: Currency) -> int | None:
    """An amount as a whole number of major units; ``None`` where it is none."""
    exact = Fraction(amount, currency.minor_per_major)
    return int(exact) if exact.denominator == 1 else None


def shortest_major(amount: int, currency: Currency) -> str:
    """An amount in major units without needless decimals: ``"1500"``, ``"1500.50"``."""
    whole = whole_major(amount, currency)
    return major(amount, currency) if whole is None else str(whole)
