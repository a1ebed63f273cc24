"""Calin: prepaid STS meters. The vendor sells energy by the kWh and answers a 20-digit token.

It is given no id of ours and can be asked nothing afterwards, and a request that is repeated
issues another valid token. So whatever is not a clear yes or a listed no is uncertain, and an
uncertain vend waits for a person (recovery class ``opaque``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NoReturn

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.money import format_units
from chalicelib.domain.payment import Vend
from chalicelib.runtime.one_call import Answer, NoAnswer, NotSent, call, is_base_url
from chalicelib.services.ports import (
    Device,
    Manufacturer,
    RecoveryClass,
    SecretMissing,
    Sold,
    VendOrder,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/calin"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20
STEP = Fraction(1, 10)
"""The vendor accepts one decimal of a kWh."""

MANUFACTURERS = (
    Manufacturer(
        key="calin",
        manufacturer_id=10,
        name="Calin",
        kind=Kind.METER,
        recovery=RecoveryClass.OPAQUE,
        rules={VendKind.ENERGY: VendRules(step=STEP)},
        local=False,
        timeout_seconds=SECONDS_MAX,
    ),
)

SOLD = 0
DEFINITE_REFUSALS = {2: "authentication_failed", 3: "meter_not_found"}
"""The vendor's codes that surely mean that nothing was vended. Every other code is uncertain."""

_TOKEN = re.compile(r"[0-9]{20}")
_BLANKS_AND_DASHES = re.compile(r"[\s-]+")
_CODE = re.compile(r"[0-9]{1,9}")
_AMOUNT = re.compile(r"[0-9]+(\.[0-9])?")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> Calin:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return Calin(manufacturer, secrets)


class Calin:
    """Asks the vendor's ``tokennew`` for energy tokens."""

    def __init__(
        self, manufacturer: Manufacturer, secrets: Callable[[str], Mapping[str, Any]]
    ) -> None:
        self.manufacturer = manufacturer
        self._secrets = secrets

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Tenths of a kWh, without a limit that the vendor would state."""
        return self.manufacturer.rules[kind]

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token: one request, never repeated here.

        Raises:
            VendRefused: the vendor's answer is a listed no, or the vend is none that it sells.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        amount = _amount(order.vend)
        base_url, user_id, password = self._credentials()
        asked = {
            "user_id": user_id,
            "password": password,
            "meter_id": order.vend.serial_number,
            "token_type": "CreditToken",
        }
        try:
            answer = call(
                "POST",
                f"{base_url}/tokennew",
                {"Content-Type": "application/json;charset=utf-8", "Accept": "application/json"},
                SECONDS_MAX,
                _with_amount(asked, amount),
            )
        except NotSent as unsent:
            raise VendorUnreachable(str(unsent)) from unsent
        except NoAnswer as unanswered:
            raise VendUncertain(str(unanswered)) from unanswered
        return Sold(_token_of(answer))

    def look_up(self, order: VendOrder) -> Sold:
        """Always uncertain: the vendor offers nothing to search.

        Raises:
            VendUncertain: always.
        """
        raise VendUncertain("the vendor cannot be asked")

    def token(self, text: str) -> str:
        """The token that a person typed in: 20 digits; spaces and dashes do not count.

        Raises:
            FieldError: it cannot be a token of this manufacturer.
        """
        token = _BLANKS_AND_DASHES.sub("", text)
        if _TOKEN.fullmatch(token) is None:
            raise FieldError("token", "must be 20 digits")
        return token

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """A meter has no technical fields, and no counter here.

        Raises:
            FieldError: there is one all the same.
        """
        for name in technical:
            raise FieldError(f"technical.{name[:60]}", "is not known")
        return {}, 0

    def _credentials(self) -> tuple[str, str, str]:
        """Where the vendor is, and who we are there."""
        content = self._secrets(SECRET)
        base_url, user_id, password = (
            content.get(name) for name in ("base_url", "user_id", "password")
        )
        if not is_base_url(base_url):
            raise SecretMissing(SECRET)
        if not all(isinstance(text, str) and text for text in (user_id, password)):
            raise SecretMissing(SECRET)
        return str(base_url).rstrip("/"), str(user_id), str(password)


def _amount(vend: Vend) -> str:
    """The kWh as the vendor takes them: a number with at most one decimal, above zero."""
    if vend.kind is not VendKind.ENERGY or vend.units is None or vend.units <= 0:
        raise VendRefused("not_offered")
    amount = format_units(vend.units)
    if _AMOUNT.fullmatch(amount) is None:
        raise VendRefused("units_out_of_range")
    return amount


def _with_amount(asked: Mapping[str, str], amount: str) -> bytes:
    """The request's JSON. The amount goes in as it is written: no float ever holds it."""
    return f'{json.dumps(asked)[:-1]}, "amount": {amount}}}'.encode()


# --- what the answer means --------------------------------------------------------------------


def _token_of(answer: Answer) -> str:
    """The token, if the answer clearly is one."""
    if not 200 <= answer.status < 300:
        raise VendUncertain(f"HTTP status {answer.status}")
    fields = _fields(answer.body)
    code = _code(fields.get("result_code"))
    if code in DEFINITE_REFUSALS:
        raise VendRefused(DEFINITE_REFUSALS[code])
    if code != SOLD:
        raise VendUncertain(f"result_code {code}")
    token = fields.get("result")
    token = _BLANKS_AND_DASHES.sub("", token) if isinstance(token, str) else ""
    if _TOKEN.fullmatch(token) is None:
        raise VendUncertain("success without a token of 20 digits")
    return token


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(body.decode("utf-8"), parse_float=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        # The parser's own message would quote the answer, and with it a token.
        raise VendUncertain("the answer is not JSON") from None
    if not isinstance(fields, dict):
        raise VendUncertain("the answer is not a JSON object")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _code(given: object) -> int:
    """The result code, read strictly: a text that is no number must not pass for 0."""
    text = given if isinstance(given, str) else json.dumps(given)
    if _CODE.fullmatch(text) is None:
        raise VendUncertain("no result_code")
    return int(text)
