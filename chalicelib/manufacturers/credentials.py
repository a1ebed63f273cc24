"""What a vendor's secret must hold: where the vendor is, and who we are there.

A secret that is not in its agreed form is as good as none: nothing is sent with a half of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.runtime.one_call import is_base_url
from chalicelib.services.ports import SecretMissing


def base_url(content: Mapping[str, Any], secret: str, name: str = "base_url") -> str:
    """The address at or below which the vendor is called, without a slash at its end.

    Raises:
        SecretMissing: it is not there, or not such an address. ``secret`` is what is named.
    """
    url = content.get(name)
    if not is_base_url(url):
        raise SecretMissing(secret)
    return str(url).rstrip("/")


def text(content: Mapping[str, Any], name: str, secret: str) -> str:
    """A text that is not empty.

    Raises:
        SecretMissing: there is none of that name.
    """
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise SecretMissing(secret)
    return value


def plain_text(content: Mapping[str, Any], name: str, secret: str) -> str:
    """A text of printable ASCII: all that may stand in a header or in the path of an address.

    Raises:
        SecretMissing: there is none of that name.
    """
    value = text(content, name, secret)
    if not value.isascii() or not value.isprintable():
        raise SecretMissing(secret)
    return value


def part(content: Mapping[str, Any], name: str, secret: str) -> Mapping[str, Any]:
    """An object within the secret.

    Raises:
        SecretMissing: there is none of that name.
    """
    value = content.get(name)
    if not isinstance(value, Mapping):
        raise SecretMissing(secret)
    return value
