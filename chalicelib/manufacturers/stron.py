"""Stron, older API: prepaid STS meters, sold for money. The vendor answers a 20-digit token.

A log-in comes first, and is kept; its token then goes into the body of each vend. The vendor takes
money with a price, and its own price and rate may count all the same: so what is sent is what the
kWh of the vend cost, at the price at which they were counted. It is given no id of ours and can be
asked for nothing afterwards, and a request that is repeated issues another valid token. So
whatever is not a clear yes is uncertain, and an uncertain vend waits for a person (recovery class
``opaque``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.money import format_units
from chalicelib.manufacturers import credentials, sts
from chalicelib.manufacturers.answers import JSON_HEADERS, ask, require_success, text_of
from chalicelib.manufacturers.keypad_meter import KeypadMeter
from chalicelib.manufacturers.sessions import LOG_IN_SECONDS_MAX, Sessions, log_in
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.sessions import Session, SessionRefused
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    Sold,
    VendOrder,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/stron"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 15

MANUFACTURERS = (
    Manufacturer(
        key="stron",
        manufacturer_id=18,
        name="Stron, older API",
        kind=Kind.METER,
        recovery=RecoveryClass.OPAQUE,
        rules={VendKind.ENERGY: VendRules(step=sts.STEP)},
        local=False,
        checkable=True,
        # At the worst a kept session is refused, then a new one is asked for, then the token.
        timeout_seconds=SECONDS_MAX + LOG_IN_SECONDS_MAX + SECONDS_MAX,
        authentication="company, user and password in a log-in, kept",
        unverified=(
            "whether the price that is sent counts, or the vendor's own",
            "what follows the token in an answer",
            "that an empty answer surely means an expired session",
            "HTTPS",
        ),
    ),
)

DECIMALS_MAX = 6
"""What is finer cannot be written as the vendor reads it."""

_SALE = re.compile(r'\s*("?)(?P<token>[0-9][0-9 -]*)(,[^"\\]*)?\1\s*')
"""A text, in quotation marks or without, whose parts are separated by commas."""
_SESSION = re.compile(r"[!-~]{8,4096}")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> Stron:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return Stron(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the secret says."""

    base_url: str
    company_name: str
    user_name: str
    password: str


class Stron(KeypadMeter):
    """Asks the vendor's ``vending`` for energy tokens."""

    def __init__(
        self, manufacturer: Manufacturer, secrets: Callable[[str], Mapping[str, Any]]
    ) -> None:
        super().__init__(manufacturer, secrets)
        self._sessions = Sessions()

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one token. Only where the vendor did not take our session is it asked twice.

        Raises:
            VendRefused: the vendor does not take our session, or the vend is none that it sells.
            VendorUnreachable: no connection was made, or the log-in failed: no token was asked for.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        price, amount = _money(order)
        configuration = self._configuration()
        asked = {
            "CustomerId": order.payment_id,
            "MeterId": order.vend.serial_number,
            "Price": price,
            "Rate": "1",
            "AmountTmp": order.currency.code,
            "Company": configuration.company_name,
            "Employee": configuration.user_name,
        }

        def ask_for_token(session: str) -> Sold:
            body = sts.with_amount({**asked, "ApiToken": session}, amount, name="Amount")
            answer = ask(
                "POST", f"{configuration.base_url}/vending/", JSON_HEADERS, SECONDS_MAX, body
            )
            return Sold(_token_of(answer))

        return self._sessions.call(
            repr(configuration), lambda: _log_in(configuration), ask_for_token
        )

    def check(self, serial_number: str) -> None:
        """Log in anew, and do nothing with it.

        Raises:
            VendRefused, VendorUnreachable, SecretMissing: as ``vend``.
        """
        _log_in(self._configuration())

    def _configuration(self) -> _Configuration:
        """Where the vendor is, and who we are there."""
        content = self._secrets(SECRET)
        return _Configuration(
            base_url=credentials.base_url(content, SECRET),
            company_name=credentials.text(content, "company_name", SECRET),
            user_name=credentials.text(content, "user_name", SECRET),
            password=credentials.text(content, "password", SECRET),
        )


# --- what is asked ----------------------------------------------------------------------------


def _money(order: VendOrder) -> tuple[str, str]:
    """The price of a kWh, and what the kWh of the vend cost, in major units: exactly.

    Raises:
        VendRefused: it is no vend of energy; or it has no price (energy for nothing); or one
            that cannot be written with six decimals.
    """
    sts.kwh_of(order.vend)
    units, cost_minor = order.vend.units, order.vend.cost_minor
    if units is None or cost_minor <= 0:
        raise VendRefused("no_price", "energy for nothing cannot be asked for")
    minor_units = Fraction(10**order.currency.decimals)
    return _decimal(cost_minor / units / minor_units), _decimal(cost_minor / minor_units)


def _decimal(value: Fraction) -> str:
    if (value * 10**DECIMALS_MAX).denominator != 1:
        raise VendRefused("price_out_of_range")
    return format_units(value)


def _log_in(configuration: _Configuration) -> Session:
    """A new session. Whatever goes wrong here, no token was asked for.

    Raises:
        VendRefused, VendorUnreachable: as ``log_in``.
    """
    names = {
        "Username": configuration.user_name,
        "Password": configuration.password,
        "Companyname": configuration.company_name,
    }
    url = f"{configuration.base_url}/login/"
    return log_in(url, JSON_HEADERS, json.dumps(names).encode(), _session)


def _session(answer: Answer) -> Session:
    token = text_of(answer)
    if _SESSION.fullmatch(token) is None:  # "false", for example
        raise VendUncertain("no session")
    return Session(token)


# --- what the answer means --------------------------------------------------------------------


def _token_of(answer: Answer) -> str:
    """The token, if the answer clearly is one: what stands before the first comma.

    Raises:
        SessionRefused: an empty success, by which the vendor says so.
        VendUncertain: anything else that is no token.
    """
    require_success(answer)
    if not answer.body:
        raise SessionRefused
    try:
        said = _SALE.fullmatch(answer.body.decode("utf-8"))
    except UnicodeDecodeError:
        said = None
    token = sts.token_of(said["token"]) if said else None
    if token is None:
        raise VendUncertain("success without a token of 20 digits")
    return token
