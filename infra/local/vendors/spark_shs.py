"""Spark Energy: a solar home system (a "kit") whose tokens add days to it, or unlock it for good.

Two servers of the vendor on one port: the log-in (``/oauth/token``) gives out bearers, the platform
(below ``/api/v1``) makes tokens for whoever shows one. It knows no id of ours, but counts a kit's
tokens and tells the last one.
"""

from __future__ import annotations

import secrets
import threading
import time
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

FOREIGN_KIT_PREFIX = "00000"
"""Kits whose serial begins so are somebody else's."""

LOG_IN_PATH = "/oauth/token"
API_PATH = "/api/v1"
AUDIENCE = "https://platform.ruralspark.com/api"
SESSION_SECONDS = 300
"""So long a bearer is taken."""

_KITS = f"{API_PATH}/products/kits"
_LOG_IN = {
    "client_id": TEXT,
    "client_secret": TEXT,
    "audience": just(AUDIENCE),
    "grant_type": just("client_credentials"),
}
_UNLOCK = {"type": just("unlock")}
_DAYS = {
    "type": just("days"),
    "days": Field("whole days above zero", lambda value: type(value) is int and value > 0),
}


@dataclass
class _Kit:
    """How many tokens a kit has had, and the last of them."""

    count: int = 0
    token: str = ""


class SparkShs:
    """The vendor's servers, as far as their documentation is known."""

    key = "spark_shs"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._credentials = (settings["client_id"], settings["client_secret"])
        self._tokens = Digits(15)
        self._sessions: dict[str, float] = {}
        self._kits: dict[str, _Kit] = {}
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path == LOG_IN_PATH:
            return self._log_in(request)
        if request.query or not f"{request.path}/".startswith(f"{_KITS}/"):
            return NOT_FOUND
        if not self._knows(request.headers.get("authorization", "")):
            return failed("Unauthorized", 401)
        serial_number, _, what = request.path.removeprefix(_KITS).removeprefix("/").partition("/")
        serial_number = unquote(serial_number)
        if what not in ("", "tokens"):
            return NOT_FOUND
        if request.method != ("POST" if what else "GET"):
            return METHOD_NOT_ALLOWED
        if serial_number.startswith(FOREIGN_KIT_PREFIX):
            return failed("Forbidden", 403)
        if not what:
            return self._tell(serial_number)
        try:
            command = _command_in(request)
        except Unacceptable as error:
            return failed(str(error), error.status)
        return Order(serial_number, command)

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        token = self._tokens.next()
        with self._lock:
            kit = self._kits.setdefault(order.subject, _Kit())
            kit.count, kit.token = kit.count + 1, token
        return Done(Answer.of({"token": token}, 201), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return failed("Forbidden", 403)

    def _tell(self, serial_number: str) -> Answer:
        """What the vendor knows of a kit; without a number, all that had a token."""
        with self._lock:
            kits = dict(self._kits)
        if not serial_number:
            return Answer.of({"items": [_shown(name, kit) for name, kit in kits.items()]})
        return Answer.of(_shown(serial_number, kits.get(serial_number, _Kit())))

    def _log_in(self, request: Request) -> Answer:
        """A bearer, for who names the client, its secret and the audience."""
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _LOG_IN)
        except Unacceptable as error:
            return Answer.of({"error": "invalid_request"}, error.status)
        if (fields["client_id"], fields["client_secret"]) != self._credentials:
            return Answer.of({"error": "access_denied"}, 401)
        bearer = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[bearer] = time.monotonic() + SESSION_SECONDS
        return Answer.of(
            {"access_token": bearer, "expires_in": SESSION_SECONDS, "token_type": "Bearer"}
        )

    def _knows(self, authorization: str) -> bool:
        """Whether that is a bearer that is still good."""
        scheme, _, bearer = authorization.partition(" ")
        with self._lock:
            return scheme == "Bearer" and time.monotonic() < self._sessions.get(bearer, 0)


def failed(message: str, status: int) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"message": message}, status)


def _shown(serial_number: str, kit: _Kit) -> dict[str, Any]:
    return {
        "serial": serial_number,
        "type": "home",
        "n": kit.count,
        "token": kit.token,
        "devices": [],
    }


def _command_in(request: Request) -> dict[str, Any]:
    """The command in the body: one of the two that are documented.

    Raises:
        Unacceptable: it is neither.
    """
    try:
        return read_object(request, _DAYS)
    except Unacceptable as error:
        if error.status != 400:
            raise
        return read_object(request, _UNLOCK)
