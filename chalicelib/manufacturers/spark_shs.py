"""Spark Energy: solar home systems ("kits") that take days, or run for good, by a token.

A log-in (OAuth 2.0 client credentials) comes first, and is kept. The vendor counts the tokens of a
kit and tells the last one. So the count is read before a token is asked for, and where the answer
was lost it is read again: one more is ours, the same says that none was made (recovery class
``searchable``). For that a kit has one vend in flight at most.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import quote

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import Vend
from chalicelib.manufacturers import credentials
from chalicelib.manufacturers.answers import JSON_HEADERS, ask, fields_of, require_success
from chalicelib.manufacturers.plain_device import PlainDevice
from chalicelib.manufacturers.sessions import LOG_IN_SECONDS_MAX, Sessions, access_token, log_in
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.sessions import Session, SessionRefused
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    Sold,
    VendAbsent,
    VendOrder,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/spark_shs"  # noqa: S105 - the name of a secret, not a secret
QUESTION_SECONDS_MAX = 5
SECONDS_MAX = 10

MANUFACTURERS = (
    Manufacturer(
        key="spark_shs",
        manufacturer_id=22,
        name="Spark SHS",
        kind=Kind.SHS,
        recovery=RecoveryClass.SEARCHABLE,
        rules={
            VendKind.TIME: VendRules(step=Fraction(1)),
            VendKind.UNLOCK: VendRules(step=Fraction(1)),
        },
        local=False,
        checkable=True,
        # A kept session may end as late as between the count and the token: then both again.
        timeout_seconds=2 * (QUESTION_SECONDS_MAX + SECONDS_MAX) + LOG_IN_SECONDS_MAX,
        one_at_a_time=True,
        absent_after_seconds=60,
        tells_serials=True,
        authentication="OAuth 2.0 client credentials, kept",
        unverified=(
            "that the count grows by one with each token, at once",
            "the form of a token",
            "the largest number of days",
        ),
    ),
)

NO_SESSION = 401
NOT_OURS = 403

_TOKEN = re.compile(r"[0-9]{6,30}")
_BLANKS_AND_DASHES = re.compile(r"[\s-]+")
_SEEN = re.compile(r"n=([0-9]{1,15})")
_COUNT_MAX = 10**15


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> SparkShs:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return SparkShs(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the secret says. ``auth_url`` is the whole address of the log-in."""

    base_url: str
    auth_url: str
    audience: str
    client_id: str
    client_secret: str

    def kit(self, serial_number: str) -> str:
        """The address of a kit."""
        return f"{self.base_url}/products/kits/{quote(serial_number, safe='')}"


@dataclass(frozen=True, slots=True)
class _Kit:
    """What the vendor tells of a kit: how many tokens it has had, and the last of them."""

    count: int
    token: str | None


class SparkShs(PlainDevice):
    """Asks the vendor's platform for tokens, and for what it has made of a kit."""

    def __init__(
        self, manufacturer: Manufacturer, secrets: Callable[[str], Mapping[str, Any]]
    ) -> None:
        super().__init__(manufacturer, secrets)
        self._sessions = Sessions()

    def vend(self, order: VendOrder) -> Sold:
        """Read the kit's count, then ask for one token. The token is asked for once.

        Raises:
            VendRefused: the kit is not ours, our credentials are not taken, or the vend is none
                that the vendor sells.
            VendorUnreachable: no token was asked for: no connection, no log-in, or no count.
            VendUncertain: anything else; ``seen`` is the count before.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        command = json.dumps(_command(order.vend)).encode()
        configuration = self._configuration()

        def read_and_ask(session: str) -> Sold:
            headers = _headers(session)
            count = _count_before(configuration, headers, order.vend.serial_number)
            url = f"{configuration.kit(order.vend.serial_number)}/tokens"
            try:
                answer = ask("POST", url, headers, SECONDS_MAX, command)
                return Sold(_token_of(answer))
            except VendUncertain as unclear:
                unclear.seen = f"n={count}"
                raise

        return self._sessions.call(
            repr(configuration), lambda: _log_in(configuration), read_and_ask
        )

    def check(self, serial_number: str) -> None:
        """Log in anew, and do nothing with it.

        Raises:
            VendRefused, VendorUnreachable, SecretMissing: as ``vend``.
        """
        _log_in(self._configuration())

    def look_up(self, order: VendOrder) -> Sold:
        """Read the kit again: its last token is this vend's where there is exactly one more.

        Raises:
            VendAbsent: the vendor has made no token since.
            VendRefused, VendorUnreachable, SecretMissing: it cannot be asked now.
            VendUncertain: it cannot be told.
        """
        configuration = self._configuration()

        def read(session: str) -> _Kit:
            return _kit(configuration, _headers(session), order.vend.serial_number)

        try:
            kit = self._sessions.call(repr(configuration), lambda: _log_in(configuration), read)
        except VendRefused as refused:  # it is about the question, not about the vend
            raise VendUncertain(f"the kit cannot be read: {refused.code}") from refused
        return Sold(_token_made(order, kit))

    def knows(self, serial_number: str) -> bool:
        """Whether the kit is ours at the vendor.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain, SecretMissing: it cannot be told now.
        """
        configuration = self._configuration()

        def read(session: str) -> bool:
            try:
                _kit(configuration, _headers(session), serial_number)
            except VendRefused:
                return False
            return True

        return self._sessions.call(repr(configuration), lambda: _log_in(configuration), read)

    def token(self, text: str | None) -> str:
        """The token that a person typed in; spaces and dashes do not count.

        Raises:
            FieldError: it cannot be a token of this manufacturer.
        """
        token = _plain(text)
        if token is None:
            raise FieldError("token", "must be 6 to 30 digits")
        return token

    def _configuration(self) -> _Configuration:
        """Where the vendor is, and who we are there."""
        content = self._secrets(SECRET)
        return _Configuration(
            base_url=credentials.base_url(content, SECRET),
            auth_url=credentials.base_url(content, SECRET, "auth_url"),
            audience=credentials.text(content, "audience", SECRET),
            client_id=credentials.text(content, "client_id", SECRET),
            client_secret=credentials.text(content, "client_secret", SECRET),
        )


def _headers(session: str) -> Mapping[str, str]:
    return {**JSON_HEADERS, "Authorization": f"Bearer {session}"}


def _command(vend: Vend) -> Mapping[str, object]:
    """What the vendor is to make, in its words."""
    if vend.kind is VendKind.UNLOCK:
        return {"type": "unlock"}
    if vend.kind is not VendKind.TIME or vend.units is None or vend.units <= 0:
        raise VendRefused("not_offered")
    if vend.units.denominator != 1:
        raise VendRefused("units_out_of_range")
    return {"type": "days", "days": vend.units.numerator}


# --- the log-in -------------------------------------------------------------------------------


def _log_in(configuration: _Configuration) -> Session:
    """A new session. Whatever goes wrong here, no token was asked for.

    Raises:
        VendRefused, VendorUnreachable: as ``log_in``.
    """
    asked = {
        "client_id": configuration.client_id,
        "client_secret": configuration.client_secret,
        "audience": configuration.audience,
        "grant_type": "client_credentials",
    }
    return log_in(configuration.auth_url, JSON_HEADERS, json.dumps(asked).encode(), access_token)


# --- the kit ----------------------------------------------------------------------------------


def _count_before(
    configuration: _Configuration, headers: Mapping[str, str], serial_number: str
) -> int:
    """How many tokens the kit has had. Whatever goes wrong here, none was asked for.

    Raises:
        SessionRefused: the vendor does not take the session.
        VendRefused: the kit is not ours.
        VendorUnreachable: it cannot be told.
    """
    try:
        return _kit(configuration, headers, serial_number).count
    except VendUncertain as unclear:
        raise VendorUnreachable(f"the kit cannot be read: {unclear}") from unclear


def _kit(configuration: _Configuration, headers: Mapping[str, str], serial_number: str) -> _Kit:
    """What the vendor tells of a kit.

    Raises:
        SessionRefused: it does not take the session.
        VendRefused: the kit is not ours.
        VendorUnreachable, VendUncertain: it cannot be told.
    """
    answer = ask("GET", configuration.kit(serial_number), headers, QUESTION_SECONDS_MAX)
    if answer.status == NO_SESSION:
        raise SessionRefused
    if answer.status == NOT_OURS:
        raise VendRefused("device_not_found")
    require_success(answer)
    fields = fields_of(answer)
    count = fields.get("n")
    if fields.get("serial") != serial_number:
        raise VendUncertain("another kit is told")
    if type(count) is not int or not 0 <= count < _COUNT_MAX:
        raise VendUncertain("no count of tokens")
    return _Kit(count, _plain(fields.get("token")))


def _token_made(order: VendOrder, kit: _Kit) -> str:
    """The token that the kit has had since.

    Raises:
        VendAbsent: none.
        VendUncertain: it cannot be told which.
    """
    seen = _SEEN.fullmatch(order.vend.reference or "")
    if seen is None:  # the process ended before it could say what it had read
        if kit.count == 0 or kit.token in order.known_tokens:
            raise VendAbsent("its last token is known")
        raise VendUncertain("a last token that is not known, and no count before it")
    made = kit.count - int(seen[1])
    if made == 0:
        raise VendAbsent("no token since")
    if made != 1 or kit.token is None or kit.token in order.known_tokens:
        raise VendUncertain(f"{made} tokens since, or none that can be read")
    return kit.token


# --- what the answer means --------------------------------------------------------------------


def _plain(value: object) -> str | None:
    """The token without what groups it; ``None`` if it is none."""
    token = _BLANKS_AND_DASHES.sub("", value) if isinstance(value, str) else ""
    return token if _TOKEN.fullmatch(token) else None


def _token_of(answer: Answer) -> str:
    """The token, if the answer clearly is one.

    Raises:
        SessionRefused: the vendor does not take the session: it made none.
        VendUncertain: anything else.
    """
    if answer.status == NO_SESSION:
        raise SessionRefused
    require_success(answer)
    token = _plain(fields_of(answer).get("token"))
    if token is None:
        raise VendUncertain("success without a clear token")
    return token
