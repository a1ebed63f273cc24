"""What the workers that call manufacturers share with each other."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from chalicelib.domain.circuit import Circuit


class Circuits(Protocol):
    """The circuit breakers, one stored item per manufacturer."""

    def get(self, manufacturer: str) -> Circuit:
        """The circuit as stored; a sound one where there is none. One request."""

    def save(self, circuit: Circuit) -> Circuit:
        """Write it if its stored revision is still ``circuit.revision``; as it is written.

        Raises:
            VersionConflict: somebody else changed it first.
            TryAgain, OutcomeUnknown: see there.
        """


class BusyDevices(Protocol):
    """Devices with a vend in flight, for manufacturers that tell sales apart by device only."""

    def take(self, serial_number: str, holder: str, now: datetime, until: datetime) -> bool:
        """Whether the device is the holder's now, until then at most. Also if it was before.

        Raises:
            TryAgain, OutcomeUnknown: see there; taking it again is harmless.
        """

    def release(self, serial_number: str, holder: str) -> None:
        """Give the device free, if it is the holder's.

        Raises:
            TryAgain, OutcomeUnknown: see there; doing it again is harmless.
        """
