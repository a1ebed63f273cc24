"""What prepaid meters with an STS keypad have in common, whoever makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.manufacturers import sts
from chalicelib.manufacturers.technical import refuse_unknown
from chalicelib.services.ports import Device, Manufacturer, Sold, VendOrder, VendUncertain


class KeypadMeter:
    """All of a manufacturer but the vend itself.

    The meter's serial number is all that its vendor needs to know, and the vendor can be asked for
    nothing but tokens; one that tells its past sales overrides ``look_up``.
    """

    def __init__(
        self, manufacturer: Manufacturer, secrets: Callable[[str], Mapping[str, Any]]
    ) -> None:
        self.manufacturer = manufacturer
        self._secrets = secrets

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Tenths of a kWh, without a limit that the vendor would state."""
        return self.manufacturer.rules[kind]

    def look_up(self, order: VendOrder) -> Sold:
        """Always uncertain: the vendor offers nothing to search.

        Raises:
            VendUncertain: always.
        """
        raise VendUncertain("the vendor cannot be asked")

    def token(self, text: str | None) -> str:
        """The token that a person typed in: 20 digits; spaces and dashes do not count.

        Raises:
            FieldError: it cannot be a token of this manufacturer.
        """
        return sts.typed_token(text)

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """A meter has no technical fields, and no counter here.

        Raises:
            FieldError: there is one all the same.
        """
        refuse_unknown(technical)
        return {}, 0

    def reveal(self, device: Device) -> Mapping[str, Any]:
        """What was entered for a device, with its secrets: ``seal`` takes it as it is."""
        return device.technical
