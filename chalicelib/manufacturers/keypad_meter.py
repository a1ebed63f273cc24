"""What prepaid meters with an STS keypad have in common, whoever makes them."""

from __future__ import annotations

from chalicelib.manufacturers import sts
from chalicelib.manufacturers.plain_device import PlainDevice
from chalicelib.services.ports import Sold, VendOrder, VendUncertain


class KeypadMeter(PlainDevice):
    """All of a manufacturer but the vend itself.

    The vendor can be asked for nothing but tokens; one that tells its past sales overrides
    ``look_up``.
    """

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
