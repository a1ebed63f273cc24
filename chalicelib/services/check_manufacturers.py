"""Check a manufacturer: whether it takes our credentials, asked by a call that sells nothing.

Somebody who has just stored or changed a secret wants to know before the next customer pays. A vend
is never made for that.
"""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.services.ports import (
    Journal,
    Manufacturers,
    SecretMissing,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
    can_be_checked,
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of it. ``code`` is ``ok``, or says what is wrong; ``detail`` is for people."""

    code: str
    detail: str = ""


class CheckManufacturers:
    """Asks manufacturers something harmless."""

    def __init__(self, *, manufacturers: Manufacturers, journal: Journal) -> None:
        self._manufacturers = manufacturers
        self._journal = journal

    def check(self, key: str, serial_number: str) -> Checked:
        """Ask the manufacturer of that key, about that device (or ``""``) where it needs one.

        Nothing is raised, whatever comes of it.
        """
        checked = self._checked(key, serial_number)
        self._journal.event("manufacturer_checked", manufacturer=key, code=checked.code)
        return checked

    def _checked(self, key: str, serial_number: str) -> Checked:
        try:
            module = self._manufacturers.get(key)
        except KeyError:
            return Checked("unknown_manufacturer", "there is none of that key")
        if not can_be_checked(module):
            return Checked("not_offered", "it has no call that is known to sell nothing")
        if module.manufacturer.checked_by_device and not serial_number:
            return Checked("serial_number_needed", "it can be asked about a device only")
        try:
            module.check(serial_number)
        except SecretMissing as missing:
            return Checked("secret_missing", missing.detail)
        except (VendRefused, VendorUnreachable, VendUncertain) as failed:
            return Checked(failed.code, failed.detail)
        return Checked("ok")
