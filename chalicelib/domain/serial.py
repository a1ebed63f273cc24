"""Serial numbers: one normal form, on every write and on every look-up."""

from __future__ import annotations

import re
import unicodedata

from chalicelib.domain.errors import InvalidSerial

TEXT_LENGTH_MAX = 200
"""No serial is written with so many characters, however many spaces and dashes it has."""

_NORMAL = re.compile(r"[A-Z0-9._/]{1,40}")

_DASHES_AND_BLANKS_BY_CODE = frozenset("\u2212\u00ad\u200b\ufeff")
"""Minus sign, soft hyphen and the zero-width spaces: not in the Unicode classes below."""


def normalise_serial(text: object, field: str = "serial_number") -> str:
    """The normal form of a serial number, as people and providers write it.

    NFKC, trimmed, upper case, all spaces and dashes removed, leading zeros kept; then 1 to 40
    of ``A-Z 0-9 . _ /``. Normalising twice changes nothing. Letters that are not ASCII are never
    turned into ASCII ones by the upper case (``ß`` is not ``SS``): that would name another device.

    Raises:
        InvalidSerial: no serial number can be made of it.
    """
    if not isinstance(text, str) or len(text) > TEXT_LENGTH_MAX:
        raise InvalidSerial(field)
    kept = "".join(c for c in unicodedata.normalize("NFKC", text) if not _is_ignored(c))
    if not kept.isascii() or _NORMAL.fullmatch(kept.upper()) is None:
        raise InvalidSerial(field)
    return kept.upper()


def _is_ignored(character: str) -> bool:
    """Whether it is a space or a dash, of any script."""
    return (
        character.isspace()
        or unicodedata.category(character) == "Pd"
        or character in _DASHES_AND_BLANKS_BY_CODE
    )
