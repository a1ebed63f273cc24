"""A device's plan in its owner's account."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest

from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.errors import FieldError
from chalicelib.domain.plan import Terms
from chalicelib.services.plans import device_plan, new_plan_id, with_device_plan
from chalicelib.services.ports import Device, Manufacturer, RecoveryClass

AT = datetime(2026, 3, 10, 9, tzinfo=UTC)
DEVICE = Device("SHS1", Kind.SHS, "far_away", 1, AT.date(), customer_id="C1")
RECORD = DeviceAccount("SHS1", Kind.SHS)


class FarAway:
    """A manufacturer that has to be called for every token."""

    manufacturer = Manufacturer(
        "far_away", 99, "Far Away", Kind.SHS, RecoveryClass.SEARCHABLE, {}, local=False
    )


class OnlyFarAway:
    """A registry with nothing else."""

    def get(self, key: str) -> FarAway:
        return FarAway()


def test_a_device_that_needs_a_call_to_be_unlocked_cannot_be_sold_as_paid() -> None:
    terms = Terms(700, "week", date(2026, 3, 17), instalments=10, already_paid_minor=700)
    plan = device_plan(terms, DEVICE, "SHS", AT)
    account = Account("C1", 1, devices=(RECORD,))
    with pytest.raises(FieldError) as wrong:
        with_device_plan(account, RECORD, DEVICE, plan, OnlyFarAway())  # type: ignore[arg-type]
    assert wrong.value.field == "already_paid"


def test_plan_ids_are_short_and_never_the_same() -> None:
    ids = {new_plan_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"p-[a-z2-7]{10}", plan_id) for plan_id in ids)
