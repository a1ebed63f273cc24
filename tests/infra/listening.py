"""A company that providers call, and what it answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from infra.local.fakes.server import Address
from infra.local.processes import HOST, free_port


@dataclass(frozen=True)
class Told:
    """One call that came: the path below the company's base address, and what was in it."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, where it is JSON."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


@dataclass
class Company:
    """Where providers call: what came, and what is answered by path (else 200, without a body)."""

    url: str
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def will_answer(self, path: str, body: Any, status: int = 200) -> None:
        """From now on this is answered there: bytes, or else JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = (status, content)

    def only(self) -> Told:
        """The only call that came."""
        (told,) = self.told
        return told


@contextmanager
def listening() -> Iterator[Company]:
    """A company that listens for the time of a test."""
    port = free_port(0)
    company = Company(f"http://{HOST}:{port}/api")

    class Calls(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            path = self.path.removeprefix("/api")
            company.told.append(Told(path, headers, body))
            status, content = company.answers.get(path, (200, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    address = Address(port, Calls)
    address.open()
    yield company
    address.close()
