"""The log: one JSON line per event on standard output, which Lambda hands to CloudWatch.

Tokens, secrets and request bodies never reach it, and phone numbers show their last three
digits only, whatever a caller passes in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import Enum
from fractions import Fraction
from traceback import walk_tb
from typing import Any

NEVER_PRINTED = frozenset(
    {
        "access_token",
        "authorization",
        "body",
        "password",
        "secret",
        "secret_key",
        "technical",
        "token",
        "tokens",
        "value",
    }
)
"""Names of fields whose content is left out, at any depth."""

_SECRET_WORDS = frozenset(
    {
        "authorization",
        "credential",
        "credentials",
        "password",
        "secret",
        "secrets",
        "token",
        "tokens",
    }
)
"""Words that make the name of a field one of those, whatever else is in it."""

_PHONE_FIELDS = frozenset({"phone", "payer_phone", "to", "msisdn"})
_PHONE = re.compile(r"[+＋](?:[ .()-]*\d){5,15}")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_LEFT_OUT = "***"


class Log:
    """Writes events as JSON lines. Each carries the ``constant`` fields, such as the stage."""

    def __init__(self, **constant: str) -> None:
        self._constant = constant

    def event(self, what: str, **fields: Any) -> None:
        """Write one line: the time, what happened, and the fields, made safe to print."""
        own = {"at": _text(datetime.now(UTC)), "event": what, **self._constant}
        # Our own fields come first and win. ASCII only: no content can break the line in two.
        print(json.dumps({**own, **made_safe(fields), **own}, separators=(",", ":")), flush=True)


def place_of(error: BaseException) -> str:
    """Where in our code an error arose: file and line. Its text may quote secrets."""
    place = "outside"
    for frame, line in walk_tb(error.__traceback__):
        _, ours, file = frame.f_code.co_filename.rpartition("chalicelib/")
        if ours:
            place = f"{file}:{line}"
    return place


def mask_phone(phone: str) -> str:
    """The phone number with all but its last three digits hidden."""
    return f"{_LEFT_OUT}{phone[-3:]}"


def made_safe(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as they may be printed, in JSON's own types."""
    return {_masked(str(name)): _safe_field(str(name), value) for name, value in fields.items()}


def _safe_field(name: str, value: Any) -> Any:
    words = [word.lower() for word in _WORDS.findall(name)]
    plain = "_".join(words)
    if plain in NEVER_PRINTED or not _SECRET_WORDS.isdisjoint(words):
        return _LEFT_OUT
    if plain in _PHONE_FIELDS and value is not None:
        return mask_phone(str(value)) if isinstance(value, str | int) else _LEFT_OUT
    return _plain(value)


def _plain(value: Any) -> Any:
    """The value in JSON's own types."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return made_safe(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return _masked(_text(value))


def _masked(text: str) -> str:
    """The text with the phone numbers in it masked."""
    return _PHONE.sub(lambda found: mask_phone(found[0]), text)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str | Fraction | BaseException):
        return str(value)
    return f"<{type(value).__name__}>"  # a payment, say, would print its tokens
