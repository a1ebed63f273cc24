"""Angaza: solar home systems whose keycodes the vendor makes, from the date until which they run.

The vendor is told the end of the paid time, not a number of days, so the very same request may be
made again without giving anything twice (recovery class ``repeatable``), and the last word must
be the latest date (``absolute``).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import Vend
from chalicelib.manufacturers import credentials
from chalicelib.manufacturers.answers import (
    JSON_HEADERS,
    TRY_LATER,
    ask,
    fields_of,
    is_success,
    require_success,
    words_of,
)
from chalicelib.manufacturers.plain_device import PlainDevice
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    SecretMissing,
    Sold,
    VendOrder,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/angaza"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20
UNLOCKED = "UNLOCKED"
"""The vendor's word, in the place of a date, for a unit that is paid off."""

MANUFACTURERS = (
    Manufacturer(
        key="angaza",
        manufacturer_id=20,
        name="Angaza",
        kind=Kind.SHS,
        recovery=RecoveryClass.REPEATABLE,
        rules={
            kind: VendRules(step=Fraction(1))
            for kind in (VendKind.TIME, VendKind.UNLOCK, VendKind.RESET)
        },
        local=False,
        checkable=True,
        checked_by_device=True,
        timeout_seconds=SECONDS_MAX,
        absolute=True,
        authentication="HTTP Basic",
        unverified=(
            "that the same end date brings the same keycode",
            "which refusals are definite",
        ),
    ),
)

UNAUTHORISED = (401, 403)

_KEYCODE = re.compile(r"[0-9*#]{6,30}")
_BLANKS_AND_DASHES = re.compile(r"[\s-]+")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> Angaza:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return Angaza(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the secret says."""

    base_url: str
    client_id: str
    client_secret: str

    @property
    def basic(self) -> str:
        """Both, as HTTP Basic wants them."""
        return b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()


class Angaza(PlainDevice):
    """Sets the vendor's ``unit_credit`` and passes on the keycode that it answers."""

    def vend(self, order: VendOrder) -> Sold:
        """Set until when the unit runs; the same order may be asked for again.

        Raises:
            VendRefused: the vendor said no and why, or the vend is none that it sells.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        credit_until = _credit_until(order.vend)
        configuration = self._configuration()
        asked = {
            "unit_number": order.vend.serial_number,
            "state": {"desired": {"credit_until_dt": credit_until}},
        }
        answer = ask(
            "PUT",
            f"{configuration.base_url}/unit_credit",
            {**JSON_HEADERS, "Authorization": f"Basic {configuration.basic}"},
            SECONDS_MAX,
            json.dumps(asked).encode(),
        )
        return Sold(_keycode_of(answer, configuration))

    def check(self, serial_number: str) -> None:
        """Ask how a unit stands.

        Raises:
            VendRefused: the vendor does not take our credentials.
            VendorUnreachable, VendUncertain, SecretMissing: it does not tell.
        """
        configuration = self._configuration()
        answer = ask(
            "GET",
            f"{configuration.base_url}/unit_credit?{urlencode({'unit_number': serial_number})}",
            {**JSON_HEADERS, "Authorization": f"Basic {configuration.basic}"},
            SECONDS_MAX,
        )
        if answer.status in UNAUTHORISED:
            raise VendRefused("authentication_failed")
        require_success(answer)
        fields_of(answer)

    def look_up(self, order: VendOrder) -> Sold:
        """Always uncertain: repeating the vend tells more than any search.

        Raises:
            VendUncertain: always.
        """
        raise VendUncertain("to be repeated, not searched")

    def token(self, text: str | None) -> str:
        """The keycode that a person typed in: digits, ``*`` and ``#``, in groups or not.

        Raises:
            FieldError: it cannot be a keycode of this manufacturer.
        """
        keycode = _keycode(text)
        if keycode is None:
            raise FieldError("token", "must be 6 to 30 of 0-9 * #")
        return keycode

    def _configuration(self) -> _Configuration:
        """Where the vendor is, and who we are there."""
        content = self._secrets(SECRET)
        client_id = credentials.plain_text(content, "client_id", SECRET)
        if ":" in client_id:  # HTTP Basic parts the two at the first colon
            raise SecretMissing(SECRET)
        return _Configuration(
            base_url=credentials.base_url(content, SECRET),
            client_id=client_id,
            client_secret=credentials.plain_text(content, "client_secret", SECRET),
        )


def _credit_until(vend: Vend) -> str:
    """Until when the unit is to run, as the vendor takes it."""
    if vend.kind is VendKind.UNLOCK:
        return UNLOCKED
    if vend.kind is not VendKind.TIME:
        raise VendRefused("not_offered")
    if vend.paid_until is None:
        raise VendRefused("no_end_date")
    return _whole_second(vend.paid_until).isoformat()


def _whole_second(end: datetime) -> datetime:
    """The end in UTC, at a whole second: up, for nobody loses what is paid."""
    end = end.astimezone(UTC)
    return end + timedelta(microseconds=-end.microsecond % 1_000_000)


def _keycode(value: object) -> str | None:
    """The keycode without what groups it; ``None`` if it is none."""
    keycode = _BLANKS_AND_DASHES.sub("", value) if isinstance(value, str) else ""
    return keycode if _KEYCODE.fullmatch(keycode) else None


# --- what the answer means --------------------------------------------------------------------


def _keycode_of(answer: Answer, configuration: _Configuration) -> str:
    """The keycode, if the answer clearly is one."""
    refusable = 400 <= answer.status < 500 and answer.status not in TRY_LATER
    if not refusable:
        require_success(answer)
    fields = fields_of(answer)
    given = _within(fields, "_embedded", "latest_keycode", "keycode")
    reason = _within(fields, "context", "reason")
    if given is None and isinstance(reason, str) and not is_success(answer):
        unauthorised = answer.status in UNAUTHORISED
        code = "authentication_failed" if unauthorised else "refused_by_vendor"
        hidden = (configuration.client_secret, configuration.basic)
        raise VendRefused(code, words_of(reason, hidden))
    require_success(answer)
    keycode = _keycode(given)
    if keycode is None or reason is not None:
        raise VendUncertain("success without a clear keycode")
    return keycode


def _within(fields: object, *names: str) -> object:
    """The value under those names, one inside the other; ``None`` where there is none."""
    for name in names:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields
