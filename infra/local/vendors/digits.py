"""Makes tokens."""

from __future__ import annotations

import secrets
import threading


class Digits:
    """Makes tokens of decimal digits; no two are the same."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def next(self) -> str:
        """A token that was not made before."""
        with self._lock:
            while True:
                token = "".join(secrets.choice("0123456789") for _ in range(self._length))
                if token not in self._made:
                    self._made.add(token)
                    return token
