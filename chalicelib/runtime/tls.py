"""Whom to trust over TLS, and who we are there, where that is not told by public authorities.

The server is always verified, its name included. A client's certificate comes as PKCS#12, the form
in which vendors give it out.
"""

from __future__ import annotations

import os
import secrets
import ssl
from dataclasses import dataclass, field
from tempfile import NamedTemporaryFile


class BadCertificate(Exception):
    """What should be a certificate is none, or its password is wrong."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Our certificate at one vendor, with its key. Neither is ever shown."""

    pkcs12: bytes = field(repr=False)
    password: str = field(repr=False)


def context(
    ca_certificate: str | None = None, client: ClientCertificate | None = None
) -> ssl.SSLContext:
    """How to speak TLS: trusting that authority (PEM) alone, or the public ones; as that client.

    Raises:
        BadCertificate: one of them cannot be used.
    """
    try:
        made = ssl.create_default_context(cadata=ca_certificate)
    except (ssl.SSLError, ValueError, TypeError):
        raise BadCertificate("no certificate of an authority") from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if client is not None:
        _load(made, client)
    return made


def _load(made: ssl.SSLContext, client: ClientCertificate) -> None:
    """Have the client's certificate shown.

    The ssl module loads keys from files only. So the key is written to a private file, encrypted
    with a password that nobody else knows, for as long as it takes to load it.
    """
    password = secrets.token_bytes(32).hex().encode()
    pem = _pem(client, password)
    with NamedTemporaryFile("wb", delete=False) as file:  # made for its owner alone
        try:
            file.write(pem)
            file.close()
            made.load_cert_chain(file.name, password=password)
        except (ssl.SSLError, ValueError):
            raise BadCertificate("a certificate that does not fit its key") from None
        finally:
            os.unlink(file.name)


def _pem(client: ClientCertificate, password: bytes) -> bytes:
    """The key, encrypted with that password, its certificate, and those that vouch for it."""
    # Only those pay for this import who have a certificate to show.
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    try:
        bundle = load_pkcs12(client.pkcs12, client.password.encode())
    except ValueError:  # its words might tell of the password
        raise BadCertificate("no PKCS#12, or another password") from None
    if bundle.key is None or bundle.cert is None:
        raise BadCertificate("a PKCS#12 without a key or its certificate")
    key = bundle.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )
    vouching = [other.certificate for other in bundle.additional_certs]
    certificates = [bundle.cert.certificate, *vouching]
    return key + b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
