"""STS, the standard of prepaid meters with a keypad: what its energy tokens carry and look like."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fractions import Fraction

from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError
from chalicelib.domain.money import format_units
from chalicelib.domain.payment import Vend
from chalicelib.services.ports import VendRefused

STEP = Fraction(1, 10)
"""An energy token carries tenths of a kWh (IEC 62055-41): what is finer would be lost."""

_TOKEN = re.compile(r"[0-9]{20}")
_BLANKS_AND_DASHES = re.compile(r"[\s-]+")
_KWH = re.compile(r"[0-9]+(\.[0-9])?")


def token_of(value: object) -> str | None:
    """The 20 digits of a token, spaces and dashes aside; ``None`` if it is none."""
    digits = _BLANKS_AND_DASHES.sub("", value) if isinstance(value, str) else ""
    return digits if _TOKEN.fullmatch(digits) else None


def typed_token(text: str | None) -> str:
    """The token that a person typed in.

    Raises:
        FieldError: it cannot be one.
    """
    token = token_of(text)
    if token is None:
        raise FieldError("token", "must be 20 digits")
    return token


def kwh_of(vend: Vend) -> str:
    """The kWh of a vend as a decimal text with at most one decimal, above zero.

    Raises:
        VendRefused: it is no vend of energy (``not_offered``), or finer than a token can carry
            (``units_out_of_range``).
    """
    if vend.kind is not VendKind.ENERGY or vend.units is None or vend.units <= 0:
        raise VendRefused("not_offered")
    kwh = format_units(vend.units)
    if _KWH.fullmatch(kwh) is None:
        raise VendRefused("units_out_of_range")
    return kwh


def with_amount(asked: Mapping[str, object], kwh: str, name: str = "amount") -> bytes:
    """A request's JSON with its amount. It goes in as it is written: no float ever holds it."""
    return f'{json.dumps(asked)[:-1]}, "{name}": {kwh}}}'.encode()
