"""Daly: batteries of e-bikes whose relay the vendor's cloud switches. There is no token.

The relay is on while the bike is paid for, and only we know when that ends, so it must be switched
off then (``switched``). To switch sets a state, so the same may be asked for again (recovery class
``repeatable``), and what is set is what the account says at that moment (``absolute``). A switch
counts as made when the state that is read back says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import Vend
from chalicelib.manufacturers import credentials
from chalicelib.manufacturers.answers import JSON_HEADERS, ask, fields_of, require_success
from chalicelib.manufacturers.plain_device import PlainDevice
from chalicelib.manufacturers.sessions import LOG_IN_SECONDS_MAX, Sessions, bearer, log_in
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.sessions import Session, SessionRefused
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    Sold,
    VendOrder,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/daly_bms"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 10

MANUFACTURERS = (
    Manufacturer(
        key="daly_bms",
        manufacturer_id=30,
        name="Daly BMS",
        kind=Kind.E_BIKE,
        recovery=RecoveryClass.REPEATABLE,
        rules={
            kind: VendRules(step=Fraction(1))
            for kind in (VendKind.TIME, VendKind.UNLOCK, VendKind.LOCK, VendKind.RESET)
        },
        local=False,
        checkable=True,
        # At the worst a kept session is refused, then comes a new one, the switch, and the look.
        timeout_seconds=SECONDS_MAX + LOG_IN_SECONDS_MAX + 2 * SECONDS_MAX,
        absolute=True,
        switched=True,
        authentication="user and password in the address of a log-in, kept",
        remote=True,
        unverified=(
            "which answers surely mean that nothing was switched",
            "how soon a state that is read shows the switch",
            "what becomes of a switch while the bike is out of reach",
        ),
    ),
)

COMMAND = "8500_004"
"""The vendor's key of the command that switches the relay (``ACC``)."""
NO_SESSION = 401
_SUCCESSES = (200, 201)
_STATES = {"ACCON": True, "ACCOFF": False}


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> DalyBms:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return DalyBms(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the secret says."""

    base_url: str
    username: str
    password: str


class DalyBms(PlainDevice):
    """Switches relays through the vendor's cloud, and reads back whether they are switched."""

    def __init__(
        self,
        manufacturer: Manufacturer,
        secrets: Callable[[str], Mapping[str, Any]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(manufacturer, secrets)
        self._now = now
        self._sessions = Sessions()

    def vend(self, order: VendOrder) -> Sold:
        """Switch the relay to what the device is owed now, and read it back.

        Time that is over switches it off. What is not (yet) seen switched is not delivered.

        Raises:
            VendRefused: the vendor does not take our credentials, or the vend is none that it
                sells.
            VendorUnreachable: no connection was made, or the log-in failed: nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        on = _is_on(order.vend, self._now())
        return Sold(delivered=self.switch(order.vend.serial_number, on=on))

    def switch(self, serial_number: str, *, on: bool) -> bool:
        """Switch the relay, and read back whether it is switched.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain, SecretMissing: as ``vend``.
        """
        configuration = self._configuration()

        def switch(session: str) -> bool:
            headers = {**JSON_HEADERS, "Authorization": f"Bearer {session}"}
            _switch(configuration, headers, serial_number, on=on)
            return _state(configuration, headers, serial_number) is on

        return self._sessions.call(repr(configuration), lambda: _log_in(configuration), switch)

    def check(self, serial_number: str) -> None:
        """Log in anew, and do nothing with it.

        Raises:
            VendRefused, VendorUnreachable, SecretMissing: as ``vend``.
        """
        _log_in(self._configuration())

    def look_up(self, order: VendOrder) -> Sold:
        """Always uncertain: switching again tells more than any search.

        Raises:
            VendUncertain: always.
        """
        raise VendUncertain("a switch is made again, not looked up")

    def token(self, text: str | None) -> None:
        """A switch has no token: whoever says that it was made gives none.

        Raises:
            FieldError: one was given all the same.
        """
        if text is not None:
            raise FieldError("token", "a relay that is switched has no token")

    def _configuration(self) -> _Configuration:
        """Where the vendor is, and who we are there."""
        content = self._secrets(SECRET)
        return _Configuration(
            base_url=credentials.base_url(content, SECRET),
            username=credentials.text(content, "username", SECRET),
            password=credentials.text(content, "password", SECRET),
        )


def _is_on(vend: Vend, now: datetime) -> bool:
    """Whether the relay is to be on: for good, or while the paid time lasts."""
    if vend.kind is VendKind.UNLOCK:
        return True
    if vend.kind is VendKind.LOCK:
        return False
    if vend.kind is not VendKind.TIME or vend.paid_until is None:
        raise VendRefused("not_offered")
    return now < vend.paid_until


# --- the log-in -------------------------------------------------------------------------------


def _log_in(configuration: _Configuration) -> Session:
    """A new session. Whatever goes wrong here, nothing was switched.

    The vendor takes user and password in the address: no error may quote that address.

    Raises:
        VendRefused, VendorUnreachable: as ``log_in``.
    """
    names = {"Username": configuration.username, "Password": configuration.password}
    url = f"{configuration.base_url}/api/Login/Authenticate?{urlencode(names)}"
    return log_in(url, JSON_HEADERS, b"", _session)


def _session(answer: Answer) -> Session:
    response = _response(answer)
    given = response if isinstance(response, dict) else {}
    return bearer(given.get("token"), given.get("expires_in"))


# --- the relay --------------------------------------------------------------------------------


def _switch(
    configuration: _Configuration, headers: Mapping[str, str], serial_number: str, *, on: bool
) -> None:
    """Have the relay switched.

    Raises:
        SessionRefused: the vendor does not take the session.
        VendorUnreachable: no connection was made.
        VendUncertain: it may be switched or not.
    """
    data = {"CmdKey": COMMAND, "Code": serial_number, "ACC": int(on)}
    body = json.dumps({"cmdKey": COMMAND, "data": data}).encode()
    _response(ask("POST", f"{configuration.base_url}/Monitor/Send", headers, SECONDS_MAX, body))


def _state(
    configuration: _Configuration, headers: Mapping[str, str], serial_number: str
) -> bool | None:
    """Whether the relay is on; ``None`` where what is read does not say so.

    Raises:
        VendUncertain: it cannot be read: then nobody knows whether the switch was made.
    """
    url = f"{configuration.base_url}/Monitor/Refresh"
    body = json.dumps({"codes": [serial_number]}).encode()
    try:
        response = _response(ask("POST", url, headers, SECONDS_MAX, body))
    except (SessionRefused, VendorUnreachable) as unread:
        raise VendUncertain("switched, but its state cannot be read") from unread
    rows = response.get("Data") if isinstance(response, dict) else None
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("Code") == serial_number:
            return _told_in(row.get("Status"))
    return None


def _told_in(status: object) -> bool | None:
    """What a status says of the relay, where it says one thing."""
    told = {on for word, on in _STATES.items() if isinstance(status, str) and word in status}
    return told.pop() if len(told) == 1 else None


def _response(answer: Answer) -> object:
    """What is in a vendor's success: its ``response``.

    Raises:
        SessionRefused: it wants a new session.
        VendUncertain: it is no clear success.
    """
    if answer.status == NO_SESSION:
        raise SessionRefused
    require_success(answer)
    fields = fields_of(answer)
    status, response = fields.get("status"), fields.get("response")
    if status == NO_SESSION:
        raise SessionRefused
    if status not in _SUCCESSES or fields.get("success") is False or response in (False, None):
        raise VendUncertain("the vendor reports a failure")
    return response
