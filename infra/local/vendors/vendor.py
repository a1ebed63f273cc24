"""What a faked manufacturer is made of."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

VendorSettings = Mapping[str, str]
"""What the manufacturer gave to the company: the same as in the secret, without the address."""


@dataclass(frozen=True)
class Request:
    """One HTTP request to a vendor. ``path`` is the part after the vendor's base address."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json;charset=utf-8"

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Answer:
        """``value`` as JSON."""
        return cls(status, json.dumps(value).encode())


@dataclass(frozen=True)
class Order:
    """A request that the vendor understood and accepts: what it would issue, and for which device.

    Nothing is issued by making an order; the server may still let it fail.
    """

    serial_number: str
    request: Mapping[str, Any]


class Vendor(Protocol):
    """A faked manufacturer: checks what it is asked, then issues."""

    key: str

    def read(self, request: Request) -> Order | Answer:
        """The order in a request, or the vendor's own answer to one that it does not accept."""
        ...

    def issue(self, order: Order) -> tuple[str, Answer]:
        """Carries out an order: the token, new with every call, and the answer that brings it."""
        ...

    def refusal(self, order: Order) -> Answer:
        """A definite no, in the vendor's own words."""
        ...


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
