"""One HTTP call to a vendor, whose every ending says whether it may have had an effect.

What is asked for twice may be done twice, be it a vend or a refund, so the one thing that matters
here is to know whether the request can have arrived. Each call therefore makes its own
connection: while it is being made nothing was sent (``NotSent``), from the first byte on nothing
is certain but a whole answer (``NoAnswer``). A kept connection would blur that: the other side
may close it at the very moment in which the next request is sent. Nothing is repeated and no
redirect is followed.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from socket import socket
from urllib.parse import SplitResult, urlsplit

CONNECT_SECONDS = 5
ANSWER_BYTES_MAX = 64 * 1024
_CHUNK_BYTES = 16 * 1024


class NotSent(Exception):
    """No connection could be made: the request was certainly not sent."""


class NoAnswer(Exception):
    """The request may have arrived, but no whole answer came back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the vendor answered, unread."""

    status: int
    body: bytes


def is_base_url(text: object) -> bool:
    """Whether it is an address below which calls can be made: http(s), host, perhaps a path."""
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain and port != 0


def call(
    method: str,
    url: str,
    headers: Mapping[str, str],
    seconds: float,
    body: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send one request; all of it together may take about ``seconds``.

    ``tls`` says whom to trust, where that is not the public authorities.

    Raises:
        NotSent: it certainly did not arrive. It may be sent again.
        NoAnswer: nobody knows whether it arrived.
    """
    deadline = time.monotonic() + seconds
    parts = urlsplit(url)
    with closing(_connection(parts, min(CONNECT_SECONDS, seconds), tls)) as connection:
        _connect(connection, deadline)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, {**headers, "Connection": "close"})
            return _answer(connection, connection.sock, deadline)
        except (OSError, HTTPException) as broken:
            raise NoAnswer(f"no whole answer: {type(broken).__name__}") from broken


def _connection(parts: SplitResult, seconds: float, tls: ssl.SSLContext | None) -> HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = tls or ssl.create_default_context()
        return HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    return HTTPConnection(host, parts.port, timeout=seconds)


def _connect(connection: HTTPConnection, deadline: float) -> None:
    """Make the connection, TLS included. Nothing of the request is sent yet."""
    try:
        connection.connect()
    except (OSError, ValueError) as failed:
        raise NotSent(f"no connection: {type(failed).__name__}") from failed
    left = deadline - time.monotonic()
    if left <= 0:
        raise NotSent("no connection in time")
    connection.sock.settimeout(left)


def _answer(connection: HTTPConnection, sock: socket, deadline: float) -> Answer:
    """The whole answer, within its limits of size and time."""
    body = b""
    with connection.getresponse() as response:
        while chunk := response.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise NoAnswer(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoAnswer("the answer takes too long")
            sock.settimeout(left)
        if response.length:
            raise NoAnswer("the answer ends before its end")
        return Answer(response.status, body)
