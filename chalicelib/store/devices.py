"""Devices by serial number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.services.ports import Device
from chalicelib.store.dynamodb import ConditionUnmet, find, reading, writing
from chalicelib.store.models import SWITCHING, DeviceRow


class DynamoDevices:
    """The port ``Devices`` on DynamoDB."""

    def get(self, serial_number: str) -> Device | None:
        """The device, read consistently in one request."""
        row = find(DeviceRow, serial_number)
        return row.value() if row else None

    def of_customer(self, customer_id: str) -> Sequence[Device]:
        """All devices of a customer, by serial number. From an index: a moment behind at most."""
        return [
            row.value() for row in reading(lambda: list(DeviceRow.by_customer.query(customer_id)))
        ]

    # --- switched off when their time is over -------------------------------------------------

    def to_switch(self, until: datetime, limit: int) -> Sequence[tuple[str, datetime]]:
        """Serial numbers to look at by ``until``, each with its time; the longest due first."""
        rows = reading(
            lambda: list(
                DeviceRow.by_switch_off_at.query(
                    SWITCHING, DeviceRow.switch_off_at <= until, limit=limit, page_size=limit
                )
            )
        )
        return [(row.serial_number, row.switch_off_at) for row in rows]

    def look_by(self, serial_number: str, at: datetime) -> None:
        """Have the device looked at no later than that. One request.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        later = DeviceRow.switch_off_at.does_not_exist() | (DeviceRow.switch_off_at > at)
        try:
            self._set_look(serial_number, at, DeviceRow.serial_number.exists() & later)
        except ConditionUnmet:
            return  # it is looked at sooner, or is not there

    def look_again(self, serial_number: str, seen: datetime, at: datetime | None) -> Device | None:
        """Put off a look that was due (``None``: no look is due any more). One request.

        ``None`` when the device is not to be looked at at ``seen`` any more.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        try:
            return self._set_look(serial_number, at, DeviceRow.switch_off_at == seen)
        except ConditionUnmet:
            return None

    def _set_look(self, serial_number: str, at: datetime | None, condition: Condition) -> Device:
        row = DeviceRow(serial_number=serial_number)
        # A new revision: who writes the whole device must not write an old time of the look.
        actions: list[Action] = [DeviceRow.revision.add(1)]
        if at is None:
            actions += [DeviceRow.switch_off_at.remove(), DeviceRow.switching.remove()]
        else:
            actions += [DeviceRow.switch_off_at.set(at), DeviceRow.switching.set(SWITCHING)]
        writing(lambda: row.update(actions, condition))
        device: Device = row.value()
        return device


def next_revision_of_device(device: Device) -> Device:
    """The device as it is written."""
    return replace(device, revision=device.revision + 1)


def as_read(device: Device) -> Condition:
    """That nobody has written the device since it was read."""
    return DeviceRow.revision == device.revision
