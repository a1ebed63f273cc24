"""Stron, newer API: STS meters. The vendor sells energy by the kWh and answers a 20-digit token.

It is given no id of ours, and a request that is repeated issues another valid token. That past
sales can be asked for is known only by hearsay, so whatever is not a clear yes or a clear no is
uncertain, and an uncertain vend waits for a person (recovery class ``opaque``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.manufacturers import credentials, sts
from chalicelib.manufacturers.answers import JSON_HEADERS, ask, require_success, rows_of, text_of
from chalicelib.manufacturers.keypad_meter import KeypadMeter
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    Sold,
    VendOrder,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/stron_v3"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20

_MAINTENANCE = {VendKind.CLEAR_CREDIT: "ClearCredit", VendKind.CLEAR_TAMPER: "ClearTamper"}

MANUFACTURERS = (
    Manufacturer(
        key="stron_v3",
        manufacturer_id=14,
        name="Stron, newer API",
        kind=Kind.METER,
        recovery=RecoveryClass.OPAQUE,
        rules={
            VendKind.ENERGY: VendRules(step=sts.STEP),
            **{kind: VendRules(step=Fraction(1)) for kind in _MAINTENANCE},
        },
        local=False,
        timeout_seconds=SECONDS_MAX,
        authentication="company, user and password in the body",
        unverified=(
            "that an empty list surely means that nothing was sold",
            "how finely kWh are read",
            "the list of past sales",
            "the form of the answer with a maintenance token",
        ),
    ),
)

_KWH = re.compile(r"[0-9]{1,20}(\.[0-9]{1,12})?")
_KWH_NAMES = ("Total_unit", "Total_units")
"""The vendor's versions differ in the name."""


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> StronV3:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return StronV3(manufacturer, secrets)


class StronV3(KeypadMeter):
    """Asks the vendor's ``VendingMeter`` for energy tokens."""

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token: one request, never repeated here.

        Raises:
            VendRefused: the vendor sold nothing, or the vend is none that it sells.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        maintenance = _MAINTENANCE.get(order.vend.kind)
        kwh = None if maintenance else sts.kwh_of(order.vend)
        content = self._secrets(SECRET)
        base_url = credentials.base_url(content, SECRET)
        asked = {
            "CompanyName": credentials.text(content, "company_name", SECRET),
            "UserName": credentials.text(content, "user_name", SECRET),
            "PassWord": credentials.text(content, "password", SECRET),
        }
        serial_number = order.vend.serial_number
        if kwh is None:
            asked |= {"METER_ID": serial_number, "CustomerId": ""}
            answer = _post(f"{base_url}/{maintenance}", json.dumps(asked).encode())
            return Sold(_maintenance_token_of(answer))
        bought = {**asked, "MeterID": serial_number, "is_vend_by_unit": True}
        answer = _post(f"{base_url}/VendingMeter", sts.with_amount(bought, kwh, name="Amount"))
        return Sold(_token_of(answer, serial_number, Fraction(kwh)))


def _post(url: str, body: bytes) -> Answer:
    return ask("POST", url, JSON_HEADERS, SECONDS_MAX, body)


# --- what the answer means --------------------------------------------------------------------


def _token_of(answer: Answer, serial_number: str, kwh: Fraction) -> str:
    """The token, if the answer clearly is one for that meter and that energy."""
    require_success(answer)
    rows = rows_of(answer)
    if not rows:
        raise VendRefused("refused_by_vendor", "no sale, for an unregistered meter perhaps")
    if len(rows) > 1:
        raise VendUncertain("several sales")
    (sale,) = rows
    token = sts.token_of(sale.get("Token"))
    if token is None:
        raise VendUncertain("a sale without a token of 20 digits")
    if str(sale.get("Meter_id", serial_number)).strip() != serial_number:
        raise VendUncertain("a sale for another meter")
    if any(_kwh(sale[name]) != kwh for name in _KWH_NAMES if name in sale):
        raise VendUncertain("a sale of other energy than was asked for")
    return token


def _maintenance_token_of(answer: Answer) -> str:
    """The token, which is all that is answered, if the answer clearly is one."""
    require_success(answer)
    token = sts.token_of(text_of(answer))
    if token is None:
        raise VendUncertain("success without a token of 20 digits")
    return token


def _kwh(given: object) -> Fraction | None:
    """The kWh of a sale, a text or a number, exactly as written."""
    text = str(given).strip() if isinstance(given, int | str) else ""
    return Fraction(text) if _KWH.fullmatch(text) else None
