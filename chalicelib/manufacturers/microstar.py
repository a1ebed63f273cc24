"""MicroStar: prepaid STS meters. The vendor sells energy by the kWh and answers a 20-digit token.

Who asks is told by a certificate of ours, which every company gets from the vendor. It is given no
id of ours and can be asked nothing afterwards, and a request that is repeated issues another valid
token, though it is a GET. So whatever is not a clear yes or a listed no is uncertain, and an
uncertain vend waits for a person (recovery class ``opaque``).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.manufacturers import credentials, sts
from chalicelib.manufacturers.answers import ask, fields_of, require_success
from chalicelib.manufacturers.keypad_meter import KeypadMeter
from chalicelib.runtime import tls
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

SECRET = "manufacturers/microstar"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20

MANUFACTURERS = (
    Manufacturer(
        key="microstar",
        manufacturer_id=15,
        name="MicroStar",
        kind=Kind.METER,
        recovery=RecoveryClass.OPAQUE,
        rules={VendKind.ENERGY: VendRules(step=sts.STEP)},
        local=False,
        checkable=True,
        checked_by_device=True,
        timeout_seconds=SECONDS_MAX,
        authentication="a client certificate (mutual TLS)",
        unverified=(
            "that rechargeAmount is kWh, and not money",
            "how finely it is read",
            "which codes surely mean that nothing was sold",
        ),
    ),
)

SUCCESS = 1000
REFUSALS = {1001: "parameter", 1003: "no_result"}
"""The vendor's codes that say of the question itself that it cannot be answered. 1005 is "in
process", and those from 2001 on are of tokens that were typed in: they tell nothing of a sale."""


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> MicroStar:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return MicroStar(manufacturer, secrets)


class MicroStar(KeypadMeter):
    """Asks the vendor's ``getStsVendingToken`` for energy tokens."""

    def __init__(
        self, manufacturer: Manufacturer, secrets: Callable[[str], Mapping[str, Any]]
    ) -> None:
        super().__init__(manufacturer, secrets)
        self._kept: tuple[Mapping[str, Any], ssl.SSLContext] | None = None

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token: one request, never repeated here.

        Raises:
            VendRefused: the vendor's code is a listed no, or the vend is none that it sells.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: anything else.
            SecretMissing: address or certificate are not configured; nothing was asked.
        """
        kwh = sts.kwh_of(order.vend)
        asked = {"deviceNo": order.vend.serial_number, "rechargeAmount": kwh}
        return Sold(_token_of(self._ask("getStsVendingToken", asked)))

    def check(self, serial_number: str) -> None:
        """Ask what the vendor knows of a meter; that it answers at all shows the certificate.

        Raises:
            VendRefused: the vendor's code is a listed no.
            VendorUnreachable, VendUncertain, SecretMissing: it does not tell.
        """
        code = _code(_fields_of(self._ask("deviceInfo", {"deviceNo": serial_number})))
        if code in REFUSALS:
            raise VendRefused(REFUSALS[code])
        if code != SUCCESS:
            raise VendUncertain(f"code {code}")

    def _ask(self, call: str, asked: Mapping[str, str]) -> Answer:
        content = self._secrets(SECRET)
        base_url = credentials.base_url(content, SECRET)
        return ask(
            "GET",
            f"{base_url}/{call}?{urlencode(asked)}",
            {"Accept": "application/json"},
            SECONDS_MAX,
            tls=self._context(content),
        )

    def _context(self, content: Mapping[str, Any]) -> ssl.SSLContext:
        """The certificate made ready to be shown: once for each content of the secret."""
        if self._kept is None or self._kept[0] != content:
            client = credentials.client_certificate(content, SECRET)
            try:
                made = tls.context(credentials.ca_certificate(content, SECRET), client)
            except tls.BadCertificate:
                raise SecretMissing(SECRET) from None
            self._kept = (content, made)
        return self._kept[1]


# --- what the answer means --------------------------------------------------------------------


def _fields_of(answer: Answer) -> Mapping[str, Any]:
    require_success(answer)
    return fields_of(answer)


def _token_of(answer: Answer) -> str:
    """The token, if the answer clearly is one."""
    fields = _fields_of(answer)
    code, given = _code(fields), fields.get("token")
    if code in REFUSALS and not given:
        raise VendRefused(REFUSALS[code])
    if code != SUCCESS:
        raise VendUncertain(f"code {code}")
    token = sts.token_of(given)
    if token is None:
        raise VendUncertain("success without a token of 20 digits")
    return token


def _code(fields: Mapping[str, Any]) -> int | None:
    """The code, a whole number or one as a text; success where there is none.

    ``None`` for anything else.
    """
    given = fields.get("errorCode", SUCCESS)
    if type(given) is int:
        return given
    is_number = isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 9
    return int(str(given)) if is_number else None
