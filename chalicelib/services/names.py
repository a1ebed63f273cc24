"""Names of people, places and things: of any script, in one form."""

from __future__ import annotations

import unicodedata

from chalicelib.domain.errors import FieldError

NAME_LENGTH_MAX = 60

_JOINERS = "\u200c\u200d"
"""Invisible, and yet part of how some scripts are written."""


def clean_name(text: str, field: str = "name") -> str:
    """The name as it is kept: composed (NFC), trimmed, with single spaces.

    Raises:
        FieldError: on ``field``: it is empty, longer than 60 characters, or has characters that
            nobody can see (control characters, marks that turn the direction of the text).
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 1 <= len(name) <= NAME_LENGTH_MAX:
        raise FieldError(field, f"must have 1 to {NAME_LENGTH_MAX} characters")
    if any(_is_invisible(character) for character in name):
        raise FieldError(field, "must not have control characters")
    return name


def folded(name: str) -> str:
    """A name as it is compared: without case, without double or outer spaces."""
    return " ".join(name.split()).casefold()


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character).startswith("C") and character not in _JOINERS
