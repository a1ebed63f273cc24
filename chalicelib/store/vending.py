"""Circuit breakers and busy devices: what the workers that call manufacturers share."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from pynamodb.attributes import UnicodeAttribute

from chalicelib.domain.circuit import Circuit
from chalicelib.services.ports import VersionConflict
from chalicelib.store.attributes import MomentAttribute, WholeNumberAttribute
from chalicelib.store.connection import Table
from chalicelib.store.dynamodb import ConditionUnmet, find, put, writing


class CircuitRow(Table):
    """How it stands with one manufacturer."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "circuits"

    record: ClassVar[type[Any]] = Circuit

    manufacturer = UnicodeAttribute(hash_key=True)
    failures = WholeNumberAttribute(null=True)
    openings = WholeNumberAttribute(null=True)
    open_until = MomentAttribute(null=True)
    probe_until = MomentAttribute(null=True)
    revision = WholeNumberAttribute()


class BusyDeviceRow(Table):
    """A device with a vend in flight. ``held_by`` names the vend."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "busy_devices"

    serial_number = UnicodeAttribute(hash_key=True)
    held_by = UnicodeAttribute()
    until = MomentAttribute()


class DynamoCircuits:
    """The port ``Circuits`` on DynamoDB."""

    def get(self, manufacturer: str) -> Circuit:
        """The circuit as stored, read consistently; a sound one where there is none."""
        row = find(CircuitRow, manufacturer)
        return row.value() if row else Circuit(manufacturer)

    def save(self, circuit: Circuit) -> Circuit:
        """Write it if its stored revision is still ``circuit.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = replace(circuit, revision=circuit.revision + 1)
        condition = (
            CircuitRow.revision == circuit.revision
            if circuit.revision
            else CircuitRow.manufacturer.does_not_exist()
        )
        try:
            put(CircuitRow.of(written), condition)
        except ConditionUnmet as unmet:
            raise VersionConflict(circuit.manufacturer) from unmet
        return written


class DynamoBusyDevices:
    """The port ``BusyDevices`` on DynamoDB."""

    def take(self, serial_number: str, holder: str, now: datetime, until: datetime) -> bool:
        """Whether the device is the holder's now. One conditional request.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        row = BusyDeviceRow(serial_number=serial_number, held_by=holder, until=until)
        free = BusyDeviceRow.serial_number.does_not_exist() | (BusyDeviceRow.until < now)
        try:
            put(row, free | (BusyDeviceRow.held_by == holder))
        except ConditionUnmet:
            return False
        return True

    def release(self, serial_number: str, holder: str) -> None:
        """Give the device free, if it is the holder's.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        row = BusyDeviceRow(serial_number=serial_number)
        try:
            writing(lambda: row.delete(condition=BusyDeviceRow.held_by == holder))
        except ConditionUnmet:
            return
