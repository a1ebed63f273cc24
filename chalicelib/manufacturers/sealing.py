"""Sealing: the secret keys of devices, stored so that the database alone does not reveal them.

AES-GCM with the device's serial number as associated data: a sealed key copied to another device
does not open. The keys that seal come from the secret ``device-keys``, ``{"current": <id>,
"keys": {<id>: <base64 of 32 bytes>}}``. A sealed text names the key that sealed it, so that a new
key can take over while the old one still opens what it sealed.
"""

from __future__ import annotations

import os
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.services.ports import SealBroken, SecretMissing

SECRET = "device-keys"  # noqa: S105 - the name of a secret, not a secret
KEY_BYTES = 32
NONCE_BYTES = 12


class Seals:
    """Seals and opens texts. ``secrets`` reads a secret of the deployment by its name."""

    def __init__(self, secrets: Callable[[str], Mapping[str, Any]]) -> None:
        self._secrets = secrets

    def seal(self, text: str, serial_number: str) -> str:
        """The text, sealed with the current key for that device: ``<key id>.<base64>``.

        Raises:
            SecretMissing: there is no current key.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id = self._secrets(SECRET).get("current")
        if not isinstance(key_id, str) or not key_id or "." in key_id:
            raise SecretMissing(SECRET)
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self._key(key_id)).encrypt(nonce, text.encode(), serial_number.encode())
        return f"{key_id}.{urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed_text: str, serial_number: str) -> str:
        """The text that was sealed for that device.

        Raises:
            SecretMissing: the key that sealed it is not there (any more).
            SealBroken: it does not open.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id, _, text = sealed_text.partition(".")
        key = self._key(key_id)
        try:
            sealed = urlsafe_b64decode(text)
            nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            return AESGCM(key).decrypt(nonce, rest, serial_number.encode()).decode()
        except (InvalidTag, ValueError):
            raise SealBroken(serial_number) from None

    def _key(self, key_id: str) -> bytes:
        keys = self._secrets(SECRET).get("keys")
        text = keys.get(key_id) if isinstance(keys, Mapping) else None
        try:
            key = b64decode(text, validate=True) if isinstance(text, str) else b""
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise SecretMissing(SECRET)
        return key
