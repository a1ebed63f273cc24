"""Reads a channel's secret. Nothing in it is believed to be there before it was looked at.

Every method raises ``SecretMissing`` where a value is not in its agreed form: a channel that is
half configured answers nobody, and says so to operations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from chalicelib.channels.callers import Networks
from chalicelib.domain.money import Currency
from chalicelib.runtime.one_call import is_base_url
from chalicelib.services.currencies import currency_of
from chalicelib.services.ports import SecretMissing

TEXT_LENGTH_MAX = 10_000
"""Longer than any certificate with its chain."""

WORD = re.compile(r"[!-~]{1,1000}")
"""A text of one line without spaces, such as a key that is sent in a header."""
EMAIL = re.compile(r"[!-?A-~]{1,120}@[!-?A-~]{1,120}")
WEB_ADDRESS = re.compile(r"https?://[!-~]{1,2000}")

_PRINTABLE = re.compile(r"[ -~]+(\r?\n[ -~]*)*\n?")
_CURRENCY = re.compile(r"[A-Z]{3}")


class Configuration:
    """The content of one secret, or of one part of it."""

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:
        self._name = name
        self._content = content

    def has(self, name: str) -> bool:
        """Whether something is there under that name."""
        return self._content.get(name) is not None

    def names(self) -> tuple[str, ...]:
        """The names under which something is there."""
        return tuple(self._content)

    def text(self, name: str, form: str | re.Pattern[str] = _PRINTABLE) -> str:
        """A text of that form: one that is printable, where no other is asked for."""
        value = self._content.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= TEXT_LENGTH_MAX:
            raise self._wrong(name)
        if re.fullmatch(form, value) is None:
            raise self._wrong(name)
        return value

    def text_if_given(self, name: str, form: str | re.Pattern[str] = _PRINTABLE) -> str | None:
        """The same, or ``None`` where nothing is there."""
        return self.text(name, form) if self.has(name) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, such as live secrets. An empty one admits nobody."""
        value = self._content.get(name)
        if not isinstance(value, list):
            raise self._wrong(name)
        if not all(isinstance(text, str) and _PRINTABLE.fullmatch(text) for text in value):
            raise self._wrong(name)
        return tuple(value)

    def networks(self, name: str = "addresses") -> Networks:
        """The networks that the provider calls from. An empty list admits nobody."""
        value = self._content.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self._wrong(name)
        try:
            return tuple(ip_network(text) for text in value)
        except ValueError:
            raise self._wrong(name) from None

    def base_url(self, name: str = "base_url") -> str:
        """An address below which calls are made, without a slash at its end."""
        value = self._content.get(name)
        if not is_base_url(value):
            raise self._wrong(name)
        return str(value).rstrip("/")

    def currency(self, name: str = "currency") -> Currency:
        """The currency of the company's account at the provider."""
        currency = currency_of(self.text(name, _CURRENCY))
        if currency is None:
            raise self._wrong(name)
        return currency

    def flag(self, name: str) -> bool:
        """True or false; false where nothing is there."""
        value = self._content.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name)
        return value

    def part(self, name: str) -> Configuration:
        """A part of the secret that has a name of its own."""
        value = self._content.get(name)
        if not isinstance(value, dict):
            raise self._wrong(name)
        return Configuration(self._name, value)

    def parts(self, name: str, count_max: int) -> list[Configuration]:
        """A list of parts, at most that many."""
        value = self._content.get(name)
        if not isinstance(value, list) or len(value) > count_max:
            raise self._wrong(name)
        if not all(isinstance(part, dict) for part in value):
            raise self._wrong(name)
        return [Configuration(self._name, part) for part in value]

    def _wrong(self, name: str) -> SecretMissing:
        return SecretMissing(f"{self._name}: {name}")
