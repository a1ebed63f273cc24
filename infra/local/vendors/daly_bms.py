"""Daly: the battery of an e-bike whose relay is switched through the vendor's cloud.

A log-in, with the credentials in its query, gives out bearers; ``POST /Monitor/Send`` switches,
``POST /Monitor/Refresh`` tells in what state bikes are. To switch twice is to switch once. Failures
are told with HTTP 200 and the status 500; that a bearer that is not good gets HTTP 401 is an
assumption. While the fault ``pending`` is in force, a state is told as if the last switch had not
reached the bike.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import Any

from infra.local.fakes.fake import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Answer,
    Done,
    Order,
    Request,
    Settings,
    timestamp,
)
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import (
    OBJECT,
    TEXT,
    Field,
    Unacceptable,
    check,
    just,
    read_object,
)

UNKNOWN_BIKE_PREFIX = "00000"
"""Bikes whose serial begins so are not known to the vendor."""

COMMAND = "8500_004"
LOG_IN_PATH = "/api/Login/Authenticate"
SWITCH_PATH = "/Monitor/Send"
STATE_PATH = "/Monitor/Refresh"
SESSION_SECONDS = 300
"""So long a bearer is taken."""

_LOG_IN = {"Username": TEXT, "Password": TEXT}
_SWITCH = {"cmdKey": just(COMMAND), "data": OBJECT}
_DATA = {
    "CmdKey": just(COMMAND),
    "Code": TEXT,
    "ACC": Field("0 or 1", lambda value: type(value) is int and value in (0, 1)),
}
_STATE = {
    "codes": Field(
        "a list of texts",
        lambda value: isinstance(value, list) and all(isinstance(code, str) for code in value),
    )
}


class DalyBms:
    """The vendor's cloud, as far as its documentation is known."""

    key = "daly_bms"
    own_faults = frozenset({Fault.PENDING})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._credentials = (settings["username"], settings["password"])
        self._faults = faults
        self._sessions: dict[str, float] = {}
        self._relays: dict[str, bool] = {}
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path not in (LOG_IN_PATH, SWITCH_PATH, STATE_PATH):
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        if request.path == LOG_IN_PATH:
            return self._log_in(request)
        if not self._knows(request.headers.get("authorization", "")):
            return failed("Unauthorized", 401)
        try:
            if request.path == STATE_PATH:
                return self._tell(read_object(request, _STATE)["codes"])
            switch = check(read_object(request, _SWITCH)["data"], _DATA, "data")
        except Unacceptable as error:
            return failed(str(error), error.status)
        order = Order(switch["Code"], switch)
        if order.subject.startswith(UNKNOWN_BIKE_PREFIX):
            return self.refusal(order)
        return order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        with self._lock:
            self._relays[order.subject] = bool(order.request["ACC"])
        return Done(succeeded({"Data": []}))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return failed("no such device")

    def _log_in(self, request: Request) -> Answer:
        """A bearer, for who gives user and password."""
        try:
            asked = check(request.query, _LOG_IN)
        except Unacceptable as error:
            return failed(str(error), error.status)
        if (asked["Username"], asked["Password"]) != self._credentials:
            return failed("user or password is wrong", 401)
        bearer = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[bearer] = time.monotonic() + SESSION_SECONDS
        return succeeded({"token": bearer, "expires_in": SESSION_SECONDS})

    def _knows(self, authorization: str) -> bool:
        """Whether that is a bearer that is still good."""
        scheme, _, bearer = authorization.partition(" ")
        with self._lock:
            return scheme == "Bearer" and time.monotonic() < self._sessions.get(bearer, 0)

    def _tell(self, codes: list[str]) -> Answer:
        """The state of those bikes that the vendor knows."""
        known = [code for code in codes if not code.startswith(UNKNOWN_BIKE_PREFIX)]
        return succeeded({"Data": [self._state(code) for code in known]})

    def _state(self, code: str) -> dict[str, Any]:
        with self._lock:
            on = self._relays.get(code, False)
        if self._faults.take(self.key, code, self.own_faults):
            on = not on
        return {
            "Code": code,
            "ReceiveTime": timestamp(),
            "Status": f"GPS,{'ACCON' if on else 'ACCOFF'}",
            "BatteryLevel": 80,
        }


def succeeded(response: Any) -> Answer:
    """A success, as this vendor tells it."""
    return Answer.of({"status": 200, "success": True, "msg": "", "response": response})


def failed(message: str, status: int = 200) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"status": 500, "msg": message, "response": False}, status)
