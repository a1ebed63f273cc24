"""GomeLong, newer API: STS meters. Energy by the kWh, and maintenance tokens, of 20 digits.

Everything is a GET with user and password in its query. It is given no id of ours and can be asked
for no past sale of electricity, and a request that is repeated issues another valid token. So
whatever is not a clear yes or a no with its reason is uncertain, and an uncertain vend waits for a
person (recovery class ``opaque``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.payment import Vend
from chalicelib.manufacturers import credentials, sts
from chalicelib.manufacturers.answers import ask, fields_of, require_success, words_of
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

SECRET = "manufacturers/gomelong_v1"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20
SERIAL_LENGTH_MAX = 13

_MAINTENANCE = {
    VendKind.CLEAR_CREDIT: "GetClearCreditToken",
    VendKind.CLEAR_TAMPER: "GetClearTamperSignToken",
}

MANUFACTURERS = (
    Manufacturer(
        key="gomelong_v1",
        manufacturer_id=19,
        name="GomeLong, newer API",
        kind=Kind.METER,
        recovery=RecoveryClass.OPAQUE,
        rules={
            VendKind.ENERGY: VendRules(step=sts.STEP),
            **{kind: VendRules(step=Fraction(1)) for kind in _MAINTENANCE},
        },
        local=False,
        checkable=True,
        checked_by_device=True,
        timeout_seconds=SECONDS_MAX,
        authentication="user and password in the query",
        unverified=(
            "which codes surely mean that nothing was sold",
            "whether success is 200 or 0",
            "HTTPS",
        ),
    ),
)

SUCCESSES = (200, 0)
"""Copies of the vendor's own description differ in which of the two it is."""
_ELECTRICITY, _QUANTITY = "1", "1"


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> GomeLongV1:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return GomeLongV1(manufacturer, secrets)


class GomeLongV1(KeypadMeter):
    """Asks the vendor's ``api/Power`` for tokens."""

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token: one request, never repeated here.

        Raises:
            VendRefused: the vendor says no and why, or the vend is none that it sells.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        call, asked = _call(order.vend)
        answer, secrets = self._ask(call, asked)
        return Sold(_token_of(answer, secrets))

    def check(self, serial_number: str) -> None:
        """Ask for the contract of a meter.

        Raises:
            VendRefused: the vendor says no and why.
            VendorUnreachable, VendUncertain, SecretMissing: it does not tell.
        """
        meter = {"MeterType": _ELECTRICITY, "MeterCode": serial_number}
        answer, secrets = self._ask("GetContractInfo", meter)
        _data_of(answer, secrets)

    def _ask(self, call: str, asked: Mapping[str, str]) -> tuple[Answer, tuple[str, ...]]:
        """What the vendor answers, and what of our question must not be told."""
        content = self._secrets(SECRET)
        base_url = credentials.base_url(content, SECRET)
        user_id = credentials.text(content, "user_id", SECRET)
        password = credentials.text(content, "password", SECRET)
        query = urlencode({"UserId": user_id, "Password": password, **asked})
        url = f"{base_url}/api/Power/{call}?{query}"
        answer = ask("GET", url, {"Accept": "application/json"}, SECONDS_MAX)
        return answer, (password, user_id)


def _call(vend: Vend) -> tuple[str, Mapping[str, str]]:
    """The name of the call and what is asked in it.

    Raises:
        VendRefused: it is no vend for this vendor.
    """
    if len(vend.serial_number) > SERIAL_LENGTH_MAX:
        raise VendRefused("serial_too_long", f"more than {SERIAL_LENGTH_MAX} characters")
    meter = {"MeterType": _ELECTRICITY, "MeterCode": vend.serial_number}
    if vend.kind in _MAINTENANCE:
        return _MAINTENANCE[vend.kind], meter
    amount = {"AmountOrQuantity": sts.kwh_of(vend), "VendingType": _QUANTITY}
    return "GetVendingToken", {**meter, **amount}


# --- what the answer means --------------------------------------------------------------------


def _data_of(answer: Answer, secrets: tuple[str, ...]) -> object:
    """What a clear success holds. ``secrets`` are kept out of what errors quote."""
    require_success(answer)
    fields = fields_of(answer)
    code, data, message = fields.get("Code"), fields.get("Data"), fields.get("Message")
    if type(code) is not int:
        raise VendUncertain("no Code")
    if code in SUCCESSES:
        return data
    if data or not isinstance(message, str) or not message.strip():
        raise VendUncertain(f"code {code} with data, or without a reason")
    raise VendRefused("refused_by_vendor", words_of(message, secrets))


def _token_of(answer: Answer, secrets: tuple[str, ...] = ()) -> str:
    """The token, if the answer clearly is one."""
    data = _data_of(answer, secrets)
    token = sts.token_of(data.get("Token")) if isinstance(data, dict) else None
    if token is None:
        raise VendUncertain("success without a token of 20 digits")
    return token
