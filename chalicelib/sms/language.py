"""What a language must be able to say: every text of every SMS, as one typed record.

The texts are templates of ``str.format``. They keep to the letters of the GSM alphabet, because
a single other letter makes an SMS twice as long; that is why some accents are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.domain.errors import Refusal


@dataclass(frozen=True, slots=True)
class Language:
    """The texts of one language.

    Words for the parts of a payment: ``appliance`` (where its name is not known), ``arrears`` of
    a device that is paid off, ``access_rate``, ``energy``, ``time``, ``credit`` (kept for the
    next payment) and ``credit_used``.
    """

    code: str

    appliance: str
    arrears: str
    access_rate: str
    energy: str
    time: str
    credit: str
    credit_used: str

    thanks: str
    """``{name}``: the greeting, where we know whom we greet."""
    thanks_to_nobody: str
    day: str
    days: str
    """``{number}`` days."""

    energy_typed: str
    """``{units}`` kWh for ``{serial_number}``, ``{token}``."""
    time_typed: str
    """``{days}`` for ``{serial_number}``, ``{token}``."""
    unlock_typed: str
    """``{serial_number}`` is paid off, ``{token}``."""
    set_typed: str
    """What sets ``{serial_number}`` right again, ``{token}``."""
    typed_before: str
    """The tokens ``{before}`` are to be typed in first, and then ``{text}``: one of the above."""
    energy_sent: str
    time_sent: str
    unlock_sent: str
    set_sent: str
    """As above where the device is reached without a token."""

    debts_only: str
    """No token: all of it went to what was owed."""
    kept: str
    """No token: what is left is too little yet, and kept."""

    unlock_held: str
    """We are looking into the unlocking of ``{serial_number}``, for which nothing was paid now."""
    held: str
    unusable: str
    refunded: str
    """``{money}`` for ``{serial_number}``, payment ``{reference}``."""
    refused: str
    """``{money}`` for ``{serial_number}`` was refused: ``{reason}``."""
    reasons: Mapping[Refusal, str]
    """Why a payment is refused, as the end of a sentence."""
