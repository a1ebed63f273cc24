"""What devices have in common that their vendor knows by their serial number alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.manufacturers.technical import refuse_unknown
from chalicelib.services.ports import Device, Manufacturer


class PlainDevice:
    """All of a manufacturer but its calls and its tokens.

    ``secrets`` reads a secret of the deployment by its name.
    """

    def __init__(
        self, manufacturer: Manufacturer, secrets: Callable[[str], Mapping[str, Any]]
    ) -> None:
        self.manufacturer = manufacturer
        self._secrets = secrets

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Step and limit, which are the same for every device."""
        return self.manufacturer.rules[kind]

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """There are no technical fields, and no counter here.

        Raises:
            FieldError: there is one all the same.
        """
        refuse_unknown(technical)
        return {}, 0

    def reveal(self, device: Device) -> Mapping[str, Any]:
        """What was entered for a device, with its secrets: ``seal`` takes it as it is."""
        return device.technical
