"""Phone numbers: as people write them, and as they are kept (E.164)."""

from __future__ import annotations

import re
import unicodedata

from chalicelib.domain.errors import FieldError

_WRITTEN = re.compile(r"\+?[0-9]{1,20}")
_IGNORED = re.compile(r"[\s()\u002d\u2010-\u2015\u2212]+")
_INTERNATIONAL_PREFIX = re.compile(r"0{2,3}(?=[1-9])")


class InvalidPhone(FieldError):
    """The text is not a phone number, or not a whole one."""

    def __init__(self, field: str) -> None:
        super().__init__(field, "must be a phone number such as +254712345678 or 0712 345 678")


def normalise_phone(text: str, country: str, field: str = "phone") -> str:
    """The number in E.164, such as ``+254712345678``.

    ``+``, ``00``, spaces, dashes and brackets are taken as people use them; a number without
    its country's code is one of ``country`` (two letters).

    Raises:
        InvalidPhone: on ``field``.
    """
    phone = _e164(_digits(text), country)
    if phone is None:
        raise InvalidPhone(field)
    return phone


def searched_phone(text: str, country: str) -> str | None:
    """The number that somebody looks for; the ``+`` may be missing, as it gets lost in addresses.

    ``None`` where the text is no number, and so nobody's.
    """
    digits = _digits(text)
    return _e164(digits, country) or _e164(f"+{digits}", country)


def _digits(text: str) -> str:
    digits = _IGNORED.sub("", unicodedata.normalize("NFKC", text)[:60])
    return _INTERNATIONAL_PREFIX.sub("+", digits, count=1) if digits.startswith("00") else digits


def _e164(digits: str, country: str) -> str | None:
    # Imported here: its tables cost 40 ms, which the queues' functions need not pay.
    from phonenumbers import (
        NumberParseException,
        PhoneNumberFormat,
        PhoneNumberType,
        ValidationResult,
        format_number,
        is_possible_number_for_type_with_reason,
        is_valid_number,
        parse,
    )

    if _WRITTEN.fullmatch(digits) is None:
        return None
    try:
        number = parse(digits, country)
    except NumberParseException:
        return None
    # New ranges are given out faster than the library's tables follow, so a number of the right
    # length for a mobile phone will do.
    length = is_possible_number_for_type_with_reason(number, PhoneNumberType.MOBILE)
    if length is not ValidationResult.IS_POSSIBLE and not is_valid_number(number):
        return None
    return str(format_number(number, PhoneNumberFormat.E164))
