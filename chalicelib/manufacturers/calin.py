"""Calin: prepaid STS meters. The vendor sells energy by the kWh and answers a 20-digit token.

It is given no id of ours and can be asked nothing afterwards, and a request that is repeated
issues another valid token. So whatever is not a clear yes or a listed no is uncertain, and an
uncertain vend waits for a person (recovery class ``opaque``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.manufacturers import credentials, sts
from chalicelib.manufacturers.answers import ask, fields_of, require_success
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

SECRET = "manufacturers/calin"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20

MANUFACTURERS = (
    Manufacturer(
        key="calin",
        manufacturer_id=10,
        name="Calin",
        kind=Kind.METER,
        recovery=RecoveryClass.OPAQUE,
        rules={VendKind.ENERGY: VendRules(step=sts.STEP)},
        local=False,
        timeout_seconds=SECONDS_MAX,
        authentication="user and password in the body",
        unverified=(
            "which codes surely mean that nothing was sold",
            "HTTPS",
        ),
    ),
)

SOLD = 0
DEFINITE_REFUSALS = {2: "authentication_failed", 3: "meter_not_found"}
"""The vendor's codes that surely mean that nothing was vended. Every other code is uncertain."""

_CODE = re.compile(r"[0-9]{1,9}")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> Calin:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return Calin(manufacturer, secrets)


class Calin(KeypadMeter):
    """Asks the vendor's ``tokennew`` for energy tokens."""

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token: one request, never repeated here.

        Raises:
            VendRefused: the vendor's answer is a listed no, or the vend is none that it sells.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        kwh = sts.kwh_of(order.vend)
        base_url, user_id, password = self._credentials()
        asked = {
            "user_id": user_id,
            "password": password,
            "meter_id": order.vend.serial_number,
            "token_type": "CreditToken",
        }
        answer = ask(
            "POST",
            f"{base_url}/tokennew",
            {"Content-Type": "application/json;charset=utf-8", "Accept": "application/json"},
            SECONDS_MAX,
            sts.with_amount(asked, kwh),
        )
        return Sold(_token_of(answer))

    def _credentials(self) -> tuple[str, str, str]:
        """Where the vendor is, and who we are there."""
        content = self._secrets(SECRET)
        return (
            credentials.base_url(content, SECRET),
            credentials.text(content, "user_id", SECRET),
            credentials.text(content, "password", SECRET),
        )


# --- what the answer means --------------------------------------------------------------------


def result_code(fields: Mapping[str, Any]) -> int:
    """The result code, read strictly: a text that is no number must not pass for 0.

    Raises:
        VendUncertain: there is none.
    """
    given = fields.get("result_code")
    text = given if isinstance(given, str) else json.dumps(given)
    if _CODE.fullmatch(text) is None:
        raise VendUncertain("no result_code")
    return int(text)


def require_sold(fields: Mapping[str, Any]) -> None:
    """Go on only where the vendor says that it sold.

    Raises:
        VendRefused: a code that surely means no.
        VendUncertain: any other.
    """
    code = result_code(fields)
    if code in DEFINITE_REFUSALS:
        raise VendRefused(DEFINITE_REFUSALS[code])
    if code != SOLD:
        raise VendUncertain(f"result_code {code}")


def _token_of(answer: Answer) -> str:
    """The token, if the answer clearly is one."""
    require_success(answer)
    fields = fields_of(answer)
    require_sold(fields)
    token = sts.token_of(fields.get("result"))
    if token is None:
        raise VendUncertain("success without a token of 20 digits")
    return token
