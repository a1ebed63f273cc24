"""What a vendor's secret must hold: where the vendor is, and who we are there.

A secret that is not in its agreed form is as good as none: nothing is sent with a half of it.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from chalicelib.runtime.one_call import is_base_url
from chalicelib.runtime.tls import ClientCertificate
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


def client_certificate(content: Mapping[str, Any], secret: str) -> ClientCertificate:
    """Our certificate at the vendor: ``pkcs12`` in base64, and ``pkcs12_password``.

    Raises:
        SecretMissing: there is none. Whether it is a good one is found out when it is used.
    """
    try:
        pkcs12 = b64decode(text(content, "pkcs12", secret), validate=True)
    except ValueError:
        raise SecretMissing(secret) from None
    return ClientCertificate(pkcs12, text(content, "pkcs12_password", secret))


def ca_certificate(content: Mapping[str, Any], secret: str) -> str | None:
    """The authority (PEM) that vouches for a vendor which no public one vouches for, if named.

    Raises:
        SecretMissing: what is named is no text.
    """
    if content.get("ca_certificate") is None:
        return None
    return text(content, "ca_certificate", secret)
