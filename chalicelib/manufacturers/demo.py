"""Demo devices: a meter and a solar home system that are not there, to try everything out with.

Their tokens are computed here and open nothing. An installation whose stage is ``production`` does
not have them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.manufacturers.technical import refuse_unknown
from chalicelib.services.ports import Device, Issued, Manufacturer, RecoveryClass, VendRefused

DIGITS = 12

MANUFACTURERS = (
    Manufacturer(
        key="demo_meter",
        manufacturer_id=90,
        name="Demo meter (not real)",
        kind=Kind.METER,
        recovery=RecoveryClass.REPEATABLE,
        rules={VendKind.ENERGY: VendRules(step=Fraction(1, 10))},
        local=True,
        demo=True,
    ),
    Manufacturer(
        key="demo_shs",
        manufacturer_id=91,
        name="Demo SHS (not real)",
        kind=Kind.SHS,
        recovery=RecoveryClass.REPEATABLE,
        rules={
            VendKind.TIME: VendRules(step=Fraction(1)),
            VendKind.UNLOCK: VendRules(step=Fraction(1)),
        },
        local=True,
        demo=True,
    ),
)


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> Demo:
    """The manufacturer of that key. It needs no secret."""
    return Demo(next(m for m in MANUFACTURERS if m.key == key))


class Demo:
    """Issues tokens that look like tokens."""

    def __init__(self, manufacturer: Manufacturer) -> None:
        self.manufacturer = manufacturer

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """The same for every device."""
        return self.manufacturer.rules[kind]

    def issue(self, device: Device, kind: VendKind, units: Fraction | None, count: int) -> Issued:
        """Twelve digits that nobody can tell from others, the same for the same input.

        Raises:
            VendRefused: no such token exists (``not_offered``).
        """
        if kind not in self.manufacturer.rules:
            raise VendRefused("not_offered")
        said = f"{device.serial_number} {kind} {units} {count}"
        number = int.from_bytes(hashlib.sha256(said.encode()).digest()) % 10**DIGITS
        return Issued(f"{number:0{DIGITS}}", count + 1)

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """A demo device has no technical fields; its counter begins at 0.

        Raises:
            FieldError: there is one all the same.
        """
        refuse_unknown(technical)
        return {}, 0

    def reveal(self, device: Device) -> Mapping[str, Any]:
        """Nothing was entered."""
        return device.technical
