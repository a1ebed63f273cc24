"""GomeLong: prepaid STS meters. The vendor sells energy by the kWh and answers a 20-digit token.

It is given no id of ours and can be asked nothing afterwards, and a request that is repeated
issues another valid token. So whatever is not a clear yes or a no with its reason is uncertain,
and an uncertain vend waits for a person (recovery class ``opaque``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.manufacturers import credentials, sts
from chalicelib.manufacturers.answers import ask, fields_of, require_success, words_of
from chalicelib.manufacturers.keypad_meter import KeypadMeter
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    Sold,
    TariffKept,
    VendOrder,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/gomelong"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20

MANUFACTURERS = (
    Manufacturer(
        key="gomelong",
        manufacturer_id=13,
        name="GomeLong",
        kind=Kind.METER,
        recovery=RecoveryClass.OPAQUE,
        rules={VendKind.ENERGY: VendRules(step=sts.STEP)},
        local=False,
        checkable=True,
        keeps_tariffs=True,
        timeout_seconds=SECONDS_MAX,
        authentication="user and password in a form",
        unverified=(
            "that code 0 surely means that nothing was sold",
            "which code is success",
            "HTTPS",
            "the form of its tariffs",
        ),
    ),
)

FAILED = 0
"""The vendor's one code of failure. Unlike with other vendors, every other code is a success."""

_HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "application/json",
}
_TARIFF = {"type": "e", "VAT": "0"}
"""What all our tariffs are: for electricity, and with taxes in their price."""
_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_CODE = re.compile(r"-?[0-9]{1,9}")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> GomeLong:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return GomeLong(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Tariff:
    """A tariff at the vendor."""

    number: str
    name: str
    price: Fraction


class GomeLong(KeypadMeter):
    """Asks the vendor's ``EKPower`` for energy tokens."""

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token: one request, never repeated here.

        Raises:
            VendRefused: the vendor says no and why, or the vend is none that it sells.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        kwh = sts.kwh_of(order.vend)
        answer, secrets = self._ask("EKPower", {"meter": order.vend.serial_number, "amt": kwh})
        return Sold(_token_of(answer, secrets))

    def check(self, serial_number: str) -> None:
        """Ask for the tariffs.

        Raises:
            VendRefused: the vendor says no and why.
            VendorUnreachable, VendUncertain, SecretMissing: it does not tell.
        """
        self._tariffs()

    def keep_tariffs(self, prices: Mapping[str, str]) -> Mapping[str, TariffKept]:
        """Add what is not there, and set the price of what is. Nothing is taken away.

        Energy is asked for by the kWh, so no price here changes what a customer gets.

        Raises:
            VendRefused: the vendor says no and why.
            VendorUnreachable, VendUncertain, SecretMissing: a part of it may be done.
        """
        there = self._tariffs()
        return {name: self._keep(name, price, there) for name, price in prices.items()}

    def _keep(self, name: str, price: str, there: Sequence[_Tariff]) -> TariffKept:
        asked = {**_TARIFF, "Name": name, "Price": price}
        same = [tariff for tariff in there if tariff.name == name]
        if len(same) > 1:
            raise VendUncertain("several tariffs of one name")
        if not same:
            _data_of(*self._ask("UTAdd", asked))
            return TariffKept.ADDED
        if same[0].price == Fraction(price):
            return TariffKept.SAME
        _data_of(*self._ask("UTUpdate", {"FID": same[0].number, **asked}))
        return TariffKept.CHANGED

    def _tariffs(self) -> Sequence[_Tariff]:
        """What the vendor has."""
        rows = _data_of(*self._ask("UTSearch", {}))
        if not isinstance(rows, list):
            raise VendUncertain("no list of tariffs")
        return [_tariff(row) for row in rows]

    def _ask(self, call: str, fields: Mapping[str, str]) -> tuple[Answer, tuple[str, ...]]:
        """What the vendor answers, and what of our question must not be told."""
        base_url, user_id, password = self._credentials()
        form = {"U": user_id, "K": password, **fields}
        answer = ask("POST", f"{base_url}/{call}", _HEADERS, SECONDS_MAX, urlencode(form).encode())
        return answer, (password, user_id)

    def _credentials(self) -> tuple[str, str, str]:
        """Where the vendor is, and who we are there."""
        content = self._secrets(SECRET)
        return (
            credentials.base_url(content, SECRET),
            credentials.text(content, "user_id", SECRET),
            credentials.text(content, "password", SECRET),
        )


# --- what the answer means --------------------------------------------------------------------


def _return_code(fields: Mapping[str, Any]) -> int:
    """The code, read strictly: what is no whole number must not pass for "anything but 0".

    Raises:
        VendUncertain: there is none.
    """
    given = fields.get("ReturnCode")
    text = given if isinstance(given, str) else json.dumps(given)
    if _CODE.fullmatch(text) is None:
        raise VendUncertain("no ReturnCode")
    return int(text)


def _refuse(data: Any, message: Any, secrets: tuple[str, ...]) -> VendRefused:
    """The refusal in an answer with the code of failure.

    Raises:
        VendUncertain: the answer contradicts itself, or does not say why.
    """
    if data:
        raise VendUncertain("a failure with data")
    if not isinstance(message, str) or not message.strip():
        raise VendUncertain("a failure without a reason")
    return VendRefused("refused_by_vendor", words_of(message, secrets))


def _data_of(answer: Answer, secrets: tuple[str, ...]) -> object:
    """What a clear success holds. ``secrets`` are kept out of what errors quote."""
    require_success(answer)
    fields = fields_of(answer)
    data = fields.get("Data")
    if _return_code(fields) == FAILED:
        raise _refuse(data, fields.get("ReturnMessage"), secrets)
    return data


def _token_of(answer: Answer, secrets: tuple[str, ...] = ()) -> str:
    """The token, if the answer clearly is one."""
    data = _data_of(answer, secrets)
    token = sts.token_of(data.get("Token")) if isinstance(data, dict) else None
    if token is None:
        raise VendUncertain("success without a token of 20 digits")
    return token


def _tariff(row: object) -> _Tariff:
    """A tariff as the vendor lists it: one that cannot be read might be one of ours."""
    fields = row if isinstance(row, dict) else {}
    number, name, price = (fields.get(key) for key in ("FID", "Name", "Price"))
    text = str(price) if isinstance(price, int | str) else ""
    if not isinstance(number, int | str) or not isinstance(name, str) or not _PRICE.fullmatch(text):
        raise VendUncertain("a tariff that cannot be read")
    return _Tariff(str(number), name, Fraction(text))
