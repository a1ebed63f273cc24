"""Calin as the tests of the services need it: a real server that counts what it issues."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.integration.conftest import Cloud

Behaviour = Callable[[dict[str, Any]], tuple[int, Any]]


class FakeCalin:
    """Issues a fresh 20-digit token for every well-formed request, or does as it is told.

    ``behaviours`` are used up first, one a request; ``requests`` lists what came, ``issued``
    the tokens that were made.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.issued: list[str] = []
        self.behaviours: list[Behaviour] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put_secrets(self, cloud: Cloud) -> None:
        """What a process needs to call this server, and to open device keys."""
        key = base64.b64encode(b"k" * 32).decode()
        cloud.put_secret("device-keys", {"current": "k1", "keys": {"k1": key}})
        credentials = {"base_url": self.url, "user_id": "u", "password": "p"}
        cloud.put_secret("manufacturers/calin", credentials)

    def issue(self, request: dict[str, Any]) -> tuple[int, Any]:
        """The ordinary behaviour."""
        token = f"{10**19 + len(self.issued)}"
        self.issued.append(token)
        return 200, {"result_code": 0, "reason": "OK", "result": token}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = json.loads(body)
                fake.requests.append(request)
                behave = fake.behaviours.pop(0) if fake.behaviours else fake.issue
                status, answer = behave(request)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent."""

        return Handler
