"""Sun King: a solar home system whose tokens add days to it, or unlock it for good.

Two servers of the vendor on one port: the log-in (below ``/auth``) gives out bearers, asset control
(below ``/v2``) makes tokens for whoever shows one. It knows no id of ours and tells no token twice:
asked twice, it adds twice.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote

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
from infra.local.fakes.reading import TEXT, Field, Unacceptable, check, just, read_object
from infra.local.vendors.digits import Digits
from infra.local.vendors.sessions import Sessions

UNKNOWN_UNIT_PREFIX = "00000"
"""Units whose serial begins so are not known to the vendor."""

LOG_IN_PATH = "/auth/realms/glp/protocol/openid-connect/token"
_UNIT_PATH = "/v2/device_details/"
SESSION_SECONDS = 300
"""So long a bearer is taken."""

_LOG_IN = {
    "grant_type": just("client_credentials"),
    "client_id": TEXT,
    "client_secret": TEXT,
    "scope": just("roles"),
}
_UNLOCK = {"device": TEXT, "command": just("unlock")}
_ADD = {
    "device": TEXT,
    "command": just("add_credit"),
    "payload": Field("whole days above zero", lambda value: type(value) is int and value > 0),
    "time_unit": just("day"),
}


class SunKing:
    """The vendor's servers, as far as their documentation is known."""

    key = "sunking"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._tokens = Digits(12)
        self.rotate(settings)

    def rotate(self, settings: Settings) -> None:
        """See :class:`~infra.local.fakes.fake.Rotating`."""
        self._credentials = (settings["client_id"], settings["client_secret"])
        self._sessions = Sessions()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path == LOG_IN_PATH:
            return self._log_in(request)
        is_question = request.path.startswith(_UNIT_PATH)
        if request.query or not (is_question or request.path == "/v2/token"):
            return NOT_FOUND
        if request.method != ("GET" if is_question else "POST"):
            return METHOD_NOT_ALLOWED
        if not self._sessions.admits(request):
            return failed("Unauthorized", 401)
        if is_question:
            return _tell(unquote(request.path.removeprefix(_UNIT_PATH)))
        try:
            fields = _command_in(request)
        except Unacceptable as error:
            return failed(str(error), error.status)
        order = Order(fields["device"], fields)
        if order.subject.startswith(UNKNOWN_UNIT_PREFIX):
            return self.refusal(order)
        return order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        token = self._tokens.next()
        return Done(Answer.of({"token": token}), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return failed("Device not found", 404)

    def _log_in(self, request: Request) -> Answer:
        """A bearer, for who names the client and its secret."""
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return Answer.of({"error": "invalid_request"}, 415)
        try:
            pairs = parse_qsl(request.body.decode("ascii"), strict_parsing=True)
            fields = check(dict(pairs), _LOG_IN)
        except (ValueError, Unacceptable):
            return Answer.of({"error": "invalid_request"}, 400)
        if (fields["client_id"], fields["client_secret"]) != self._credentials:
            return Answer.of({"error": "unauthorized_client"}, 401)
        return Answer.of(
            {
                "access_token": self._sessions.begin(SESSION_SECONDS),
                "expires_in": SESSION_SECONDS,
                "token_type": "Bearer",
            }
        )


def _tell(serial_number: str) -> Answer:
    """What the vendor knows of a unit."""
    if not serial_number or serial_number.startswith(UNKNOWN_UNIT_PREFIX):
        return failed("Device not found", 404)
    unit = {"code": "312", "name": "SK-312 Pro EasyBuy", "keypad_type": 2, "is_paygo": True}
    return Answer.of({"device": unit})


def failed(message: str, status: int) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"message": message, "details": ""}, status)


def _command_in(request: Request) -> dict[str, Any]:
    """The command in the body: one of the two that are documented.

    Raises:
        Unacceptable: it is neither.
    """
    try:
        return read_object(request, _ADD)
    except Unacceptable as error:
        if error.status != 400:
            raise
        return read_object(request, _UNLOCK)
