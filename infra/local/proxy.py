"""``http://127.0.0.1:<port>/api/…``, as a custom domain with the base path ``api`` gives on AWS.

The emulator serves an API at ``/restapis/<id>/<stage>/_user_request_/…``; the registration app
has ``/api/…`` built in. This passes everything through byte for byte: method, path, query, body
and headers, but for what makes the emulator behave as API Gateway does:

* Percent signs in the path are encoded once more. The emulator decodes a path before it looks
  for the route; API Gateway hands path parameters to the function as they were sent.
* ``X-Forwarded-For`` is the caller's address, whatever the caller wrote there. The emulator takes
  its first entry for the source address; API Gateway looks at the connection.
* A body of more than 10 MB is answered with 413, without being passed on or kept.
* ``Host`` is the emulator's, and headers that concern one connection end here.
* When the API's routes change, the emulator makes another API with another id, where AWS puts them
  into the same one. As a domain follows its mapping, this finds the new id, and sends again what
  met no API at all.

Run as ``python -m infra.local.proxy <port> <upstream port> <upstream path>``.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from infra.local.processes import HOST

BASE_PATH = "/api"
SECONDS_MAX = 60
"""API Gateway gives up after 29 seconds; this must not give up before, on a slow machine either."""

IN_FLIGHT_MAX = 8
"""Each request in flight is a worker process of its own, and starting dozens at once takes a small
machine longer than anybody waits. More requests wait here for their turn."""

BODY_BYTES_MAX = 10 * 1024 * 1024
"""API Gateway takes no larger request."""

DRAINED_BYTES_MAX = 256 * 1024 * 1024
"""So much of a refused body is read and thrown away: many a caller reads no answer before it has
sent everything."""

_NO_API = {(404, b'{"message": "Not Found"}'), (403, b'{"message":"Forbidden"}')}
"""What the emulator answers where an API, or its stage, is not there (any more, or yet)."""

_REPLACED_SECONDS_MAX = 10
"""So long an API is looked for that has just been replaced."""

_PIECE_BYTES = 64 * 1024

_OF_ONE_CONNECTION = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_NOT_PASSED_ON = _OF_ONE_CONNECTION | {"host", "content-length", "x-forwarded-for"}


class BodyTooLarge(Exception):
    """The body is larger than API Gateway takes."""


class BodyUnreadable(Exception):
    """Nobody can tell where the body ends."""


class ProxyServer(ThreadingHTTPServer):
    """One thread per connection; a burst waits in the queue instead of being turned away."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self,
        port: int,
        upstream_port: int,
        upstream_path: str,
        find_path: Callable[[], str | None] = lambda: None,
    ) -> None:
        """``find_path`` looks up where the API is after it was replaced."""
        super().__init__((HOST, port), _ProxyHandler)
        self.upstream_port = upstream_port
        self.upstream_path = upstream_path
        self.find_path = find_path
        self.turns = threading.BoundedSemaphore(IN_FLIGHT_MAX)


class _ProxyHandler(BaseHTTPRequestHandler):
    server: ProxyServer
    protocol_version = "HTTP/1.1"  # callers keep their connections, as with the real service

    def serve(self) -> None:
        try:
            body = self._body()
        except BodyTooLarge:
            self._refuse(413, "Too large", "too_large", "Request Too Long")
            return
        except BodyUnreadable:
            self._refuse(400, "Malformed", "malformed", "Bad Request")
            return
        if not (self.path + "/").startswith((BASE_PATH + "/", BASE_PATH + "?")):
            self._answer(404, [], b"Only /api is served here.\n")
            return
        with self.server.turns:
            status, headers, answer = self._pass_on_to_whichever(body)
        self._answer(status, headers, answer)

    def _refuse(self, status: int, title: str, code: str, detail: str) -> None:
        """What API Gateway answers by itself, as the template has it."""
        request_id = str(uuid4())
        problem = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "code": code,
            "detail": detail,
            "errors": [],
            "request_id": request_id,
        }
        headers = [("Content-Type", "application/problem+json"), ("X-Request-Id", request_id)]
        self.close_connection = True
        self._answer(status, [*headers, ("Connection", "close")], json.dumps(problem).encode())

    def _pass_on_to_whichever(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """The API's answer, also where it is being replaced by another."""
        deadline = time.monotonic() + _REPLACED_SECONDS_MAX
        while True:
            status, headers, answer = self._pass_on(body)
            found = self.server.find_path() if (status, answer) in _NO_API else None
            if found is None or time.monotonic() > deadline:
                return status, headers, answer
            self.server.upstream_path = found
            time.sleep(0.05)

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """The API's answer: status, headers and body."""
        path, mark, query = self.path.removeprefix(BASE_PATH).partition("?")
        target = self.server.upstream_path + (path.replace("%", "%25") or "/") + mark + query
        upstream = HTTPConnection(HOST, self.server.upstream_port, timeout=SECONDS_MAX)
        try:
            upstream.putrequest(self.command, target, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _NOT_PASSED_ON:
                    upstream.putheader(name, value)
            upstream.putheader("X-Forwarded-For", self.client_address[0])
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            response = upstream.getresponse()
            return response.status, response.getheaders(), response.read()
        except (OSError, HTTPException) as error:
            return 502, [], f"The local API cannot be reached: {error}\n".encode()
        finally:
            upstream.close()

    def _body(self) -> bytes:
        """The body of the request.

        Raises:
            BodyTooLarge, BodyUnreadable: see there.
        """
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self._read(_size(self.headers.get("Content-Length") or "0", 10))
        parts: list[bytes] = []
        while size := _size(self.rfile.readline(_PIECE_BYTES).split(b";")[0].decode("latin-1"), 16):
            if size + sum(map(len, parts)) > BODY_BYTES_MAX:
                raise BodyTooLarge
            parts.append(self._read(size))
            self.rfile.readline(_PIECE_BYTES)
        while self.rfile.readline(_PIECE_BYTES).strip():
            pass  # trailers
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        if size <= BODY_BYTES_MAX:
            return self.rfile.read(size)
        left = min(size, DRAINED_BYTES_MAX)
        while left and (piece := self.rfile.read(min(left, _PIECE_BYTES))):
            left -= len(piece)
        raise BodyTooLarge

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _OF_ONE_CONNECTION | {"content-length"}:
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the emulator logs every request."""

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve


def _size(text: str, base: int) -> int:
    try:
        size = int(text.strip(), base)
    except ValueError:
        raise BodyUnreadable from None
    if size < 0:
        raise BodyUnreadable
    return size


def _finder(upstream_port: int) -> Callable[[], str | None]:
    def find() -> str | None:
        from infra.local.deploy import STACK, client  # needs much, and most clouds never need it

        apis = client("apigateway", f"http://{HOST}:{upstream_port}").get_rest_apis()["items"]
        ids = [api["id"] for api in apis if api["name"] == STACK]
        return path_of(ids[-1]) if ids else None

    return find


def path_of(api_id: str) -> str:
    """Where the emulator serves the API of that id."""
    return f"/restapis/{api_id}{BASE_PATH}/_user_request_"


def main() -> None:
    """Serves until it is ended from outside."""
    port, upstream_port, upstream_path = sys.argv[1:]
    find_path = _finder(int(upstream_port))
    ProxyServer(int(port), int(upstream_port), upstream_path, find_path).serve_forever()


if __name__ == "__main__":
    main()
