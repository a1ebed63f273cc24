"""What a fake is made of."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

from infra.local.fakes.faults import Fault

Settings = Mapping[str, str]
"""What the company was given by the other side, its credentials above all."""


@dataclass(frozen=True)
class Request:
    """One HTTP request. ``path`` is the part after the fake's base address, without the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json;charset=utf-8"

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Answer:
        """``value`` as JSON."""
        return cls(status, json.dumps(value, default=float).encode())


NOT_FOUND = Answer(404, b"not found", "text/plain")
METHOD_NOT_ALLOWED = Answer(405, b"method not allowed", "text/plain")


@dataclass(frozen=True)
class Order:
    """A request that the other side understood and accepts, and that changes something there.

    Nothing is changed by making an order; the server may still let it fail.

    ``subject`` is what faults are ordered for, and what vends are listed by: the device (or the
    name under which the other side knows it), the transaction of a payment. ``request`` is what
    was asked, as it may be shown. ``is_vend`` tells whether it is listed among the vends.
    """

    subject: str
    request: Mapping[str, Any]
    is_vend: bool = True


@dataclass(frozen=True)
class Done:
    """An order that was carried out: the answer, and the token in it, if it brings one."""

    answer: Answer
    token: str | None = None


class Fake(Protocol):
    """The other side: checks what it is asked, then does it."""

    key: str
    own_faults: frozenset[Fault]
    """The faults that it knows beside those that any fake can have."""

    def read(self, request: Request) -> Order | Answer:
        """The order in a request; else the answer: to a question, or to what is not accepted."""
        ...

    def carry_out(self, order: Order) -> Done:
        """Do what was ordered."""
        ...

    def refusal(self, order: Order) -> Answer:
        """A definite no, in the other side's own words."""
        ...


class Provider(Fake, Protocol):
    """A faked payment provider: it also lets people pay, and gives money back."""

    paths: Mapping[str, str]
    """Where it reaches the company: the name of a setting that is an address of ours, and the
    path of our API, with settings of its own in braces."""

    def refunds(self) -> list[dict[str, Any]]:
        """The refunds that it has taken, oldest first."""
        ...

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """What can be had done at its side, by name: each takes the fields of a JSON body."""
        ...


@runtime_checkable
class Rotating(Protocol):
    """What a fake also offers whose credentials can be changed while it runs."""

    def rotate(self, settings: Settings) -> None:
        """Accept these credentials from now on, and no others; who is logged in is no longer."""
        ...


@runtime_checkable
class OverTls(Protocol):
    """What a fake also offers that is served over TLS."""

    def tls(self) -> ssl.SSLContext:
        """How its server speaks TLS, and which clients it takes."""
        ...


def timestamp(moment: datetime | None = None) -> str:
    """A moment (now, where none is given) as ISO 8601 in UTC, to the millisecond."""
    text = (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
