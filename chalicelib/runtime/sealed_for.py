"""Encrypting a short secret for somebody's RSA key, as several payment providers want it."""

from __future__ import annotations

import base64


class BadPublicKey(Exception):
    """What should be an RSA key or a certificate is none."""


def sealed_for(public_key: str, secret: bytes) -> str:
    """The secret, encrypted with PKCS#1 v1.5 for a key or certificate (PEM, or the key alone in
    Base64), in Base64.

    Raises:
        BadPublicKey: it cannot be used.
    """
    # Only those pay for this import who seal something.
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import (
        load_der_public_key,
        load_pem_public_key,
    )
    from cryptography.x509 import load_pem_x509_certificate

    try:
        key: object
        if "BEGIN CERTIFICATE" in public_key:
            key = load_pem_x509_certificate(public_key.encode()).public_key()
        elif "BEGIN" in public_key:
            key = load_pem_public_key(public_key.encode())
        else:
            key = load_der_public_key(base64.b64decode(public_key, validate=True))
        if not isinstance(key, RSAPublicKey):
            raise BadPublicKey("no RSA key")
        return base64.b64encode(key.encrypt(secret, PKCS1v15())).decode()
    except ValueError:
        raise BadPublicKey("no key that can be read, or the secret is too long for it") from None
