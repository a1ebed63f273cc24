"""Daly: the battery of an e-bike, whose relay is switched on and off from afar; there is no token.

``POST /api/Login/Authenticate`` gives out bearers; name and password are in the address.
``POST /Monitor/Send`` switches a relay, ``POST /Monitor/Refresh`` tells the state of batteries. The
same switch twice is as good as once. Errors are told with HTTP 200 and a ``status`` in the body,
but for bearers that are not good (HTTP 401).

A battery that nobody has switched is off. With the fault ``offline`` a switch is accepted, but the
battery does not hear of it: its state and the time of its last word stay as they are with each look
for which the fault is in force, and change with the first one after it.

What no source establishes, and is only assumed here: the words around ``ACCON`` and ``ACCOFF`` in
``Status``, the form of ``ReceiveTime``, that ``expires_in`` is in seconds, and that a refresh with
one unknown battery fails as a whole.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

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
from infra.local.fakes.reading import (
    OBJECT,
    TEXT,
    Field,
    Unacceptable,
    check,
    just,
    read_object,
)
from infra.local.vendors.sessions import Sessions

UNKNOWN_BATTERY_PREFIX = "00000"
"""Batteries whose code begins so are not known to the vendor."""

LOG_IN_PATH = "/api/Login/Authenticate"
SWITCH_PATH = "/Monitor/Send"
STATE_PATH = "/Monitor/Refresh"
SESSION_SECONDS = 300
"""So long a bearer is taken."""

_COMMAND = just("8500_004")
_SWITCH = {"cmdKey": _COMMAND, "data": OBJECT}
_SWITCH_DATA = {
    "CmdKey": _COMMAND,
    "Code": TEXT,
    "ACC": Field("1 or 0", lambda value: type(value) is int and value in (0, 1)),
}
_REFRESH = {
    "codes": Field(
        "a list of codes",
        lambda value: isinstance(value, list) and value != [] and all(map(TEXT.accepts, value)),
    )
}


@dataclass
class _Battery:
    """One battery. ``wished`` is how it was last switched, ``is_on`` what it has last told."""

    wished: bool = False
    is_on: bool = False
    heard: datetime = field(default_factory=lambda: datetime.now(UTC))


class DalyBms:
    """The vendor's server, as far as its documentation is known."""

    key = "daly_bms"
    own_faults = frozenset({Fault.OFFLINE})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._login = {"Username": settings["username"], "Password": settings["password"]}
        self._faults = faults
        self._sessions = Sessions()
        self._batteries: dict[str, _Battery] = {}
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path not in (LOG_IN_PATH, SWITCH_PATH, STATE_PATH):
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        if request.path == LOG_IN_PATH:
            return self._log_in(request)
        if request.query:
            return NOT_FOUND
        if not self._sessions.admits(request):
            return failed("Unauthorized", 401, 401)
        try:
            return _switch_in(request) if request.path == SWITCH_PATH else self._tell(request)
        except Unacceptable as error:
            return failed(str(error), error.status, error.status)

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        with self._lock:
            battery = self._batteries.setdefault(order.subject, _Battery())
            battery.wished = order.request["ACC"] == 1
        return Done(_succeeded({"Data": []}))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return UNKNOWN_BATTERY

    def _log_in(self, request: Request) -> Answer:
        """A bearer, for who knows the password. Errors have another name than elsewhere."""
        if request.query != self._login or request.body:
            message = "user or password is wrong"
            return Answer.of({"status": 500, "message": message, "response": False})
        bearer = self._sessions.begin(SESSION_SECONDS)
        return _succeeded({"token": bearer, "expires_in": SESSION_SECONDS})

    def _tell(self, request: Request) -> Answer:
        """The state of some batteries.

        Raises:
            Unacceptable: that is not what is asked for.
        """
        codes: list[str] = read_object(request, _REFRESH)["codes"]
        if any(map(_is_unknown, codes)):
            return UNKNOWN_BATTERY
        return _succeeded({"Data": [self._state(code) for code in codes]})

    def _state(self, code: str) -> dict[str, Any]:
        """What a battery tells now; what it told last, if it cannot be reached."""
        is_offline = self._faults.take(self.key, code, self.own_faults) is not None
        with self._lock:
            battery = self._batteries.setdefault(code, _Battery())
            if not is_offline:
                battery.is_on = battery.wished
                battery.heard = datetime.now(UTC)
            return {
                "Code": code,
                "ReceiveTime": battery.heard.strftime("%Y-%m-%d %H:%M:%S"),
                "Lat": -1.2921,
                "Lng": 36.8219,
                "Speed": 0,
                "Mileage": 0,
                "Status": f"GPS,{'ACCON' if battery.is_on else 'ACCOFF'},0km/h",
                "SOH": 100,
                "BatteryLevel": 80,
                "BatteryVoltage": 52.1,
            }


def _succeeded(response: dict[str, Any]) -> Answer:
    return Answer.of({"status": 200, "success": True, "msg": "", "response": response})


def failed(message: str, status: int = 500, http_status: int = 200) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"status": status, "msg": message, "response": False}, http_status)


UNKNOWN_BATTERY = failed("device not found")


def _is_unknown(code: str) -> bool:
    return code.startswith(UNKNOWN_BATTERY_PREFIX)


def _switch_in(request: Request) -> Order | Answer:
    """The switch in a body; what is shown of it is its data.

    Raises:
        Unacceptable: it is none.
    """
    data = check(read_object(request, _SWITCH)["data"], _SWITCH_DATA, "data")
    return UNKNOWN_BATTERY if _is_unknown(data["Code"]) else Order(data["Code"], data)
