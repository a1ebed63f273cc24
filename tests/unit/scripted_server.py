"""A real server on this machine that behaves as a test's script says, byte by byte."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[[socket.socket], None]
"""What the server does with a connection, after it was accepted."""


@dataclass
class Server:
    """Where it listens, and the requests that it has read."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(behaviour: Behaviour, *, reads: bool = True) -> Iterator[Server]:
    """Serve each connection with ``behaviour``; where ``reads``, after reading the request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener.getsockname()[1])

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    server.connections += 1
                    with connection, suppress(OSError):
                        if reads:
                            server.requests.append(read_request(connection))
                        behaviour(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)


def answering(body: bytes, *, status: str = "200 OK", headers: str = "") -> Behaviour:
    """Answer with a whole HTTP response."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
    return sending(head + body)


def sending(data: bytes) -> Behaviour:
    """Send these bytes and close the connection."""
    return lambda connection: connection.sendall(data)


def read_request(connection: socket.socket) -> bytes:
    """The whole request, as its Content-Length says."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def saying(body: object, status: str = "200 OK") -> Behaviour:
    """Answer with a whole HTTP response in JSON."""
    return answering(json.dumps(body).encode(), status=status)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave so with the first connection, so with the second; there must be no more."""
    left = list(behaviours)
    return lambda connection: left.pop(0)(connection)


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def head_of(request: bytes) -> bytes:
    """The head of a request, with the line end of its last header."""
    return request.partition(b"\r\n\r\n")[0] + b"\r\n"
