"""Faults that a test or an operator orders from a fake."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """What can go wrong.

    The first five take effect on a request that the other side would have accepted and that would
    change something there: questions are answered, and do not use them up.
    """

    SLOW = "slow"
    """The answer comes, but late: after :data:`SLOW_SECONDS`."""
    VEND_THEN_TIMEOUT = "vend_then_timeout"
    """It is done, then nothing is said for :data:`SILENT_SECONDS`, and the line goes dead."""
    ERROR_500 = "error_500"
    """HTTP 500; nothing was done, but the caller cannot know."""
    GARBAGE = "garbage"
    """It is done, and the answer is HTTP 200 that nobody can read."""
    REFUSE = "refuse"
    """A definite no, in the other side's own words."""
    REFUSE_CONNECTION = "refuse_connection"
    """Nothing listens at the address."""

    PENDING = "pending"
    """What was done is told to be on its way still; each time it is told counts."""
    OFFLINE = "offline"
    """What was done does not reach the device, which tells its old state; each time counts."""
    REFUND_FAILS = "refund_fails"
    """A refund is taken, and fails later."""


CALL_FAULTS = frozenset(
    {Fault.SLOW, Fault.VEND_THEN_TIMEOUT, Fault.ERROR_500, Fault.GARBAGE, Fault.REFUSE}
)
"""What can go wrong with a call, whoever is called."""


SLOW_SECONDS = 5.0
SILENT_SECONDS = 60.0
CLOSED_SECONDS_EACH = 10.0
"""How long one of the ``times`` of a refused connection lasts. Whoever is refused is not seen by
the fake, so these cannot be counted, only timed."""


class UnreadableFault(Exception):
    """An order for a fault that does not say what is wanted. The text says why."""


@dataclass
class FaultOrder:
    """A fault of one fake, so many times or until it is cleared.

    ``serial_number`` narrows it to one subject (see :class:`~.fake.Order`): a device's serial
    number at most vendors.
    """

    vendor: str
    fault: Fault
    serial_number: str | None
    times: int | None

    @classmethod
    def read(cls, fields: Any, own_faults: Mapping[str, Collection[Fault]]) -> FaultOrder:
        """The order in a JSON body.

        Args:
            fields: the body.
            own_faults: the keys of all fakes, each with the faults that only it knows.

        Raises:
            UnreadableFault: a field is missing, unknown or of another type.
        """
        known = {"vendor", "fault", "serial_number", "times"}
        if not isinstance(fields, dict) or not set(fields) <= known:
            raise UnreadableFault(f"fields: {', '.join(sorted(known))}")
        vendor, serial, times = (fields.get(name) for name in ("vendor", "serial_number", "times"))
        if not isinstance(vendor, str) or vendor not in own_faults:
            raise UnreadableFault(f"vendor: one of {', '.join(sorted(own_faults))}")
        possible = {*CALL_FAULTS, Fault.REFUSE_CONNECTION, *own_faults[vendor]}
        if fields.get("fault") not in [str(fault) for fault in possible]:
            raise UnreadableFault(f"fault: one of {', '.join(sorted(possible))}")
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

    def take(self, vendor: str, subject: str, among: Collection[Fault]) -> Fault | None:
        """The oldest fault of these that is in force for it; it counts as one of its times."""
        with self._lock:
            for order in self._orders:
                if (
                    order.vendor == vendor
                    and order.fault in among
                    and order.serial_number in (None, subject)
                ):
                    if order.times is not None:
                        order.times -= 1
                        if order.times == 0:
                            self._orders.remove(order)
                    return order.fault
        return None
