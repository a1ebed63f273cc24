"""The serial number of a claim: what a customer typed, in the form in which we keep it."""

from __future__ import annotations

from chalicelib.domain.errors import InvalidSerial
from chalicelib.domain.serial import normalise_serial

SHOWN_LENGTH_MAX = 40


def claimed_serial(text: str) -> str:
    """The normal form of a serial number; where there is none, what a person can still read.

    What cannot be a serial number is kept trimmed and shortened, and always with a character
    that no serial has: shortened or not, it can never name somebody's device.
    """
    try:
        return normalise_serial(text)
    except InvalidSerial:
        return _readable(text)


def _readable(text: str) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in text.strip()[: SHOWN_LENGTH_MAX - 1])
    return shown if shown and not _is_serial(shown) else shown + "?"


def _is_serial(text: str) -> bool:
    try:
        normalise_serial(text)
    except InvalidSerial:
        return False
    return True
