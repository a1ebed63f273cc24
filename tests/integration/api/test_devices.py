"""Devices: their keys, their tariff, their owner."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.books import CarryChange
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.ports import DeviceState, VersionConflict
from tests.integration.api.conftest import (
    PLAN,
    TECHNICAL,
    Api,
    Place,
    Reply,
    books_differ,
    entries,
    meter,
    person,
    put_account,
    registration,
    shs,
)
from tests.integration.company import NOW, FixedClock
from tests.integration.store.ledger_of_requests import LedgerOfRequests


def account_of(api: Api, customer_id: str) -> Account:
    account = api.wiring.accounts.get(customer_id)
    assert account is not None
    return account


def record_of(api: Api, customer_id: str, serial_number: str) -> DeviceAccount:
    record = account_of(api, customer_id).device(serial_number)
    assert record is not None
    return record


@pytest.fixture
def shs1(api: Api, place: Place) -> str:
    """An SHS of C1 with an open plan."""
    api.post("/registrations", registration(person(place), shs()), "office")
    return "SHS1"


@pytest.fixture
def fee_id(api: Api) -> int:
    """A tariff with an access rate of 150 every week."""
    rate = {"amount": "150", "period_days": 7}
    body = {"name": "Fee", "price_per_kwh": "100", "access_rate": rate}
    return int(api.post("/tariffs", body).json["id"])


@pytest.fixture
def meter1(api: Api, place: Place, fee_id: int) -> str:
    """A meter of C1 under a tariff with an access rate, and another customer C2."""
    body = registration(person(place), meter(place, tariff_id=fee_id))
    api.post("/registrations", body, "field")
    api.post("/customers", person(place, name="Juma"), "office")
    return "47001"


@pytest.mark.parametrize("path", ["shs1", "SHS-1", "%20shs%201", "shs%E2%80%931"])
def test_a_device_is_found_however_its_serial_number_is_written(
    api: Api, shs1: str, path: str
) -> None:
    assert api.get(f"/devices/{path}").json["serial_number"] == "SHS1"


# --- technical --------------------------------------------------------------------------------


def enter(api: Api, body: object, serial_number: str = "SHS1") -> Reply:
    return api.put(f"/devices/{serial_number}/technical", body, "office")


def test_another_key_is_entered_and_the_counter_with_it(api: Api, shs1: str) -> None:
    before = api.wiring.devices.get("SHS1")
    answer = enter(api, {**TECHNICAL, "count": 40, "value_divider": 2})
    assert answer.status == 200
    assert "secret_key" not in answer.text
    after = api.wiring.devices.get("SHS1")
    assert before is not None and after is not None
    assert before.technical != after.technical
    assert after.technical["value_divider"] == 2
    assert record_of(api, "C1", "SHS1").counter == 40
    assert entries(api, "C1")[-1].what == "technical_entered"
    assert "secret" not in str(entries(api, "C1"))
    assert books_differ(api, "C1") == []


def test_a_counter_that_is_not_named_goes_on_where_it_was(api: Api, shs1: str) -> None:
    assert enter(api, {**TECHNICAL, "count": 40}).status == 200
    without_count = {name: value for name, value in TECHNICAL.items() if name != "count"}
    assert enter(api, without_count).status == 200
    assert record_of(api, "C1", "SHS1").counter == 40


def test_of_a_device_of_nobody_too(api: Api, shs1: str) -> None:
    end_plan(api)
    assert give(api, None, "SHS1").status == 200
    assert enter(api, {**TECHNICAL, "count": 12}).status == 200
    without_count = {name: value for name, value in TECHNICAL.items() if name != "count"}
    assert enter(api, without_count).status == 200
    assert give(api, "C1", "SHS1").status == 200
    assert record_of(api, "C1", "SHS1").counter == 12


def test_a_device_that_waited_for_its_key_is_active_with_it(api: Api, shs1: str) -> None:
    device = api.wiring.devices.get("SHS1")
    assert device is not None
    api.wiring.registry.update_device(replace(device, state=DeviceState.NEEDS_REVIEW))
    assert api.get("/devices/SHS1").json["state"] == "needs_review"
    assert enter(api, TECHNICAL).json["state"] == "active"


def test_a_device_of_nobody_keeps_its_counter_with_itself(api: Api, shs1: str) -> None:
    end_plan(api)
    assert give(api, None, "SHS1").status == 200
    assert enter(api, {**TECHNICAL, "count": 12}).status == 200
    assert give(api, "C1", "SHS1").status == 200
    assert record_of(api, "C1", "SHS1").counter == 12
    device = api.wiring.devices.get("SHS1")
    assert device is not None and "count" not in device.technical


def test_what_a_meter_s_manufacturer_needs_has_no_counter(api: Api, meter1: str) -> None:
    assert enter(api, {}, "47001").status == 200
    assert record_of(api, "C1", "47001").counter is None
    assert give(api, None).status == 200
    assert enter(api, {}, "47001").status == 200


# --- tariff -----------------------------------------------------------------------------------


def put_under(api: Api, tariff_id: object, serial_number: str = "47001", **fields: object) -> Reply:
    body = {"tariff_id": tariff_id, **fields}
    return api.put(f"/devices/{serial_number}/tariff", body, "office")


def test_a_meter_comes_under_another_tariff_from_now_on(
    api: Api, meter1: str, place: Place, fee_id: int, clock: FixedClock
) -> None:
    clock.move(timedelta(days=10))
    answer = put_under(api, place.tariff_id)
    assert (answer.status, answer.json["tariff_id"]) == (200, place.tariff_id)
    first, second = record_of(api, "C1", "47001").tenures
    assert (first.tariff_id, first.until) == (fee_id, clock.now())
    assert (second.tariff_id, second.since, second.until) == (place.tariff_id, clock.now(), None)
    clock.move(timedelta(days=100))
    assert api.get("/customers/C1/account").json["owed"] == "150.00"
    assert entries(api, "C1")[-1].what == "tariff_changed"
    assert books_differ(api, "C1") == []


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"reason": "the shop has closed"}, "the shop has closed"),
        ({"reason": None}, "another tariff"),
        ({}, "another tariff"),
    ],
)
def test_why_a_meter_came_under_another_tariff_is_kept_and_may_be_left_out(
    api: Api, meter1: str, place: Place, fields: dict[str, object], kept: str
) -> None:
    assert put_under(api, place.tariff_id, **fields).status == 200
    entry = entries(api, "C1")[-1]
    assert (entry.what, entry.reason, entry.actor) == (
        "tariff_changed",
        kept,
        "office@example.com",
    )


@pytest.mark.parametrize("reason", ["", " ", 7, "x" * 501])
def test_a_reason_that_is_none_is_refused_and_changes_nothing(
    api: Api, meter1: str, place: Place, reason: object
) -> None:
    answer = put_under(api, place.tariff_id, reason=reason)
    assert (answer.status, answer.fields) == (422, ["reason"])
    assert account_of(api, "C1").version == 1


def test_the_tariff_it_has_is_no_change(api: Api, meter1: str, fee_id: int) -> None:
    assert put_under(api, fee_id).status == 200
    assert account_of(api, "C1").version == 1


def test_a_meter_of_nobody_comes_under_a_tariff_too(api: Api, meter1: str, place: Place) -> None:
    give(api, None)
    assert put_under(api, place.tariff_id).json["tariff_id"] == place.tariff_id
    give(api, "C2")
    [tenure] = record_of(api, "C2", "47001").tenures
    assert tenure.tariff_id == place.tariff_id


@pytest.mark.parametrize("tariff_id", [9, "1", None, 0])
def test_a_tariff_that_is_not_there_is_refused(api: Api, meter1: str, tariff_id: object) -> None:
    answer = put_under(api, tariff_id)
    assert (answer.status, answer.fields) == (422, ["tariff_id"])


def test_only_meters_have_a_tariff(api: Api, shs1: str, place: Place) -> None:
    answer = put_under(api, place.tariff_id, "SHS1")
    assert (answer.status, answer.fields) == (422, ["tariff_id"])


# --- owner ------------------------------------------------------------------------------------


def give(api: Api, customer_id: str | None, serial_number: str = "47001") -> Reply:
    body = {"customer_id": customer_id, "reason": "moved"}
    return api.put(f"/devices/{serial_number}/owner", body, "office")


def end_plan(api: Api) -> None:
    """Let the open plan of C1 end, as if it were written off."""
    account = account_of(api, "C1")
    put_account(api, replace(account, plans=()))


def test_a_meter_goes_to_another_customer_and_begins_a_new_stretch(
    api: Api, meter1: str, fee_id: int, clock: FixedClock
) -> None:
    clock.move(timedelta(days=3))
    answer = give(api, "C2")
    assert (answer.status, answer.json["customer_id"]) == (200, "C2")
    assert account_of(api, "C1").devices == ()
    clock.move(timedelta(days=7))
    debts = api.get("/customers/C2/account").json["debts"]
    assert [debt["due_on"] for debt in debts] == ["2026-03-20"]
    assert api.get("/customers/C1/account").json["debts"] == []
    assert [(e.what, e.reason) for e in entries(api, "C2")] == [("device_taken", "moved")]
    assert books_differ(api, "C1") == books_differ(api, "C2") == []


def test_unpaid_fees_stay_with_the_old_owner(api: Api, meter1: str, clock: FixedClock) -> None:
    clock.move(timedelta(days=7))
    give(api, "C2")
    clock.move(timedelta(days=30))
    old = api.get("/customers/C1/account").json
    assert (old["owed"], old["devices"]) == ("150.00", [])
    assert books_differ(api, "C1") == []


def test_a_meter_that_comes_back_begins_again_with_the_old_fees_still_owed(
    api: Api, meter1: str, clock: FixedClock
) -> None:
    clock.move(timedelta(days=7))
    give(api, "C2")
    clock.move(timedelta(days=7))
    give(api, "C1")
    clock.move(timedelta(days=7))
    old = api.get("/customers/C1/account").json
    assert [debt["due_on"] for debt in old["debts"]] == ["2026-03-17", "2026-03-31"]
    assert [device["serial_number"] for device in old["devices"]] == ["47001"]


def carried(api: Api, amount_minor: Fraction) -> None:
    """Let the meter of C1 carry that much, as the books have it."""
    account = account_of(api, "C1").next_version()
    [record] = account.devices
    account = account.with_device(replace(record, carry_minor=amount_minor))
    act = Act("test", api.clock.now(), "test")
    carries = [CarryChange("47001", amount_minor)]
    api.wiring.accounts.change(account, entry_of(act, account, "test", carries=carries))


def test_the_carry_becomes_the_old_owner_s_credit(api: Api, meter1: str) -> None:
    carried(api, Fraction(500))
    give(api, "C2")
    assert account_of(api, "C1").credit_minor == 500
    assert record_of(api, "C2", "47001").carry_minor == 0
    [_, _, released] = entries(api, "C1")
    assert released.changes["lines"] == [{"kind": "credit", "ref": "C1", "amount_minor": 500}]
    assert released.changes["carries"] == [{"serial_number": "47001", "amount_minor": "-500"}]
    assert released.changes["dropped"] == ["47001"]
    assert books_differ(api, "C1") == []


def test_of_a_carry_not_even_a_part_of_a_minor_unit_is_lost(api: Api, meter1: str) -> None:
    carried(api, Fraction(1001, 2))
    give(api, "C2")
    assert account_of(api, "C1").credit_minor == 500
    left = record_of(api, "C1", "47001")
    assert (left.owned, left.carry_minor) == (False, Fraction(1, 2))
    assert "dropped" not in entries(api, "C1")[-1].changes
    assert books_differ(api, "C1") == []


def test_a_carry_of_a_meter_that_owes_fees_leaves_less_than_a_minor_unit_behind(
    api: Api, meter1: str, clock: FixedClock
) -> None:
    carried(api, Fraction(1001, 2))
    clock.move(timedelta(days=7))
    give(api, None)
    left = record_of(api, "C1", "47001")
    assert (left.owned, left.carry_minor) == (False, Fraction(1, 2))
    assert account_of(api, "C1").credit_minor == 500


def test_a_device_of_nobody_is_unassigned(api: Api, meter1: str) -> None:
    answer = give(api, None)
    assert (answer.status, answer.json["state"]) == (200, "unassigned")
    assert answer.json["customer_id"] is None
    assert give(api, None).json == answer.json
    assert give(api, "C2").json["state"] == "active"


def test_the_counter_goes_with_the_device(api: Api, shs1: str, place: Place) -> None:
    end_plan(api)
    account = account_of(api, "C1")
    [record] = account.devices
    put_account(api, account.with_device(replace(record, counter=17)))
    api.post("/customers", person(place, name="Juma"), "office")
    assert give(api, "C2", "SHS1").status == 200
    assert record_of(api, "C2", "SHS1").counter == 17


def test_the_owner_it_has_is_no_change(api: Api, meter1: str) -> None:
    assert give(api, "C1").status == 200
    assert account_of(api, "C1").version == 1


def test_a_device_with_an_open_plan_stays_with_its_owner(api: Api, shs1: str, place: Place) -> None:
    answer = give(api, None, "SHS1")
    assert (answer.status, answer.code) == (409, "device_has_open_plan")


def test_a_new_owner_must_be_a_customer(api: Api, meter1: str) -> None:
    answer = give(api, "C9")
    assert (answer.status, answer.fields) == (422, ["customer_id"])
    assert api.get("/devices/47001").json["customer_id"] == "C1"


def test_a_new_owner_with_too_many_devices_leaves_it_where_it_is(api: Api, meter1: str) -> None:
    full = tuple(DeviceAccount(f"X{n}", Kind.METER) for n in range(100))
    put_account(api, Account("C2", 1, devices=full))
    answer = give(api, "C2")
    assert (answer.status, answer.code) == (422, "account_full")
    assert api.get("/devices/47001").json["customer_id"] == "C1"


@pytest.mark.parametrize("body", [{"customer_id": "C2"}, {"reason": "x"}, {"customer_id": None}])
def test_a_change_of_owner_says_to_whom_and_why(
    api: Api, meter1: str, body: dict[str, Any]
) -> None:
    assert api.put("/devices/47001/owner", body, "office").status == 422


def everything(api: Api) -> list[object]:
    """What a change of hands writes."""
    accounts = [api.wiring.accounts.get(customer_id) for customer_id in ("C1", "C2")]
    return [*accounts, api.wiring.devices.get("47001"), entries(api, "C1"), entries(api, "C2")]


def test_both_accounts_and_the_device_change_in_one_step(
    api: Api, meter1: str, ledger: LedgerOfRequests
) -> None:
    before = len(ledger.operations)
    assert give(api, "C2").json["customer_id"] == "C2"
    writes = [o for o in ledger.operations[before:] if o not in ("GetItem", "BatchGetItem")]
    assert writes == ["TransactWriteItems"]
    assert (account_of(api, "C1").version, account_of(api, "C2").version) == (2, 1)
    assert books_differ(api, "C1") == books_differ(api, "C2") == []


@pytest.mark.parametrize("ahead", ["C1", "C2", "the device"])
def test_a_change_of_hands_that_loses_a_race_leaves_everything_and_is_made_anew(
    api: Api, meter1: str, ahead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_both = api.wiring.accounts.change_both

    def faster() -> None:
        if ahead == "the device":
            device = api.wiring.devices.get("47001")
            assert device is not None
            api.wiring.registry.update_device(device)
            return
        account = (api.wiring.accounts.get(ahead) or Account(ahead)).next_version()
        act = Act("somebody", api.clock.now(), "test")
        api.wiring.accounts.change(account, entry_of(act, account, "test"))

    def overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(api.wiring.accounts, "change_both", change_both)
        faster()
        before = everything(api)
        with pytest.raises(VersionConflict):
            change_both(*arguments)
        assert everything(api) == before
        raise VersionConflict

    monkeypatch.setattr(api.wiring.accounts, "change_both", overtaken)
    assert give(api, "C2").json["customer_id"] == "C2"
    assert [entry.what for entry in entries(api, "C1")].count("device_released") == 1
    assert [entry.what for entry in entries(api, "C2")].count("device_taken") == 1
    assert books_differ(api, "C1") == books_differ(api, "C2") == []


@pytest.mark.parametrize("by_way_of_nobody", [False, True])
def test_the_time_that_a_device_still_runs_goes_with_it(
    api: Api, shs1: str, place: Place, by_way_of_nobody: bool
) -> None:
    end_plan(api)
    account = account_of(api, "C1")
    [record] = account.devices
    until = NOW + timedelta(days=5, microseconds=1)
    running = replace(record, counter=17, paid_until=until, unlocked=True)
    put_account(api, account.with_device(running))
    api.post("/customers", person(place, name="Juma"), "office")
    if by_way_of_nobody:
        shown = give(api, None, "SHS1").json
        assert (shown["state"], shown["paid_until"]) == ("unassigned", "2026-03-15T09:00:00.000Z")
        assert enter(api, TECHNICAL).json["paid_until"] == "2026-03-15T09:00:00.000Z"
    shown = give(api, "C2", "SHS1").json
    assert (shown["state"], shown["paid_until"]) == ("unlocked", "2026-03-15T09:00:00.000Z")
    taken = record_of(api, "C2", "SHS1")
    assert (taken.counter, taken.paid_until, taken.unlocked) == (17, until, True)
    device = api.wiring.devices.get("SHS1")
    assert device is not None
    assert not {"count", "paid_until", "unlocked"} & set(device.technical)


def test_a_device_that_does_not_run_takes_no_time_along(api: Api, shs1: str, place: Place) -> None:
    end_plan(api)
    assert give(api, None, "SHS1").json["paid_until"] is None
    assert give(api, "C1", "SHS1").json["state"] == "active"
    taken = record_of(api, "C1", "SHS1")
    assert (taken.paid_until, taken.unlocked) == (None, False)


def test_a_device_that_is_changing_hands_elsewhere_asks_to_come_back(
    api: Api, meter1: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_account(api, Account("C1", 1))
    monkeypatch.setattr(api.wiring.keep_devices, "_pause", lambda seconds: None)
    assert put_under(api, place.tariff_id).code == "version_conflict"
    assert api.get("/devices/47001").json["paid_until"] is None


def test_a_device_that_is_unlocked_is_so_for_its_next_owner_too(
    api: Api, place: Place, shs1: str
) -> None:
    sold = shs(serial_number="SHS2", plan={**PLAN, "already_paid": "7000"})
    api.post("/registrations", registration({"customer_id": "C1"}, sold), "office")
    assert api.get("/devices/SHS2").json["state"] == "unlocked"
    api.post("/customers", person(place, name="Juma"), "office")
    assert give(api, None, "SHS2").json["state"] == "unassigned"
    shown = give(api, "C2", "SHS2").json
    assert (shown["state"], shown["plan"]) == ("unlocked", None)
