"""Devices that had a life before: their balances, and devices that nobody owns yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.errors import FieldError
from chalicelib.domain.plan import Terms
from chalicelib.services.opening import Opening
from chalicelib.services.ports import ConditionFailed, DeviceState, TryAgain
from chalicelib.services.register import NewDevice
from tests.integration.api.conftest import TECHNICAL, Api, Place, person
from tests.integration.company import TODAY

OPENING = Opening(as_of=TODAY)


def shs(**changes: Any) -> NewDevice:
    """An SHS with its key."""
    new = NewDevice("SHS9", "openpaygo", technical={**TECHNICAL, "count": 9}, to_complete=True)
    return replace(new, **changes)


def meter(**changes: Any) -> NewDevice:
    """A meter."""
    return replace(NewDevice("47009", "calin", to_complete=True), **changes)


def stock(api: Api, new: NewDevice, opening: Opening = OPENING) -> DeviceState:
    """Put it into stock."""
    return api.wiring.register.stock(new, opening, None, actor="admin@example.org").state


def test_a_device_in_stock_keeps_what_belongs_to_it_for_its_first_owner(
    api: Api, place: Place
) -> None:
    until = datetime(2026, 4, 1, tzinfo=UTC)
    new = shs(village_id=place.village_id)
    for _ in range(2):
        assert stock(api, new, replace(OPENING, paid_until=until)) is DeviceState.UNASSIGNED
    api.post("/customers", person(place), "office")
    api.put("/devices/SHS9/owner", {"customer_id": "C1", "reason": "sold"}, "office")
    account = api.wiring.accounts.get("C1")
    assert account is not None
    record = account.device("SHS9")
    assert record is not None
    assert (record.counter, record.paid_until, record.unlocked) == (9, until, False)


def test_a_village_with_a_device_in_stock_is_in_use(api: Api, place: Place) -> None:
    stock(api, shs(village_id=place.village_id))
    assert api.send("DELETE", f"/villages/{place.village_id}").code == "in_use"


def test_meters_in_stock_have_a_tariff_or_none(api: Api, place: Place) -> None:
    here = {"village_id": place.village_id}
    stock(api, meter(**here))
    stock(api, meter(serial_number="47010", tariff_id=place.tariff_id, **here))
    refused = {
        "tariff_id": meter(serial_number="47011", tariff_id=99, **here),
        "appliance_id": meter(serial_number="47012", appliance_id=place.tv_id, **here),
    }
    for field, new in refused.items():
        with pytest.raises(FieldError) as error:
            stock(api, new)
        assert error.value.field == field
    stored = api.wiring.devices.get("47010")
    assert stored is not None and stored.tariff_id == place.tariff_id


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"village_id": None}, "village_id"),
        ({"tariff_id": 1}, "tariff_id"),
        ({"manufacturer": "acme"}, "manufacturer"),
        ({"appliance_id": 99}, "appliance_id"),
    ],
)
def test_what_a_device_in_stock_cannot_be_is_refused(
    api: Api, place: Place, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(FieldError) as error:
        stock(api, replace(shs(village_id=place.village_id), **changes))
    assert error.value.field == field
    assert api.wiring.devices.get("SHS9") is None


def test_a_serial_number_in_stock_is_taken(api: Api, place: Place) -> None:
    stock(api, shs(village_id=place.village_id))
    with pytest.raises(FieldError) as error:
        stock(api, shs(village_id=place.village_id, appliance_id=place.shs_id))
    assert error.value.field == "serial_number"


def test_a_village_that_goes_that_very_moment_means_to_try_again(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise ConditionFailed("village")

    monkeypatch.setattr(api.wiring.registry, "create_device", gone)
    with pytest.raises(TryAgain):
        stock(api, shs(village_id=place.village_id))


def test_a_device_that_is_to_be_paid_off_is_not_unlocked(api: Api, place: Place) -> None:
    api.post("/customers", person(place), "office")
    terms = Terms(total_minor=700_000, every="week", first_due=TODAY, instalments=10)
    new = shs(terms=terms, opening=replace(OPENING, unlocked=True))
    with pytest.raises(FieldError) as error:
        api.wiring.register.register("C1", new, None, actor="a", meters_too=True)
    assert error.value.field == "device.unlocked"


@pytest.mark.parametrize(
    ("new", "opening", "field"),
    [
        (meter(), {"carry_days": Fraction(1, 2)}, "carry_days"),
        (meter(), {"paid_until": datetime(2026, 4, 1, tzinfo=UTC)}, "paid_until"),
        (meter(), {"unlocked": True}, "unlocked"),
        (shs(), {"carry_minor": Fraction(1)}, "carry"),
        (shs(), {"access_rate_owed_minor": 1}, "access_rate_owed"),
        (shs(), {"access_rate_since": date(2026, 1, 1)}, "access_rate_since"),
        (shs(), {"carry_days": Fraction(1)}, "carry_days"),
    ],
)
def test_balances_that_a_device_of_that_kind_cannot_have_are_refused(
    api: Api, place: Place, new: NewDevice, opening: dict[str, Any], field: str
) -> None:
    with pytest.raises(FieldError) as error:
        stock(api, replace(new, village_id=place.village_id), replace(OPENING, **opening))
    assert error.value.field == field
