"""The proxy passes on what it is given, byte for byte."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.local.processes import HOST, free_port
from infra.local.proxy import ProxyServer, path_of

UPSTREAM_PATH = "/restapis/abc/api/_user_request_"


class _Upstream(BaseHTTPRequestHandler):
    """Answers with what it received."""

    protocol_version = "HTTP/1.1"

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        received = {
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": body.hex(),
        }
        content = json.dumps(received).encode()
        self.send_response(207)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = serve


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a proxy before a server that answers with what it received."""
    upstream = ThreadingHTTPServer((HOST, 0), _Upstream)
    upstream.daemon_threads = True
    upstream.request_queue_size = 128
    proxy = ProxyServer(free_port(0), upstream.server_address[1], UPSTREAM_PATH)
    servers = (upstream, proxy)
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield proxy.server_address[1]
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[HTTPResponse, dict[str, Any]]:
    """The answer to one request, and what the upstream server received."""
    connection = HTTPConnection(HOST, port, timeout=5)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    received = json.loads(response.read())
    connection.close()
    return response, received


def status(port: int, path: str) -> int:
    """The status of the answer to a GET."""
    connection = HTTPConnection(HOST, port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_every_method_is_passed_on(port: int, method: str) -> None:
    assert ask(port, method, "/api/health")[1]["method"] == method


def test_the_base_path_is_taken_off(port: int) -> None:
    assert ask(port, "GET", "/api/auth/login")[1]["path"] == f"{UPSTREAM_PATH}/auth/login"
    assert ask(port, "GET", "/api")[1]["path"] == f"{UPSTREAM_PATH}/"


def test_the_body_is_passed_on_byte_for_byte(port: int) -> None:
    body = bytes(range(256)) + b'{"a" :1}\r\n'
    assert ask(port, "POST", "/api/x", body)[1]["body"] == body.hex()


def test_a_body_in_chunks_is_put_together(port: int) -> None:
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(
            b"POST /api/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n"
            b"4;note=1\r\nabcd\r\n3\r\nefg\r\n0\r\nTrailer: t\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["body"] == b"abcdefg".hex()


def sent(port: int, head: bytes, pieces: int = 0) -> tuple[bytes, dict[str, Any]]:
    """The head of the answer and its JSON, for a request that is sent as it is."""
    with socket.create_connection((HOST, port), timeout=20) as connection:
        connection.sendall(head)
        for _ in range(pieces):
            connection.sendall(bytes(1024 * 1024))
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    top, _, body = answer.partition(b"\r\n\r\n")
    return top, json.loads(body)


def test_a_body_of_a_hundred_megabytes_is_refused_as_api_gateway_does(port: int) -> None:
    head = b"POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n"
    top, problem = sent(port, head, pieces=100)
    assert top.startswith(b"HTTP/1.1 413 ")
    assert (problem["code"], problem["status"], problem["errors"]) == ("too_large", 413, [])
    assert f"X-Request-Id: {problem['request_id']}".encode() in top


def test_a_body_in_chunks_that_never_ends_is_refused_too(port: int) -> None:
    head = b"POST /api/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n"
    top, problem = sent(port, head)
    assert (top[:12], problem["code"]) == (b"HTTP/1.1 413", "too_large")


@pytest.mark.parametrize(
    "headers",
    [b"Content-Length: many", b"Content-Length: -1", b"Transfer-Encoding: chunked\r\n\r\nxyz"],
)
def test_a_body_without_an_end_is_malformed(port: int, headers: bytes) -> None:
    top, problem = sent(port, b"POST /api/x HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n")
    assert (top[:12], problem["code"]) == (b"HTTP/1.1 400", "malformed")


def test_the_query_is_left_as_it_is(port: int) -> None:
    path = ask(port, "GET", "/api/x?a=1%202&a=%2B&b=")[1]["path"]
    assert path == f"{UPSTREAM_PATH}/x?a=1%202&a=%2B&b="


def test_an_encoded_path_reaches_the_function_encoded(port: int) -> None:
    """The emulator decodes a path once, and API Gateway does not."""
    path = ask(port, "GET", "/api/payments/direct.demo-a%2Fb%20c")[1]["path"]
    assert path == f"{UPSTREAM_PATH}/payments/direct.demo-a%252Fb%2520c"


def test_headers_are_passed_on(port: int) -> None:
    received = ask(port, "GET", "/api/x", Authorization="Bearer x", Accept="a/b")[1]["headers"]
    assert ["authorization", "Bearer x"] in received
    assert ["accept", "a/b"] in received


def test_a_caller_cannot_choose_its_source_address(port: int) -> None:
    headers = {"X-Forwarded-For": "196.201.214.200"}
    received = ask(port, "GET", "/api/x", **headers)[1]["headers"]
    assert [value for name, value in received if name == "x-forwarded-for"] == ["127.0.0.1"]


def test_status_and_headers_of_the_answer_come_back(port: int) -> None:
    response, _ = ask(port, "GET", "/api/x")
    assert response.status == 207
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("path", ["/", "/apiary", "/health"])
def test_only_the_base_path_is_served(port: int, path: str) -> None:
    assert status(port, path) == 404


def test_one_connection_serves_many_requests(port: int) -> None:
    connection = HTTPConnection(HOST, port, timeout=5)
    for body in (b"one", b"two"):
        connection.request("POST", "/api/x", body)
        assert json.loads(connection.getresponse().read())["body"] == body.hex()
    connection.close()


def test_fifty_requests_at_once_are_served(port: int) -> None:
    def one(number: int) -> str:
        received: str = ask(port, "POST", f"/api/{number}", str(number).encode())[1]["body"]
        return bytes.fromhex(received).decode()

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(one, range(200))) == [str(number) for number in range(200)]


def test_a_backend_that_is_gone_is_told() -> None:
    proxy = ProxyServer(free_port(0), free_port(0), UPSTREAM_PATH)
    threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
    assert status(proxy.server_address[1], "/api/x") == 502
    proxy.shutdown()
    proxy.server_close()


class _Gone(BaseHTTPRequestHandler):
    """An emulator whose API was replaced: the old id is not there, the new one answers."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        here = self.path.startswith("/restapis/new/")
        content = body if here else b'{"message": "Not Found"}'
        self.send_response(200 if here else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_an_api_that_was_replaced_is_found_and_nothing_sent_is_lost() -> None:
    upstream = ThreadingHTTPServer((HOST, 0), _Gone)
    looked: list[str] = []

    def find_path() -> str:
        looked.append("new")
        return path_of("new")

    proxy = ProxyServer(free_port(0), upstream.server_address[1], path_of("old"), find_path)
    servers = (upstream, proxy)
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        for _ in range(2):
            connection = HTTPConnection(HOST, proxy.server_address[1], timeout=10)
            connection.request("POST", "/api/payments/direct", b"money")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"money")
            connection.close()
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
    assert looked == ["new"]
