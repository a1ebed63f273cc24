"""Faults that a test or an operator orders from a vendor."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """What can go wrong with a call.

    The first five take effect on a request that the vendor would have accepted.
    """

    SLOW = "slow"
    """The answer comes, but late: after :data:`SLOW_SECONDS`."""
    VEND_THEN_TIMEOUT = "vend_then_timeout"
    """The vendor issues, then says nothing for :data:`SILENT_SECONDS` and hangs up."""
    ERROR_500 = "error_500"
    """HTTP 500; nothing was issued, but the caller cannot know."""
    GARBAGE = "garbage"
    """The vendor issues, and its answer is HTTP 200 that nobody can read."""
    REFUSE = "refuse"
    """A definite no, in the vendor's own words."""
    REFUSE_CONNECTION = "refuse_connection"
    """Nothing listens at the vendor's address."""


SLOW_SECONDS = 5.0
SILENT_SECONDS = 60.0
CLOSED_SECONDS_EACH = 10.0
"""How long one of the ``times`` of a refused connection lasts. Whoever is refused is not seen by
the vendor, so these cannot be counted, only timed."""


class UnreadableFault(Exception):
    """An order for a fault that does not say what is wanted. The text says why."""


@dataclass
class FaultOrder:
    """A fault, for one device or for all of a vendor's, so many times or until it is cleared."""

    vendor: str
    fault: Fault
    serial_number: str | None
    times: int | None

    @classmethod
    def read(cls, fields: Any, vendors: set[str]) -> FaultOrder:
        """The order in a JSON body.

        Raises:
            UnreadableFault: a field is missing, unknown or of another type.
        """
        known = {"vendor", "fault", "serial_number", "times"}
        if not isinstance(fields, dict) or not set(fields) <= known:
            raise UnreadableFault(f"fields: {', '.join(sorted(known))}")
        vendor, serial, times = (fields.get(name) for name in ("vendor", "serial_number", "times"))
        if not isinstance(vendor, str) or vendor not in vendors:
            raise UnreadableFault(f"vendor: one of {', '.join(sorted(vendors))}")
        if fields.get("fault") not in list(Fault):
            raise UnreadableFault(f"fault: one of {', '.join(Fault)}")
        if not isinstance(serial, str | None):
            raise UnreadableFault("serial_number: a text")
        if times is not None and (type(times) is not int or times < 1):
            raise UnreadableFault("times: a whole number from 1")
        fault = Fault(fields["fault"])
        if serial and fault is Fault.REFUSE_CONNECTION:
            raise UnreadableFault("serial_number: a connection is refused before a device is named")
        return cls(vendor, fault, serial, times)


class Faults:
    """The faults in force, oldest first; safe to use from many threads."""

    def __init__(self) -> None:
        self._orders: list[FaultOrder] = []
        self._lock = threading.Lock()

    def add(self, order: FaultOrder) -> None:
        """Puts a fault in force."""
        with self._lock:
            self._orders.append(order)

    def clear(self) -> None:
        """Ends all faults."""
        with self._lock:
            self._orders.clear()

    def take(self, vendor: str, serial_number: str) -> Fault | None:
        """The fault for this call, if there is one; it counts as one of its times."""
        with self._lock:
            for order in self._orders:
                if order.vendor == vendor and order.serial_number in (None, serial_number):
                    if order.times is not None:
                        order.times -= 1
                        if order.times == 0:
                            self._orders.remove(order)
                    return order.fault
        return None
