"""The company's side of webhooks: a server that takes them, for one test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from infra.local.fakes.server import Address
from infra.local.processes import HOST, free_port


@dataclass(frozen=True)
class Webhook:
    """One call that came. ``target`` is the path with the query, below the company's base."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Company:
    """Where webhooks arrive: what came, and what it is answered."""

    url: str
    status: int = 200
    received: list[Webhook] = field(default_factory=list)

    def only(self) -> Webhook:
        """The only webhook that came, which is forgotten."""
        (webhook,) = self.received
        self.received.clear()
        return webhook


@contextmanager
def company() -> Iterator[Company]:
    """A company that listens."""
    port = free_port(0)
    listening = Company(f"http://{HOST}:{port}/api")

    class Webhooks(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            target = self.path.removeprefix("/api")
            listening.received.append(Webhook(self.command, target, headers, body))
            self.send_response(listening.status)
            self.end_headers()

        do_POST = do_PUT = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    address = Address(port, Webhooks)
    address.open()
    yield listening
    address.close()
