"""Calin Smart: STS meters behind Calin's head-end. Sells energy by the kWh, answers 20 digits.

It is given no id of ours, but can be asked for a meter's purchases afterwards. They are told
apart by meter, kWh and time alone, so a meter has one vend in flight at most, and what a search
finds counts only where it is exactly one purchase whose token we do not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import InvalidSerial
from chalicelib.domain.payment import Vend
from chalicelib.domain.serial import normalise_serial
from chalicelib.manufacturers import credentials, sts
from chalicelib.manufacturers.answers import JSON_HEADERS, ask, fields_of, require_success
from chalicelib.manufacturers.calin import SOLD, require_sold, result_code
from chalicelib.manufacturers.keypad_meter import KeypadMeter
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    SecretMissing,
    Sold,
    VendAbsent,
    VendOrder,
    VendUncertain,
)

SECRET = "manufacturers/calin_smart"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20

_MAINTENANCE = {
    VendKind.CLEAR_CREDIT: "Maintenance_ClearCredit",
    VendKind.CLEAR_TAMPER: "Maintenance_ClearTamper",
}

MANUFACTURERS = (
    Manufacturer(
        key="calin_smart",
        manufacturer_id=11,
        name="Calin Smart",
        kind=Kind.METER,
        recovery=RecoveryClass.SEARCHABLE,
        rules={
            VendKind.ENERGY: VendRules(step=sts.STEP),
            **{kind: VendRules(step=Fraction(1)) for kind in _MAINTENANCE},
        },
        local=False,
        checkable=True,
        checked_by_device=True,
        timeout_seconds=SECONDS_MAX,
        one_at_a_time=True,
        absent_after_seconds=60,
        authentication="company, user and two passwords in the body",
        unverified=(
            "the form of the list of purchases",
            "which codes surely mean that nothing was sold",
            "that clearing a tamper alarm is asked for as clearing credit is",
        ),
    ),
)

CLOCKS_APART = timedelta(minutes=2)
"""A purchase may be dated so long before our call: the vendor's clock is not ours."""

ZONES_APART = timedelta(hours=26)
"""No two time zones are further apart. A purchase that fits but for its time, within this time
before the call, may be ours under a wrong ``time_zone``: that is for a person to see."""

_KWH = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> CalinSmart:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return CalinSmart(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the secret says. ``identity`` is in every request, the second password in a vend."""

    base_url: str
    identity: Mapping[str, str]
    password_vend: str
    time_zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class _Purchase:
    """One purchase of a meter, as the vendor lists it. ``at`` is in UTC."""

    serial_number: str
    token: str
    kwh: Fraction
    at: datetime


class CalinSmart(KeypadMeter):
    """Asks the vendor's ``POS_Purchase`` for tokens and its ``POS_PurchaseHistory`` for traces."""

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token: one request, never repeated here.

        Raises:
            VendRefused: the vendor's answer is a listed no, or the vend is none that it sells.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        if order.vend.kind in _MAINTENANCE:
            return self._maintain(order.vend)
        kwh = sts.kwh_of(order.vend)
        configuration = self._configuration()
        asked = {
            **configuration.identity,
            "password_vend": configuration.password_vend,
            "meter_number": order.vend.serial_number,
            "is_vend_by_unit": True,
        }
        answer = ask(
            "POST",
            f"{configuration.base_url}/POS_Purchase/",
            JSON_HEADERS,
            SECONDS_MAX,
            sts.with_amount(asked, kwh),
        )
        return Sold(_token_of(answer))

    def _maintain(self, vend: Vend) -> Sold:
        """Ask for a maintenance token, which takes the first password alone."""
        configuration = self._configuration()
        asked = {**configuration.identity, "meter_number": vend.serial_number}
        answer = ask(
            "POST",
            f"{configuration.base_url}/{_MAINTENANCE[vend.kind]}/",
            JSON_HEADERS,
            SECONDS_MAX,
            json.dumps(asked).encode(),
        )
        return Sold(_maintenance_token_of(answer))

    def look_up(self, order: VendOrder) -> Sold:
        """Search the meter's purchases for the one that this vend made.

        Raises:
            VendAbsent: the vendor lists the meter's purchases, and this one is not among them.
            VendorUnreachable: no connection was made.
            VendUncertain: several purchases fit, or the list cannot be trusted. A listed no is
                uncertain here too: it is about the search, not about the vend.
            SecretMissing: the credentials are not configured.
        """
        if order.vend.kind is not VendKind.ENERGY:
            raise VendUncertain("the vendor lists purchases of energy alone")
        if order.vend.called_at is None:
            raise VendUncertain("nobody knows when the vendor was called")
        configuration = self._configuration()
        answer = self._history(configuration, order.vend.serial_number)
        purchases = _purchases(answer, configuration.time_zone)
        return Sold(_token_bought(order, order.vend.called_at, purchases))

    def check(self, serial_number: str) -> None:
        """Ask for the purchases of a meter.

        Raises:
            VendRefused: the vendor's answer is a listed no.
            VendorUnreachable, VendUncertain, SecretMissing: it does not tell.
        """
        answer = self._history(self._configuration(), serial_number)
        require_success(answer)
        require_sold(fields_of(answer))

    def _history(self, configuration: _Configuration, serial_number: str) -> Answer:
        """What the vendor answers to the question for a meter's purchases."""
        asked = {
            **configuration.identity,
            "customer_number": "",
            "customer_name": "",
            "meter_number": serial_number,
        }
        return ask(
            "POST",
            f"{configuration.base_url}/POS_PurchaseHistory",
            JSON_HEADERS,
            SECONDS_MAX,
            json.dumps(asked).encode(),
        )

    def _configuration(self) -> _Configuration:
        """Where the vendor is, who we are there, and which clock it writes its times by."""
        content = self._secrets(SECRET)
        names = ("company_name", "user_name", "password")
        return _Configuration(
            base_url=credentials.base_url(content, SECRET),
            identity={name: credentials.text(content, name, SECRET) for name in names},
            password_vend=credentials.text(content, "password_vend", SECRET),
            time_zone=_time_zone(credentials.text(content, "time_zone", SECRET)),
        )


def _time_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise SecretMissing(SECRET) from None


# --- what the answer to a vend means ----------------------------------------------------------


def _token_of(answer: Answer) -> str:
    """The token, if the answer clearly is one."""
    require_success(answer)
    fields = fields_of(answer)
    require_sold(fields)
    result = fields.get("result")
    token = sts.token_of(result.get("token")) if isinstance(result, dict) else None
    if token is None:
        raise VendUncertain("success without a token of 20 digits")
    return token


def _maintenance_token_of(answer: Answer) -> str:
    """The token, which stands here by itself, if the answer clearly is one."""
    require_success(answer)
    fields = fields_of(answer)
    require_sold(fields)
    token = sts.token_of(fields.get("result"))
    if token is None:
        raise VendUncertain("success without a token of 20 digits")
    return token


# --- what the list of purchases means ---------------------------------------------------------


def _token_bought(order: VendOrder, called_at: datetime, purchases: Sequence[_Purchase]) -> str:
    """The token of the one purchase that can only be this vend's."""
    fitting = [
        purchase
        for purchase in purchases
        if purchase.serial_number == order.vend.serial_number
        and purchase.kwh == order.vend.units
        and purchase.token not in order.known_tokens
        and purchase.at >= called_at - ZONES_APART
    ]
    tokens = {p.token for p in fitting if p.at >= called_at - CLOCKS_APART}
    if len(tokens) > 1:
        raise VendUncertain("several purchases fit")
    if tokens:
        return tokens.pop()
    if fitting:
        raise VendUncertain("a purchase fits but for its time")
    raise VendAbsent("no such purchase")


def _purchases(answer: Answer, time_zone: ZoneInfo) -> list[_Purchase]:
    """All purchases listed. One that cannot be read might be the very one: then none is."""
    require_success(answer)
    fields = fields_of(answer)
    code = result_code(fields)
    if code != SOLD:
        raise VendUncertain(f"result_code {code}")
    rows = fields.get("result")
    if not isinstance(rows, list):
        raise VendUncertain("no list of purchases")
    return [_purchase(row, time_zone) for row in rows]


def _purchase(row: object, time_zone: ZoneInfo) -> _Purchase:
    if not isinstance(row, dict):
        raise VendUncertain("a purchase that is no object")
    token = sts.token_of(row.get("token"))
    if token is None:
        raise VendUncertain("a purchase without a token of 20 digits")
    try:
        serial_number = normalise_serial(row.get("meter_number"))
    except InvalidSerial:
        raise VendUncertain("a purchase without a meter") from None
    return _Purchase(
        serial_number=serial_number,
        token=token,
        kwh=_kwh(row.get("total_unit")),
        at=_at(row.get("create_date"), time_zone),
    )


def _kwh(given: object) -> Fraction:
    """The kWh of a purchase, a text or a number, exactly as written."""
    text = str(given) if isinstance(given, int | str) else ""
    if _KWH.fullmatch(text) is None:
        raise VendUncertain("a purchase without its kWh")
    return Fraction(text)


def _at(given: object, time_zone: ZoneInfo) -> datetime:
    """When a purchase was made. Where clocks were put back, the later of the two times it may be:
    too many that fit are seen by a person, one that is missed would be sold again."""
    if not isinstance(given, str) or _TIME.fullmatch(given) is None:
        raise VendUncertain("a purchase without its time")
    try:
        local = datetime.strptime(given, "%Y-%m-%d %H:%M:%S").replace(tzinfo=time_zone)
        return max(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    except (ValueError, OverflowError):
        raise VendUncertain("a purchase without its time") from None
