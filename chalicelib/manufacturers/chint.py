"""Chint: prepaid STS meters. The vendor takes money by SOAP and answers a 20-digit token.

It turns the money into energy by its own tariff, and says how much that was. Each request carries
our own id of the vend (``TID``), always the same for the same vend. What the vendor does with an
id that it has seen is not known, so an uncertain vend waits for a person (recovery class
``opaque``).

Nor is it known what its codes mean. An answer is therefore a sale or uncertain, never a no.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from urllib.parse import quote

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.money import format_minor
from chalicelib.domain.units import whole_steps
from chalicelib.manufacturers import credentials, soap, sts
from chalicelib.manufacturers.answers import ask, require_success, words_of
from chalicelib.manufacturers.keypad_meter import KeypadMeter
from chalicelib.runtime import tls
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import (
    Device,
    Manufacturer,
    RecoveryClass,
    SecretMissing,
    Sold,
    VendOrder,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/chint"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20
STEP = Fraction(1, 1000)

SIGNATURE_SECONDS = 40
"""A signature is good for so long at most: until the next multiple of it in UTC's day."""

SPARE_SECONDS = 4
"""So long before that nothing more is sent: it might arrive too late, and be a vend in doubt."""

CLOCKS_APART_SECONDS = 1
"""So long after it nothing is sent yet: the vendor's clock is not ours."""

MANUFACTURERS = (
    Manufacturer(
        key="chint",
        manufacturer_id=16,
        name="Chint",
        kind=Kind.METER,
        recovery=RecoveryClass.OPAQUE,
        rules={VendKind.ENERGY: VendRules(step=STEP, money_step_minor=1)},
        local=False,
        checkable=True,
        checked_by_device=True,
        timeout_seconds=SPARE_SECONDS + CLOCKS_APART_SECONDS + SECONDS_MAX,
        authentication="user and a password hashed with the day, and a signature, in SOAP",
        unverified=(
            "what Result is after a sale",
            "which answers surely mean that nothing was sold",
            "what a TID that was used before brings, and how long one may be",
        ),
    ),
)

NAMESPACE = "http://jianpanbiaoEnglish/PrepaidWebService"

SUCCESSES = frozenset({"0", "ok", "true", "success"})
"""What ``Result`` may be beside a token. The vendor's own word is not known."""

NO_COMPLAINTS = frozenset({"", "ok", "success"})
"""What ``Reason`` may be beside a token."""

_KWH = re.compile(r"[0-9]{1,9}(\.[0-9]{1,20})?")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> Chint:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return Chint(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Configuration:
    """Where the vendor is, who we are there, and whom to trust, where that is not as usual."""

    base_url: str
    user_name: str
    password: str
    tls: ssl.SSLContext | None


class Chint(KeypadMeter):
    """Asks the vendor's ``Transaction`` for energy tokens."""

    def __init__(
        self,
        manufacturer: Manufacturer,
        secrets: Callable[[str], Mapping[str, Any]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(manufacturer, secrets)
        self._now = now
        self._pause = pause

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Money, to the minor unit; the kWh are for people to read."""
        return self.manufacturer.rules[kind]

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token: one request, never repeated here.

        Raises:
            VendRefused: the vend is none that the vendor sells; nothing was asked.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: whatever is not clearly a sale.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        paid = {
            "TID": transaction_id(order),
            "CustomerID": order.vend.serial_number,
            "Amount": _amount(order),
        }
        return _sold(*self._ask("Transaction", paid))

    def check(self, serial_number: str) -> None:
        """Have a meter validated, which sells nothing.

        Raises:
            VendorUnreachable, VendUncertain, SecretMissing: the vendor does not say yes.
        """
        answer, secrets = self._ask("Validation", {"CustomerID": serial_number})
        _require_yes(soap.fields_of(answer, NAMESPACE, "ValidationResult"), secrets)

    def _ask(self, operation: str, fields: Mapping[str, str]) -> tuple[Answer, tuple[str, ...]]:
        """What the vendor answers, and what of our question must not be told."""
        configuration = self._configuration()
        self._pause(seconds_to_wait(self._now()))
        now = self._now()
        pass_word = hashed_password(configuration.password, now)
        signed = {**fields, "ParaSignature": signature(tuple(fields.values()), now)}
        names = {"UserName": configuration.user_name, "PassWord": pass_word}
        question = soap.question(NAMESPACE, ("PrepaidSoapHeader", names), (operation, signed))
        answer = ask(
            "POST",
            configuration.base_url,
            soap.HEADERS,
            SECONDS_MAX,
            question,
            configuration.tls,
        )
        require_success(answer)
        return answer, (pass_word, configuration.password, configuration.user_name)

    def _configuration(self) -> _Configuration:
        content = self._secrets(SECRET)
        return _Configuration(
            base_url=credentials.base_url(content, SECRET),
            user_name=credentials.plain_text(content, "user_name", SECRET),
            password=credentials.text(content, "password", SECRET),
            tls=_tls(content),
        )


def _tls(content: Mapping[str, Any]) -> ssl.SSLContext | None:
    """Trust in the authority that the secret names, and in no other; ``None`` if it names none.

    Raises:
        SecretMissing: what it names is no certificate.
    """
    if content.get("ca_certificate") is None:
        return None
    try:
        return tls.context(credentials.ca_certificate(content, SECRET))
    except tls.BadCertificate:
        raise SecretMissing(SECRET) from None


# --- what is asked ----------------------------------------------------------------------------


def transaction_id(order: VendOrder) -> str:
    """Our id of a vend, in plain ASCII: the same for the same vend, and for no other."""
    return quote(order.external_id, safe="%")


def hashed_password(password: str, now: datetime) -> str:
    """The password as the vendor takes it on that day of UTC."""
    return _md5(f"{now.astimezone(UTC):%Y%m%d}Chint{password}")


def signature(fields: Sequence[str], now: datetime) -> str:
    """The signature of a call's fields, good until the end of those 40 seconds of UTC's day."""
    begun = int(_second_of_day(now)) // SIGNATURE_SECONDS * SIGNATURE_SECONDS
    return _md5("".join(f"{text};" for text in ("Chint", *fields, str(begun))))


def seconds_to_wait(now: datetime) -> float:
    """How long to wait until what is signed then is good for long enough to arrive."""
    gone = _second_of_day(now) % SIGNATURE_SECONDS
    if gone < CLOCKS_APART_SECONDS:
        return CLOCKS_APART_SECONDS - gone
    if gone > SIGNATURE_SECONDS - SPARE_SECONDS:
        return SIGNATURE_SECONDS - gone + CLOCKS_APART_SECONDS
    return 0


def _second_of_day(now: datetime) -> float:
    utc = now.astimezone(UTC)
    return (utc - utc.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()


def _md5(text: str) -> str:
    """The hash that the vendor wants, weak as it is, in upper case."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()


def _amount(order: VendOrder) -> str:
    """The money as the vendor takes it: major units with four decimals, above zero.

    Raises:
        VendRefused: it is no vend of energy (``not_offered``), or no whole sum above zero
            (``amount_out_of_range``).
    """
    cost_minor = order.vend.cost_minor
    if order.vend.kind is not VendKind.ENERGY:
        raise VendRefused("not_offered")
    if cost_minor.denominator != 1 or cost_minor <= 0:
        raise VendRefused("amount_out_of_range")
    whole, _, decimals = format_minor(int(cost_minor), order.currency).partition(".")
    return f"{whole}.{decimals:0<4}"


# --- what the answer means --------------------------------------------------------------------


def _sold(answer: Answer, secrets: tuple[str, ...]) -> Sold:
    """The sale, if the answer clearly is one. ``secrets`` are kept out of what errors quote."""
    result = soap.fields_of(answer, NAMESPACE, "TransactionResult")
    _require_yes(result, secrets)
    token = sts.token_of(result.get("RechargeToken"))
    if token is None:
        raise VendUncertain("success without a token of 20 digits")
    return Sold(token, units=_kwh(result.get("Energy", "")), before=_new_key(result))


def _require_yes(result: Mapping[str, str], secrets: tuple[str, ...]) -> None:
    """Go on with a clear yes only."""
    said, reason = result.get("Result", ""), result.get("Reason", "")
    if said.casefold() not in SUCCESSES or reason.casefold() not in NO_COMPLAINTS:
        raise VendUncertain(words_of(f"Result {said}, Reason {reason}", secrets))


def _kwh(text: str) -> Fraction:
    """The kWh that the vendor gave, as finely as anybody reads them."""
    kwh = whole_steps(Fraction(text), STEP) if _KWH.fullmatch(text) else Fraction(0)
    if kwh <= 0:
        raise VendUncertain("a sale of no energy")
    return kwh


def _new_key(result: Mapping[str, str]) -> tuple[str, ...]:
    """The two tokens that give the meter another key, where it needs one: it takes both or none."""
    given = [result.get(name, "") for name in ("Key1Token", "Key2Token")]
    tokens = tuple(token for token in map(sts.token_of, given) if token is not None)
    if any(given) and len(tokens) < len(given):
        raise VendUncertain("half a change of the meter's key")
    return tokens
