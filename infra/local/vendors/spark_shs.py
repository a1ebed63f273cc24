"""Spark Energy: a solar home system (a "kit") whose tokens add days to it, or unlock it for good.

Two servers of the vendor on one port: the log-in (``/oauth/token``) gives out bearers, the API
(below ``/api/v1``) makes tokens for whoever shows one. It knows no id of ours: asked twice, it
adds twice. But a kit counts its tokens (``n``) and tells the last one, so a token whose answer was
lost can be found again.

What its documentation leaves open, and is only assumed here: the words of errors, the form of
tokens, that a kit without tokens counts none (``n`` 0, ``token`` null), what is told of devices.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from infra.local.fakes.fake import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Answer,
    Done,
    Order,
    Request,
    Settings,
)
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import TEXT, Field, Unacceptable, just, read_object
from infra.local.vendors.digits import Digits
from infra.local.vendors.sessions import Sessions

FOREIGN_KIT_PREFIX = "00000"
"""Kits whose serial begins so are not the company's."""

LOG_IN_PATH = "/oauth/token"
API_PATH = "/api/v1"
SESSION_SECONDS = 300
"""So long a bearer is taken."""

_PATH = re.compile(rf"{API_PATH}/products/kits(/(?P<serial>[^/]+)(?P<tokens>/tokens)?)?")
_CREDENTIALS = {"client_id": TEXT, "client_secret": TEXT, "audience": TEXT}
_LOG_IN = {**_CREDENTIALS, "grant_type": just("client_credentials")}
_UNLOCK = {"type": just("unlock")}
_DAYS = {
    "type": just("days"),
    "days": Field("whole days above zero", lambda value: type(value) is int and value > 0),
}


@dataclass
class _Kit:
    """How many tokens a kit was given, and the last of them."""

    n: int = 0
    token: str | None = None


class SparkShs:
    """The vendor's servers, as far as their documentation is known."""

    key = "spark_shs"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._credentials = {name: settings[name] for name in _CREDENTIALS}
        self._tokens = Digits(12)
        self._sessions = Sessions()
        self._kits: dict[str, _Kit] = {}
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.query:
            return NOT_FOUND
        if request.path == LOG_IN_PATH:
            return self._log_in(request)
        path = _PATH.fullmatch(request.path)
        if path is None:
            return NOT_FOUND
        if request.method != ("POST" if path["tokens"] else "GET"):
            return METHOD_NOT_ALLOWED
        if not self._sessions.admits(request):
            return failed("Unauthorized", 401)
        if path["serial"] is None:
            return self._tell_all()
        serial = unquote(path["serial"])
        if serial.startswith(FOREIGN_KIT_PREFIX):
            return FOREIGN_KIT
        return _order_in(request, serial) if path["tokens"] else Answer.of(self._shown(serial))

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        token = self._tokens.next()
        with self._lock:
            kit = self._kits.setdefault(order.subject, _Kit())
            kit.n += 1
            kit.token = token
        return Done(Answer.of({"token": token}), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return FOREIGN_KIT

    def _log_in(self, request: Request) -> Answer:
        """A bearer, for who names the client, its secret and what it is for."""
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _LOG_IN)
        except Unacceptable as error:
            return Answer.of({"error": "invalid_request"}, error.status)
        if {name: fields[name] for name in _CREDENTIALS} != self._credentials:
            return Answer.of({"error": "access_denied"}, 401)
        return Answer.of(
            {
                "access_token": self._sessions.begin(SESSION_SECONDS),
                "expires_in": SESSION_SECONDS,
                "token_type": "Bearer",
            }
        )

    def _tell_all(self) -> Answer:
        """The kits that were given tokens."""
        with self._lock:
            serials = list(self._kits)
        return Answer.of([self._shown(serial) for serial in serials])

    def _shown(self, serial: str) -> dict[str, Any]:
        """A kit as it is told."""
        with self._lock:
            kit = self._kits.get(serial, _Kit())
            return {"serial": serial, "type": "kit", "n": kit.n, "token": kit.token, "devices": []}


def failed(message: str, status: int) -> Answer:
    """An error, as it is assumed that this vendor tells it."""
    return Answer.of({"message": message}, status)


FOREIGN_KIT = failed("Forbidden", 403)


def _order_in(request: Request, serial: str) -> Order | Answer:
    """The order for a token in a body: one of the two that are documented."""
    try:
        fields = _read_wish(request)
    except Unacceptable as error:
        return failed(str(error), error.status)
    return Order(serial, fields)


def _read_wish(request: Request) -> dict[str, Any]:
    """Days, or the unlock.

    Raises:
        Unacceptable: it is neither.
    """
    try:
        return read_object(request, _DAYS)
    except Unacceptable as error:
        if error.status != 400:
            raise
        return read_object(request, _UNLOCK)
