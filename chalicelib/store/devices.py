"""Devices by serial number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pynamodb.expressions.condition import Condition

from chalicelib.services.ports import Device
from chalicelib.store.dynamodb import find, reading
from chalicelib.store.models import DeviceRow


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


def next_revision_of_device(device: Device) -> Device:
    """The device as it is written."""
    return replace(device, revision=device.revision + 1)


def as_read(device: Device) -> Condition:
    """That nobody has written the device since it was read."""
    return DeviceRow.revision == device.revision
