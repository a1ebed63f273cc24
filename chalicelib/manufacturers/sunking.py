"""Sun King: solar home systems that take days, or run for good, by a token.

A log-in (OAuth 2.0 client credentials) comes first, and is kept. A token adds its days to what
the unit has, each request makes a new one, and the vendor can be asked for none of them
afterwards. So whatever is not a clear yes or a listed no is uncertain, and an uncertain vend waits
for a person (recovery class ``opaque``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import quote, urlencode

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import Vend
from chalicelib.manufacturers import credentials
from chalicelib.manufacturers.answers import (
    JSON_HEADERS,
    ask,
    fields_of,
    is_success,
    require_success,
    words_of,
)
from chalicelib.manufacturers.plain_device import PlainDevice
from chalicelib.manufacturers.sessions import LOG_IN_SECONDS_MAX, Sessions, access_token, log_in
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.sessions import Session, SessionRefused
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    Sold,
    VendOrder,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/sunking"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 15
QUESTION_SECONDS_MAX = 5
"""Somebody who registers a unit waits for this one."""

MANUFACTURERS = (
    Manufacturer(
        key="sunking",
        manufacturer_id=21,
        name="Sun King",
        kind=Kind.SHS,
        recovery=RecoveryClass.OPAQUE,
        rules={
            VendKind.TIME: VendRules(step=Fraction(1)),
            VendKind.UNLOCK: VendRules(step=Fraction(1)),
        },
        local=False,
        checkable=True,
        tells_serials=True,
        # At the worst a kept session is refused, then a new one is asked for, then the token.
        timeout_seconds=SECONDS_MAX + LOG_IN_SECONDS_MAX + SECONDS_MAX,
        authentication="OAuth 2.0 client credentials, kept",
        unverified=(
            "the length of a token",
            "the largest number of days",
        ),
    ),
)

NO_SESSION = 401
NOT_FOUND = 404

_TOKEN = re.compile(r"[0-9]{6,30}")
_BLANKS_AND_DASHES = re.compile(r"[\s-]+")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> SunKing:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return SunKing(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the secret says. ``auth_url`` is the whole address of the log-in."""

    base_url: str
    auth_url: str
    client_id: str
    client_secret: str


class SunKing(PlainDevice):
    """Asks the vendor's asset control for tokens."""

    def __init__(
        self, manufacturer: Manufacturer, secrets: Callable[[str], Mapping[str, Any]]
    ) -> None:
        super().__init__(manufacturer, secrets)
        self._sessions = Sessions()

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token. Only where the vendor did not take our session is it asked twice.

        Raises:
            VendRefused: the vendor's answer is a listed no, it does not take our credentials, or
                the vend is none that it sells.
            VendorUnreachable: no connection was made, or the log-in failed: no token was asked for.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        command = json.dumps(_command(order.vend)).encode()
        configuration = self._configuration()

        def ask_for_token(session: str) -> Sold:
            answer = ask(
                "POST",
                f"{configuration.base_url}/token",
                {**JSON_HEADERS, "Authorization": f"Bearer {session}"},
                SECONDS_MAX,
                command,
            )
            return Sold(_token_of(answer, (session,)))

        return self._sessions.call(
            repr(configuration), lambda: _log_in(configuration), ask_for_token
        )

    def knows(self, serial_number: str) -> bool:
        """Whether the unit is assigned to us at the vendor.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain, SecretMissing: as ``vend``.
        """
        configuration = self._configuration()

        def ask_for_unit(session: str) -> bool:
            answer = ask(
                "GET",
                f"{configuration.base_url}/device_details/{quote(serial_number, safe='')}",
                {**JSON_HEADERS, "Authorization": f"Bearer {session}"},
                QUESTION_SECONDS_MAX,
            )
            return _is_known(answer)

        return self._sessions.call(
            repr(configuration), lambda: _log_in(configuration), ask_for_unit
        )

    def check(self, serial_number: str) -> None:
        """Log in anew, and do nothing with it.

        Raises:
            VendRefused, VendorUnreachable, SecretMissing: as ``vend``.
        """
        _log_in(self._configuration())

    def look_up(self, order: VendOrder) -> Sold:
        """Always uncertain: the vendor offers nothing to search.

        Raises:
            VendUncertain: always.
        """
        raise VendUncertain("the vendor cannot be asked")

    def token(self, text: str | None) -> str:
        """The token that a person typed in: digits; spaces and dashes do not count.

        Raises:
            FieldError: it cannot be a token of this manufacturer.
        """
        token = _digits(text)
        if token is None:
            raise FieldError("token", "must be 6 to 30 digits")
        return token

    def _configuration(self) -> _Configuration:
        """Where the vendor is, and who we are there."""
        content = self._secrets(SECRET)
        return _Configuration(
            base_url=credentials.base_url(content, SECRET),
            auth_url=credentials.base_url(content, SECRET, "auth_url"),
            client_id=credentials.text(content, "client_id", SECRET),
            client_secret=credentials.text(content, "client_secret", SECRET),
        )


def _command(vend: Vend) -> Mapping[str, object]:
    """What the vendor is to do, in its words."""
    if vend.kind is VendKind.UNLOCK:
        return {"device": vend.serial_number, "command": "unlock"}
    if vend.kind is not VendKind.TIME or vend.units is None or vend.units <= 0:
        raise VendRefused("not_offered")
    if vend.units.denominator != 1:
        raise VendRefused("units_out_of_range")
    return {
        "device": vend.serial_number,
        "command": "add_credit",
        "payload": vend.units.numerator,
        "time_unit": "day",
    }


# --- the log-in -------------------------------------------------------------------------------


def _log_in(configuration: _Configuration) -> Session:
    """A new session. Whatever goes wrong here, no token was asked for.

    Raises:
        VendRefused, VendorUnreachable: as ``log_in``.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": configuration.client_id,
        "client_secret": configuration.client_secret,
        "scope": "roles",
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return log_in(configuration.auth_url, headers, urlencode(form).encode(), access_token)


# --- what the answer means --------------------------------------------------------------------


def _digits(value: object) -> str | None:
    """The token without what groups it; ``None`` if it is none."""
    token = _BLANKS_AND_DASHES.sub("", value) if isinstance(value, str) else ""
    return token if _TOKEN.fullmatch(token) else None


def _token_of(answer: Answer, secrets: tuple[str, ...] = ()) -> str:
    """The token, if the answer clearly is one. ``secrets`` are kept out of what errors quote."""
    if answer.status == NO_SESSION:
        raise SessionRefused
    if answer.status != NOT_FOUND:
        require_success(answer)
    fields = fields_of(answer)
    given, message = fields.get("token"), fields.get("message")
    if not is_success(answer) and given is None and isinstance(message, str):
        raise VendRefused("device_not_found", words_of(message, secrets))
    require_success(answer)
    token = _digits(given)
    if token is None or message is not None:
        raise VendUncertain("success without a clear token")
    return token


def _is_known(answer: Answer) -> bool:
    """Whether the answer describes a unit; a 404 in the vendor's own words says that it has none.

    Raises:
        SessionRefused: the vendor does not take the session.
        VendUncertain: it is neither.
    """
    if answer.status == NO_SESSION:
        raise SessionRefused
    if answer.status != NOT_FOUND:
        require_success(answer)
    fields = fields_of(answer)
    if answer.status == NOT_FOUND and isinstance(fields.get("message"), str):
        return False
    require_success(answer)
    if not isinstance(fields.get("device"), dict):
        raise VendUncertain("no unit is described")
    return True
