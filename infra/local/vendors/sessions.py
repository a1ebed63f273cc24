"""The sessions of vendors that want a log-in first: each gives out a secret that is then shown."""

from __future__ import annotations

import math
import secrets
import threading
import time

from infra.local.fakes.fake import Request


class Sessions:
    """What a vendor has given out at its log-in; good for a while only."""

    def __init__(self, scheme: str = "Bearer") -> None:
        """Args:
        scheme: the word before the secret, where it is shown in the header of a request.
        """
        self._scheme = scheme
        self._ends: dict[str, float] = {}
        self._lock = threading.Lock()

    def begin(self, seconds: float = math.inf) -> str:
        """A new secret, good for so long."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            self._ends[secret] = time.monotonic() + seconds
        return secret

    def knows(self, secret: str) -> bool:
        """Whether that was given out here, and is still good."""
        with self._lock:
            return time.monotonic() < self._ends.get(secret, 0)

    def admits(self, request: Request) -> bool:
        """Whether a request shows a good one in its header."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        return scheme == self._scheme and self.knows(secret)
