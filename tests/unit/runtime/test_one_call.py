"""One HTTP call, and what is known after each way in which it can end."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from chalicelib.runtime import one_call
from chalicelib.runtime.one_call import Answer, NoAnswer, NotSent, call, is_base_url
from tests.unit.scripted_server import Behaviour, answering, sending, serving

LIMIT = one_call.ANSWER_BYTES_MAX


def called(behaviour: Behaviour, *, seconds: float = 5, reads: bool = True) -> Answer:
    with serving(behaviour, reads=reads) as server:
        try:
            return call("POST", f"{server.url}/a", {"X-One": "1"}, seconds, b"body")
        finally:
            assert server.connections == 1, "a call is made once, whatever comes of it"


def clock_showing(*seconds: float) -> SimpleNamespace:
    """A clock that shows these times, one after the other."""
    return SimpleNamespace(monotonic=iter(seconds).__next__)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# --- an answer ----------------------------------------------------------------------------------


def test_the_request_arrives_as_it_was_given():
    with serving(answering(b"ok")) as server:
        assert call("POST", f"{server.url}/a/b", {"X-One": "1"}, 5, b"body") == Answer(200, b"ok")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a/b HTTP/1.1"
    assert {b"X-One: 1", b"Content-Length: 4", b"Connection: close"} <= set(lines)
    assert body == b"body"


def test_a_question_has_its_query_and_no_body():
    with serving(answering(b"ok")) as server:
        assert call("GET", f"{server.url}/a?b=c%20d", {}, 5) == Answer(200, b"ok")
    assert server.requests[0].startswith(b"GET /a?b=c%20d HTTP/1.1\r\n")
    assert server.requests[0].endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", ["201 Created", "302 Found", "404 Not Found", "500 Oops"])
def test_any_status_is_an_answer_and_none_is_followed(status: str):
    behaviour = answering(b"x", status=status, headers="Location: http://127.0.0.1:1/\r\n")
    assert called(behaviour) == Answer(int(status[:3]), b"x")


def test_an_answer_may_come_in_chunks_or_end_with_the_connection():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert called(sending(chunked)) == Answer(200, b"abc")
    assert called(sending(b"HTTP/1.0 200 OK\r\n\r\nabc")) == Answer(200, b"abc")


def test_an_answer_of_64_kilobytes_is_read_whole():
    assert called(answering(b"x" * LIMIT)) == Answer(200, b"x" * LIMIT)


# --- no answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"hello\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000,
    ],
)
def test_half_an_answer_is_none(data: bytes):
    with pytest.raises(NoAnswer):
        called(sending(data))


def test_a_connection_closed_before_the_request_was_read_leaves_it_open_what_happened():
    with pytest.raises(NoAnswer):
        called(lambda connection: None, reads=False)


def test_a_connection_that_is_reset_leaves_it_open_what_happened():
    def reset(connection: socket.socket) -> None:
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    with pytest.raises(NoAnswer):
        called(reset)


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(b"x" * (LIMIT + 1)),
        answering(b"x" * 5_000_000),
        sending(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 5_000_000),
    ],
)
def test_a_huge_answer_is_not_read_to_its_end(behaviour: Behaviour):
    with pytest.raises(NoAnswer) as error:
        called(behaviour)
    assert "65536" in str(error.value)


def test_a_silent_server_is_not_waited_for_beyond_the_time_out():
    started = time.monotonic()
    with pytest.raises(NoAnswer):
        called(lambda connection: connection.recv(1), seconds=0.2)
    assert time.monotonic() - started < 3


def test_a_body_that_comes_drop_by_drop_is_not_waited_for_beyond_the_time_out():
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    started = time.monotonic()
    with serving(drip) as server, pytest.raises(NoAnswer):
        call("POST", server.url, {}, 0.3, b"")
    assert time.monotonic() - started < 3


def test_a_body_whose_end_comes_after_the_time_out_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(one_call, "time", clock_showing(100, 100, 105))
    with pytest.raises(NoAnswer) as error:
        called(answering(b"ok"))
    assert str(error.value) == "the answer takes too long"


# --- not sent -----------------------------------------------------------------------------------


def test_a_refused_connection_means_that_nothing_was_sent():
    with pytest.raises(NotSent):
        call("POST", f"http://127.0.0.1:{unused_port()}/a", {}, 5, b"")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid", "a..b"])
def test_an_unknown_host_means_that_nothing_was_sent(host: str):
    with pytest.raises(NotSent):
        call("POST", f"http://{host}/a", {}, 5, b"")


def test_a_failed_tls_handshake_means_that_nothing_was_sent():
    with serving(sending(b"HTTP/1.1 400 Bad Request\r\n\r\n"), reads=False) as server:
        with pytest.raises(NotSent):
            call("POST", f"https://127.0.0.1:{server.port}/a", {}, 5, b"")
        assert not server.requests


def test_a_server_whose_certificate_is_not_trusted_is_told_nothing(tmp_path: Path):
    server = UntrustedServer(tmp_path)
    with pytest.raises(NotSent):
        call("POST", f"https://127.0.0.1:{server.port}/a", {}, 5, b"secret")
    server.thread.join(timeout=5)
    assert not server.thread.is_alive()
    assert server.data == b""


def test_a_connection_that_takes_all_the_time_means_that_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(one_call, "time", clock_showing(100, 105))
    with serving(answering(b"ok"), reads=False) as server, pytest.raises(NotSent):
        call("POST", server.url, {}, 5, b"")


class UntrustedServer:
    """Accepts one TLS connection with a certificate that nobody signed; keeps what it reads."""

    def __init__(self, directory: Path) -> None:
        key, certificate = directory / "key.pem", directory / "certificate.pem"
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
        command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
        subprocess.run(command.split(), check=True, capture_output=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.data = b""
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        self._listener.close()
        with (
            connection,
            suppress(OSError),
            self._context.wrap_socket(connection, server_side=True) as secured,
        ):
            self.data = secured.recv(65536)


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["http://a.example", "https://a.example:8443/api/", "http://127.0.0.1:1/x", "http://[::1]/"],
)
def test_an_address_of_a_server_is_one(text: str):
    assert is_base_url(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        1,
        "",
        "a.example",
        "ftp://a.example",
        "file:///etc/passwd",
        "http://",
        "http:///a",
        "http://user:word@a.example",
        "http://a.example?x=1",
        "http://a.example#x",
        "http://a.example:0",
        "http://a.example:x",
        "http://a.example:70000",
        "http://[::1",
        "http://a.example/a b",
        "http://a.example/a\r\nX: y",
        "http://é.example",
    ],
)
def test_anything_else_is_not(text: object):
    assert not is_base_url(text)
