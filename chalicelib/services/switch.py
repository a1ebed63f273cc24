"""Switch: devices that run until they are told to stop are looked at when their paid time ends.

Whoever switches one on has first written when it is to be looked at (``switch_off_at``, in a
sparse index). A look switches the device to what its owner's account says then, reads that back,
and is made again until it shows. So nothing depends on a look being made in time, or only once:
after an outage all that was missed is still there, the longest due first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.errors import InvariantBroken, MwangaError
from chalicelib.services.breaker import Breaker
from chalicelib.services.devices import belongings_by_itself
from chalicelib.services.ports import (
    Accounts,
    Clock,
    Device,
    Devices,
    Journal,
    Manufacturers,
    Queues,
    SecretMissing,
    Switcher,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
    VersionConflict,
    is_switched,
)
from chalicelib.services.vend import LEASE_MARGIN, OWED_READINGS_MAX, OutOfTime

DEVICES_PER_RUN_MAX = 400
QUEUED_FOR = timedelta(minutes=5)
"""A look that was queued and has not taken place is due again after this."""
AGAIN_MIN = timedelta(minutes=5)
AGAIN_MAX = timedelta(hours=1)
"""A device that could not be switched is tried again after so long: half of what it is overdue."""
OVERDUE = timedelta(hours=1)
"""A device that still runs so long after its time is counted, for people to see."""


@dataclass(frozen=True, slots=True)
class Owed:
    """What a device is owed: until when it runs, or for good."""

    paid_until: datetime | None = None
    unlocked: bool = False

    def is_on(self, now: datetime) -> bool:
        """Whether it is to run now."""
        return self.unlocked or (self.paid_until is not None and now < self.paid_until)

    def next_look(self, now: datetime) -> datetime | None:
        """When it may have to be switched next."""
        return self.paid_until if self.is_on(now) and not self.unlocked else None


class SwitchDevices:
    """Finds the devices that are due, and switches one."""

    def __init__(
        self,
        *,
        devices: Devices,
        accounts: Accounts,
        manufacturers: Manufacturers,
        breaker: Breaker,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._devices = devices
        self._accounts = accounts
        self._manufacturers = manufacturers
        self._breaker = breaker
        self._queues = queues
        self._clock = clock
        self._journal = journal

    # --- what is due --------------------------------------------------------------------------

    def queue_due(self) -> int:
        """Queue the devices that are due, and answer how many. One bounded run."""
        now = self._clock.now()
        due = self._devices.to_switch(now, DEVICES_PER_RUN_MAX)
        for serial_number, seen in due:
            self._queue_apart(serial_number, seen, now)
        return len(due)

    def _queue_apart(self, serial_number: str, seen: datetime, now: datetime) -> None:
        """Queue one; whatever goes wrong, those behind it are not to wait for ever."""
        try:
            device = self._devices.look_again(serial_number, seen, now + QUEUED_FOR)
            if device is not None:  # else somebody has just seen to it
                self._queues.switch(serial_number, device.manufacturer)
        except MwangaError as error:
            self._journal.event("switch_not_queued", serial_number=serial_number, error=error.code)

    # --- one device ---------------------------------------------------------------------------

    def switch(self, serial_number: str, manufacturer: str, deadline: datetime) -> None:
        """Switch that device to what it is owed now, if a look at it is still due.

        Raises:
            OutOfTime: ``deadline`` is nearer than the manufacturer's time-out; nothing was done.
            TryAgain, OutcomeUnknown: the message must come back.
        """
        device = self._devices.get(serial_number)
        if device is None or device.manufacturer != manufacturer or device.switch_off_at is None:
            return
        module = self._manufacturers.get(manufacturer)
        if not is_switched(module):
            raise InvariantBroken(f"{serial_number} is not switched")
        call_takes = timedelta(seconds=module.manufacturer.timeout_seconds) + LEASE_MARGIN
        if self._clock.now() + call_takes > deadline:
            raise OutOfTime(serial_number)
        wait = self._breaker.wait(manufacturer, int(call_takes.total_seconds()))
        at = self._clock.now() + wait if wait else self._next_look(module, device, deadline)
        self._devices.look_again(serial_number, device.switch_off_at, at)

    def _next_look(self, module: Switcher, device: Device, deadline: datetime) -> datetime | None:
        """Switch the device; when it is to be looked at again."""
        try:
            owed = self._switched(module, device, deadline)
        except (SecretMissing, VendorUnreachable, VendRefused, VendUncertain) as failed:
            return self._clock.now() + self._wait_after(failed, device)
        return owed.next_look(self._clock.now())

    def _switched(self, module: Switcher, device: Device, deadline: datetime) -> Owed:
        """What the device was owed *after* it was switched to just that.

        A payment may come in during the call, and its own call before ours: whoever finds that
        the account has moved on switches once more, so the last word is the account's.

        Raises:
            VendUncertain: it is not seen to be switched, or the account did not stand still.
        """
        owed = self._owed(device)
        for _ in range(OWED_READINGS_MAX):
            on = owed.is_on(self._clock.now())
            with self._breaker.call(device.manufacturer):
                seen = module.switch(device.serial_number, on=on)
            if not seen:
                raise VendUncertain("not seen to be switched")
            self._journal.event("device_switched", serial_number=device.serial_number, on=on)
            before, owed = owed, self._owed(device)
            if before == owed and owed.is_on(self._clock.now()) is on:
                return owed
            left = timedelta(seconds=module.manufacturer.timeout_seconds)
            if self._clock.now() + left > deadline:
                break
        raise VendUncertain("the account did not stand still")

    def _owed(self, device: Device) -> Owed:
        """What the device is owed by its owner's account; by itself where nobody owns it.

        Raises:
            VersionConflict: it is changing hands this very moment.
        """
        if device.customer_id is None:
            own = belongings_by_itself(device)
            return Owed(own.paid_until, own.unlocked)
        account = self._accounts.get(device.customer_id)
        record = account.device(device.serial_number) if account else None
        if record is None or not record.owned:
            raise VersionConflict(device.serial_number)
        return Owed(record.paid_until, record.unlocked)

    # --- what did not work --------------------------------------------------------------------

    def _wait_after(self, failed: MwangaError, device: Device) -> timedelta:
        """How long to wait: without an end, for a device that is not off runs for nothing."""
        self._journal.event(
            "switch_failed",
            serial_number=device.serial_number,
            error=failed.code,
            detail=failed.detail,
        )
        now = self._clock.now()
        overdue = now - (self._owed(device).paid_until or now)
        if overdue > OVERDUE:
            self._journal.count("SwitchesOverdue", manufacturer=device.manufacturer)
        return min(max(overdue / 2, AGAIN_MIN), AGAIN_MAX)
