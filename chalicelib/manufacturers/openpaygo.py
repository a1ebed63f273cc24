"""OpenPAYGO: solar home systems and e-bikes whose tokens are computed here, from a secret key.

A token adds days, sets them, locks, unlocks for good, or brings the device's count to ours. The
same key, count and value always give the same token, so a settlement that is computed anew makes
the very same one, and a count that is used once is never used again. A device may miss at most 64
counts (32 tokens that add time), or 99 where the next token is for its count. A token that sets
the time makes all older ones that were not typed in yet worthless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.manufacturers.sealing import Seals
from chalicelib.services.ports import (
    Device,
    Issued,
    Manufacturer,
    RecoveryClass,
    SealBroken,
    VendRefused,
)

ENCODED_MAX = 995
"""The largest number a standard token carries: days times the device's value divider."""
EXTENDED_MAX = 999_999
"""The same of an extended token, which only some devices take."""

STARTING_CODE_MAX = 999_999_999
COUNT_MAX = 100_000
"""A token's cost grows with its count (0.8 s here); a device that takes one a day gets there in
more than a hundred years."""

_RULES = {
    VendKind.TIME: VendRules(step=Fraction(1), units_max=Fraction(ENCODED_MAX)),
    VendKind.UNLOCK: VendRules(step=Fraction(1)),
    VendKind.LOCK: VendRules(step=Fraction(1)),
    VendKind.RESET: VendRules(step=Fraction(1), units_max=Fraction(ENCODED_MAX)),
    VendKind.SYNC: VendRules(step=Fraction(1)),
}
_WITH_DAYS = (VendKind.TIME, VendKind.RESET)
"""The kinds whose token carries days; the others are commands, which are always standard tokens:
the library's extended ones do something else (EnAccess/OpenPAYGO-python #24)."""

MANUFACTURERS = (
    Manufacturer(
        key="openpaygo",
        manufacturer_id=1,
        name="OpenPAYGO",
        kind=Kind.SHS,
        recovery=RecoveryClass.REPEATABLE,
        rules=_RULES,
        local=True,
        technical_required=True,
    ),
    Manufacturer(
        key="openpaygo_ebike",
        manufacturer_id=2,
        name="OpenPAYGO e-bike",
        kind=Kind.E_BIKE,
        recovery=RecoveryClass.REPEATABLE,
        rules=_RULES,
        local=True,
        technical_required=True,
    ),
)

_SECRET_KEY = re.compile(r"[0-9a-fA-F]{32}")
_DIGITS = re.compile(r"[0-9]{1,9}")
_FORMS = {
    (False, False): re.compile(r"[0-9]{9}"),
    (False, True): re.compile(r"[1-4]{15}"),
    (True, False): re.compile(r"[0-9]{12}"),
    (True, True): re.compile(r"[1-4]{20}"),
}
"""What a token looks like: whether it is extended, and whether its digits are restricted."""

_STORED_OPENLY = ("starting_code", "value_divider", "restricted_digits", "extended_tokens")
_TECHNICAL_FIELDS = ("secret_key", *_STORED_OPENLY, "count")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> OpenPaygo:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return OpenPaygo(manufacturer, Seals(secrets))


class OpenPaygo:
    """Issues OpenPAYGO tokens.

    Of a device it stores ``sealed_key`` and ``starting_code``, and only where they are not the
    usual ones ``value_divider`` (not 1), ``restricted_digits`` and ``extended_tokens`` (true).
    """

    def __init__(self, manufacturer: Manufacturer, seals: Seals) -> None:
        self.manufacturer = manufacturer
        self._seals = seals

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Whole days; at most as many as the device's value divider leaves room for."""
        if kind in _WITH_DAYS:
            days_max = _encoded_max(device) // _divider(device)
            return VendRules(step=Fraction(1), units_max=Fraction(days_max))
        return self.manufacturer.rules[kind]

    def issue(self, device: Device, kind: VendKind, units: Fraction | None, count: int) -> Issued:
        """The token that follows ``count``. The same input always gives the same token.

        Raises:
            VendRefused: the device's key was never entered, or does not open (``no_key``,
                ``seal_broken``), or no such token exists (``not_offered``,
                ``units_out_of_range``, ``count_out_of_range``).
            SecretMissing: the key that sealed the device's key is not there now.
        """
        from openpaygo import TokenType, generate_token

        if kind not in self.manufacturer.rules:
            raise VendRefused("not_offered")
        if not 0 <= count <= COUNT_MAX:
            raise VendRefused("count_out_of_range")
        extended = kind in _WITH_DAYS and _is_extended(device)
        restricted = bool(device.technical.get("restricted_digits", False))
        types = {
            VendKind.TIME: TokenType.ADD_TIME,
            VendKind.UNLOCK: TokenType.DISABLE_PAYG,
            VendKind.LOCK: TokenType.SET_TIME,
            VendKind.RESET: TokenType.SET_TIME,
            VendKind.SYNC: TokenType.COUNTER_SYNC,
        }
        # The library rounds floats, and takes negative values for commands: it gets whole
        # numbers that were checked, already multiplied.
        new_count, token = generate_token(
            secret_key=self._secret_key(device),
            count=count,
            value=_value(device, kind, units),
            token_type=types[kind],
            starting_code=device.technical["starting_code"],
            restricted_digit_set=restricted,
            extended_token=extended,
        )
        if new_count <= count or _FORMS[extended, restricted].fullmatch(token) is None:
            raise VendRefused("token_malformed")
        return Issued(token, new_count)

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """Check what was entered for a device and seal its key: what to store, and the counter.

        ``secret_key`` (32 hex digits) and ``starting_code`` are required: a device without its
        starting code would get one derived from the key, which need not be the one burnt into it.

        Raises:
            FieldError: on a path below ``technical``.
            SecretMissing: there is no key to seal with.
        """
        for name in technical:
            if name not in _TECHNICAL_FIELDS:
                raise FieldError(f"technical.{name[:60]}", "is not known")
        key = technical.get("secret_key")
        if not isinstance(key, str) or _SECRET_KEY.fullmatch(key) is None:
            raise FieldError("technical.secret_key", "must be 32 hexadecimal digits")
        stored: dict[str, Any] = {
            "starting_code": _whole(technical, "starting_code", 1, STARTING_CODE_MAX)
        }
        divider = _whole(technical, "value_divider", 1, ENCODED_MAX, default=1)
        if divider != 1:
            stored["value_divider"] = divider
        for name in ("restricted_digits", "extended_tokens"):
            if _is_true(technical, name):
                stored[name] = True
        count = _whole(technical, "count", 0, COUNT_MAX, default=1)
        return {"sealed_key": self._seals.seal(key.lower(), serial_number), **stored}, count

    def reveal(self, device: Device) -> Mapping[str, Any]:
        """What was entered for a device, its key in the open; without the count, which lives on.

        Raises:
            SecretMissing, SealBroken: see there.
        """
        known = {
            name: device.technical[name] for name in _STORED_OPENLY if name in device.technical
        }
        sealed_key = device.technical.get("sealed_key")
        if sealed_key is None:
            return known
        return {"secret_key": self._seals.open(sealed_key, device.serial_number), **known}

    def _secret_key(self, device: Device) -> str:
        if "sealed_key" not in device.technical:
            raise VendRefused("no_key")
        try:
            return self._seals.open(device.technical["sealed_key"], device.serial_number)
        except SealBroken:
            raise VendRefused("seal_broken") from None


def _divider(device: Device) -> int:
    return int(device.technical.get("value_divider", 1))


def _is_extended(device: Device) -> bool:
    return bool(device.technical.get("extended_tokens", False))


def _encoded_max(device: Device) -> int:
    return EXTENDED_MAX if _is_extended(device) else ENCODED_MAX


def _value(device: Device, kind: VendKind, units: Fraction | None) -> int | None:
    """The whole number that the token carries; ``None`` for a command without one."""
    if kind is VendKind.LOCK:
        return 0
    if kind not in _WITH_DAYS:
        return None
    encoded = (units or 0) * _divider(device)
    least = 1 if kind is VendKind.TIME else 0
    if encoded != int(encoded) or not least <= encoded <= _encoded_max(device):
        raise VendRefused("units_out_of_range")
    return int(encoded)


def _whole(
    technical: Mapping[str, Any], name: str, least: int, most: int, default: int | None = None
) -> int:
    """A whole number of the request, also where it was typed as text."""
    given = technical.get(name)
    if given is None and default is not None:
        return default
    if isinstance(given, str) and _DIGITS.fullmatch(given):
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise FieldError(f"technical.{name}", f"must be a whole number from {least} to {most}")
    return given


def _is_true(technical: Mapping[str, Any], name: str) -> bool:
    given = technical.get(name)
    if given is not None and not isinstance(given, bool):
        raise FieldError(f"technical.{name}", "must be true or false")
    return bool(given)
