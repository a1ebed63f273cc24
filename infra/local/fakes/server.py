"""The servers of the fakes: one address for each, and one to control them all."""

from __future__ import annotations

import json
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from infra.local.fakes.fake import (
    NOT_FOUND,
    Answer,
    Fake,
    OverTls,
    Provider,
    Request,
    Rotating,
    timestamp,
)
from infra.local.fakes.faults import (
    CALL_FAULTS,
    CLOSED_SECONDS_EACH,
    SILENT_SECONDS,
    SLOW_SECONDS,
    Fault,
    FaultOrder,
    Faults,
    UnreadableFault,
)
from infra.local.processes import HOST

_GARBAGE = Answer(200, b"<html><body>Service temporarily", "text/html")


class Address:
    """A server on one port that can be closed, so that connections are refused, and reopened."""

    def __init__(
        self,
        port: int,
        handler: type[BaseHTTPRequestHandler],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._port = port
        self._handler = handler
        self._tls = tls
        self._server: _Server | None = None
        self._reopening: threading.Timer | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Listens from now on."""
        with self._lock:
            self._cancel()
            if self._server is None:
                self._server = _Server(self._port, self._handler, self._tls)
                serve = self._server.serve_forever
                threading.Thread(target=serve, args=(0.05,), daemon=True).start()

    def close(self, seconds: float | None = None) -> None:
        """Refuses connections: for so many seconds, or until it is opened again."""
        with self._lock:
            self._cancel()
            if self._server is not None:
                self._server.shutdown()
                self._server.server_close()
                self._server = None
            if seconds is not None:
                self._reopening = threading.Timer(seconds, self.open)
                self._reopening.daemon = True
                self._reopening.start()

    def _cancel(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None


class Fakes:
    """All fakes, what the vendors issued, and the SMS that would have been sent."""

    def __init__(
        self,
        vendors: Mapping[Fake, int],
        providers: Mapping[Provider, int],
        faults: Faults,
        sms_log: Path,
    ) -> None:
        """Args:
        vendors: each faked manufacturer with its port.
        providers: each faked payment provider with its port.
        faults: what goes wrong with them.
        sms_log: where SMS are written, readable for people.
        """
        ports: list[tuple[Fake, int]] = [*vendors.items(), *providers.items()]
        self.faults = faults
        self.own_faults = {fake.key: fake.own_faults for fake, _ in ports}
        self.rotating = {fake.key: fake for fake, _ in ports if isinstance(fake, Rotating)}
        self.addresses = {
            fake.key: Address(port, _fake_handler(fake, self), _tls_of(fake))
            for fake, port in ports
        }
        self.providers = list(providers)
        self.silence = threading.Event()
        self._vends: list[dict[str, Any]] = []
        self._sms: list[dict[str, Any]] = []
        self._sms_log = sms_log
        self._lock = threading.Lock()

    def open(self, control_port: int) -> Address:
        """Opens all addresses; answers the one for control."""
        for address in self.addresses.values():
            address.open()
        control = Address(control_port, _control_handler(self))
        control.open()
        return control

    def order_fault(self, order: FaultOrder) -> None:
        """Puts a fault in force."""
        if order.fault is Fault.REFUSE_CONNECTION:
            seconds = None if order.times is None else order.times * CLOSED_SECONDS_EACH
            self.addresses[order.vendor].close(seconds)
        else:
            self.faults.add(order)

    def clear_faults(self) -> None:
        """Ends all faults, at once also for calls that are kept waiting."""
        self.faults.clear()
        self.silence.set()
        self.silence = threading.Event()
        for address in self.addresses.values():
            address.open()

    def record_vend(
        self,
        vendor: str,
        serial_number: str,
        request: Mapping[str, Any],
        *,
        issued: bool,
        token: str | None = None,
    ) -> None:
        """Remembers an accepted request, and whether anything was issued for it.

        A remote top-up is issued without a token.
        """
        vend = {
            "at": timestamp(),
            "vendor": vendor,
            "serial_number": serial_number,
            "request": {
                name: "…" if name.lower().startswith("password") else value
                for name, value in request.items()
            },
            "issued": issued,
            "token": token,
        }
        with self._lock:
            self._vends.append(vend)

    def vends(self, vendor: str | None, serial_number: str | None) -> list[dict[str, Any]]:
        """What was asked for and issued, oldest first."""
        with self._lock:
            return [
                vend
                for vend in self._vends
                if vendor in (None, vend["vendor"])
                and serial_number in (None, vend["serial_number"])
            ]

    def refunds(self, provider: str | None) -> list[dict[str, Any]]:
        """The refunds that providers have taken, oldest first."""
        return [
            {"provider": known.key, **refund}
            for known in self.providers
            if provider in (None, known.key)
            for refund in known.refunds()
        ]

    def take_sms(self, sms: dict[str, Any]) -> None:
        """Keeps an SMS and writes it down."""
        head = f"{timestamp()}  to {sms['to']}  ({sms['payment_id']}, {sms['number']})"
        with self._lock:
            self._sms.append({"at": timestamp(), **sms})
            with self._sms_log.open("a", encoding="utf-8") as log:
                log.write(f"{head}\n{sms['body']}\n\n")

    def sms(self) -> list[dict[str, Any]]:
        """The SMS so far, oldest first."""
        with self._lock:
            return list(self._sms)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, port: int, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None
    ) -> None:
        super().__init__((HOST, port), handler)
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serves one connection, in a thread of its own: nobody waits for another's handshake."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        try:
            secured = self._tls.wrap_socket(request, server_side=True)
        except OSError as refused:
            print(f"{timestamp()} no handshake: {refused}")
            return
        with secured:
            super().finish_request(secured, client_address)


class _Handler(BaseHTTPRequestHandler, ABC):
    """Answers each connection once, so that a closed address is closed to everybody."""

    def answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @abstractmethod
    def serve(self) -> None:
        """Answers one request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Without the query: one vendor wants its password there."""
        self.log_message("%s %s", self.requestline.partition("?")[0], code)

    def log_message(self, format: str, *args: Any) -> None:
        print(f"{timestamp()} {format % args}")

    def do_GET(self) -> None:
        self.serve()

    do_POST = do_PUT = do_DELETE = do_GET


def _tls_of(fake: Fake) -> ssl.SSLContext | None:
    return fake.tls() if isinstance(fake, OverTls) else None


def _fake_handler(fake: Fake, fakes: Fakes) -> type[_Handler]:
    class FakeHandler(_Handler):
        """Serves one fake under ``/<key>``."""

        def serve(self) -> None:
            request = self._request()
            read = fake.read(request) if request else NOT_FOUND
            if isinstance(read, Answer):
                return self.answer(read)
            record = partial(fakes.record_vend, fake.key, read.subject, read.request)
            fault = fakes.faults.take(fake.key, read.subject, CALL_FAULTS)
            silence = fakes.silence
            if fault in (Fault.ERROR_500, Fault.REFUSE):
                if read.is_vend:
                    record(issued=False)
                if fault is Fault.REFUSE:
                    return self.answer(fake.refusal(read))
                return self.answer(Answer(500, b"Internal Server Error", "text/plain"))
            done = fake.carry_out(read)
            if read.is_vend:
                record(issued=True, token=done.token)
            if fault is Fault.VEND_THEN_TIMEOUT:
                silence.wait(SILENT_SECONDS)
                return None  # hangs up without a word
            if fault is Fault.SLOW:
                silence.wait(SLOW_SECONDS)
            return self.answer(_GARBAGE if fault is Fault.GARBAGE else done.answer)

        def _request(self) -> Request | None:
            """The request, if it is for this fake."""
            body = self.body()
            address = urlsplit(self.path)
            if not address.path.startswith(f"/{fake.key}/"):
                return None
            return Request(
                self.command,
                address.path.removeprefix(f"/{fake.key}"),
                {name.lower(): value for name, value in self.headers.items()},
                body,
                dict(parse_qsl(address.query, keep_blank_values=True)),
            )

    return FakeHandler


def _control_handler(fakes: Fakes) -> type[_Handler]:
    class ControlHandler(_Handler):
        """``/_control/…`` and ``/sms``."""

        def serve(self) -> None:
            address = urlsplit(self.path)
            query = dict(parse_qsl(address.query))
            routes: dict[tuple[str, str], Callable[[], Answer]] = {
                ("POST", "/_control/faults"): self._add_fault,
                ("DELETE", "/_control/faults"): self._clear_faults,
                ("POST", "/_control/credentials"): self._rotate,
                ("GET", "/_control/vends"): lambda: self._vends(query),
                ("GET", "/_control/refunds"): lambda: self._refunds(query),
                **self._controls(),
                ("POST", "/sms"): self._take_sms,
                ("GET", "/sms"): lambda: Answer.of({"items": fakes.sms()}),
            }
            route = routes.get((self.command, address.path))
            self.answer(route() if route else Answer.of({"error": "no such address"}, 404))

        def _add_fault(self) -> Answer:
            try:
                order = FaultOrder.read(_json(self.body()), fakes.own_faults)
            except UnreadableFault as error:
                return Answer.of({"error": str(error)}, 422)
            fakes.order_fault(order)
            return Answer(204, b"")

        def _clear_faults(self) -> Answer:
            fakes.clear_faults()
            return Answer(204, b"")

        def _rotate(self) -> Answer:
            """``{"vendor": …, …}``: what else is there are the credentials from now on."""
            wanted = _json(self.body())
            vendor = wanted.pop("vendor", None) if isinstance(wanted, dict) else None
            if vendor not in fakes.rotating:
                return Answer.of({"error": f"vendor: one of {', '.join(fakes.rotating)}"}, 422)
            try:
                fakes.rotating[vendor].rotate(wanted)
            except KeyError as missing:
                return Answer.of({"error": f"{missing} is missing"}, 422)
            return Answer(204, b"")

        def _vends(self, query: Mapping[str, str]) -> Answer:
            vends = fakes.vends(query.get("vendor"), query.get("serial_number"))
            return Answer.of({"items": vends})

        def _refunds(self, query: Mapping[str, str]) -> Answer:
            return Answer.of({"items": fakes.refunds(query.get("provider"))})

        def _controls(self) -> dict[tuple[str, str], Callable[[], Answer]]:
            """What providers can be told to do, under ``/_control/<provider>/<name>``."""

            def told(act: Callable[[Any], Answer]) -> Answer:
                return act(_json(self.body()))

            return {
                ("POST", f"/_control/{provider.key}/{name}"): partial(told, act)
                for provider in fakes.providers
                for name, act in provider.controls().items()
            }

        def _take_sms(self) -> Answer:
            sms = _json(self.body())
            if not isinstance(sms, dict) or set(sms) != {"to", "body", "payment_id", "number"}:
                return Answer.of({"error": "fields: to, body, payment_id, number"}, 422)
            fakes.take_sms(sms)
            return Answer.of({}, 201)

    return ControlHandler


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
