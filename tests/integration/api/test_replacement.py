"""A device that broke gives its place to another one, and what is left goes along."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.services.ports import ConditionFailed, VersionConflict
from tests.integration.api.conftest import (
    Api,
    Place,
    Reply,
    books_differ,
    entries,
    meter,
    person,
    registration,
    shs,
)
from tests.integration.company import TECHNICAL, claim, kes
from tests.integration.conftest import Cloud

KEYS = dict(TECHNICAL["openpaygo"])
WHY = {"reason": "it was struck by lightning"}


@pytest.fixture
def home(api: Api, place: Place) -> Place:
    """Asha has a meter and an SHS with three days on it."""
    asha = person(place)
    assert api.post("/registrations", registration(asha, meter(place)), "field").status == 201
    assert api.post("/registrations", registration(asha, shs()), "office").status == 201
    body = {"units": "3", "reason": "a present"}
    path, headers = "/devices/SHS1/free-credit", {"Idempotency-Key": "k1"}
    assert api.send("POST", path, body, role="operations", headers=headers).status == 202
    return place


def replaced(api: Api, serial_number: str, by: str, **more: Any) -> Reply:
    """Put that one in its place."""
    body = {"serial_number": by, **WHY, **more}
    return api.post(f"/devices/{serial_number}/replacement", body, "operations")


def pay(api: Api, serial_number: str, amount: int, transaction: str = "T1") -> None:
    """A payment that is settled."""
    told = claim(serial_number, amount, transaction)
    payment = api.wiring.accept.accept(told, money_moved=True).payment
    api.wiring.settle.settle(payment.payment_id, payment.customer_id, serial_number)


def books_are_right(api: Api, customer_id: str = "C1") -> bool:
    """As the nightly proof finds them."""
    return api.wiring.reconcile.check_customer(customer_id).differences == ()


def test_what_is_left_of_the_time_is_a_token_of_the_new_system(api: Api, home: Place) -> None:
    api.clock.move(timedelta(hours=30))
    reply = replaced(api, "SHS1", "SHS2", technical=KEYS)
    assert reply.status == 201, reply.text
    device, payment = reply.json["device"], reply.json["payment"]
    assert (device["serial_number"], device["customer_id"]) == ("SHS2", "C1")
    [token] = payment["tokens"]
    assert (token["serial_number"], token["kind"], token["units"]) == ("SHS2", "time", "2")
    until = datetime.fromisoformat(device["paid_until"])
    assert until == api.clock.now() + timedelta(days=3) - timedelta(hours=30)
    assert (payment["amount"], payment["status"]) == ("0.00", "completed")
    old = api.get("/devices/SHS1").json
    assert (old["customer_id"], old["state"], old["paid_until"]) == (None, "unassigned", None)
    last = entries(api, "C1")[-1]
    assert (last.what, last.reason) == ("device_replaced", WHY["reason"])
    assert books_differ(api, "C1") == []


def test_the_plan_goes_on_with_the_new_device(api: Api, home: Place) -> None:
    pay(api, "SHS1", 700)
    replaced(api, "SHS1", "SHS2", technical=KEYS)
    [plan] = api.get("/customers/C1/account").json["plans"]
    assert (plan["serial_number"], plan["paid"]) == ("SHS2", "700.00")
    pay(api, "SHS2", 700, "T2")
    [plan] = api.get("/customers/C1/account").json["plans"]
    assert plan["paid"] == "1400.00"
    account = api.wiring.accounts.get("C1")
    assert account is not None
    record = account.device("SHS2")
    assert record is not None and record.counter == 4, "its own counter: two tokens"
    assert account.device("SHS1") is None
    assert books_are_right(api)


def test_a_payment_to_the_old_number_is_not_taken_for_the_new_one(api: Api, home: Place) -> None:
    replaced(api, "SHS1", "SHS2", technical=KEYS)
    told = api.wiring.accept.accept(claim("SHS1", 700), money_moved=True)
    assert told.payment.customer_id is None


def test_kwh_that_were_read_off_the_old_meter_are_asked_of_the_manufacturer(
    api: Api, cloud: Cloud, home: Place
) -> None:
    cloud.take("vends")
    reply = replaced(api, "47001", "47002", units="4.2")
    [vend] = reply.json["payment"]["vends"]
    assert (vend["serial_number"], vend["kind"], vend["units"]) == ("47002", "energy", "4.2")
    [message] = cloud.take("vends")
    assert message["body"]["payment_id"] == reply.json["payment"]["payment_id"]
    assert reply.json["device"]["tariff_id"] == home.tariff_id
    assert books_are_right(api)


def test_fees_and_the_carry_of_a_meter_go_along(api: Api, home: Place) -> None:
    pay(api, "47001", 5)
    before = api.wiring.accounts.get("C1")
    assert before is not None
    record = before.device("47001")
    assert record is not None and record.carry_minor == kes(5), "too little for a tenth of a kWh"
    assert replaced(api, "47001", "47002").json["payment"] is None
    after = api.wiring.accounts.get("C1")
    assert after is not None
    moved = after.device("47002")
    assert moved is not None
    assert (moved.carry_minor, moved.tenures) == (record.carry_minor, record.tenures)
    pay(api, "47002", 95, "T2")
    assert books_are_right(api)


def test_a_device_with_an_open_payment_is_not_replaced(api: Api, home: Place) -> None:
    pay(api, "47001", 500)
    reply = replaced(api, "47001", "47002")
    assert (reply.status, reply.code) == (409, "device_payments_open")
    assert api.get("/devices/47002").status == 404
    assert replaced(api, "SHS1", "SHS2", technical=KEYS).status == 201, "that one has none open"


def test_a_device_in_stock_takes_the_place(api: Api, home: Place) -> None:
    other = person(home, name="Juma", phone="0712 345 679")
    spare = shs(serial_number="SHS9", technical={**KEYS, "count": 7})
    assert api.post("/registrations", registration(other, spare), "office").status == 201
    [plan] = api.get("/customers/C2/account").json["plans"]
    path = f"/customers/C2/plans/{plan['plan_id']}/cancel"
    assert api.post(path, {**WHY, "credit": "0"}).status == 200
    gone = {"customer_id": None, **WHY}
    assert api.put("/devices/SHS9/owner", gone, "office").status == 200
    reply = replaced(api, "SHS1", "SHS9")
    assert reply.status == 201
    account = api.wiring.accounts.get("C1")
    assert account is not None
    record = account.device("SHS9")
    assert record is not None and record.counter == 8, "its counter goes on where it was"
    assert books_are_right(api) and books_are_right(api, "C2")


def test_the_key_of_a_device_in_stock_may_be_entered_at_once(api: Api, home: Place) -> None:
    replaced(api, "SHS1", "SHS2", technical=KEYS)
    reply = replaced(api, "SHS2", "SHS1", technical={**KEYS, "count": 21})
    assert reply.status == 201
    account = api.wiring.accounts.get("C1")
    assert account is not None
    record = account.device("SHS1")
    assert record is not None and record.counter == 22
    assert books_are_right(api)


def test_a_system_that_runs_for_good_is_replaced_by_one_that_does(api: Api, home: Place) -> None:
    pay(api, "SHS1", 7000)
    reply = replaced(api, "SHS1", "SHS2", technical=KEYS)
    assert reply.json["payment"]["tokens"][0]["kind"] == "unlock"
    assert reply.json["device"]["state"] == "unlocked"
    assert books_are_right(api)


def test_where_no_time_is_left_nothing_is_vended(api: Api, home: Place) -> None:
    api.clock.move(timedelta(days=4))
    assert replaced(api, "SHS1", "SHS2", technical=KEYS).json["payment"] is None
    assert books_are_right(api)


def test_another_manufacturer_may_make_the_new_one(api: Api, home: Place) -> None:
    reply = replaced(api, "SHS1", "AN1", manufacturer="angaza")
    assert reply.json["device"]["manufacturer"] == "angaza"
    [vend] = reply.json["payment"]["vends"]
    assert (vend["manufacturer"], vend["units"], vend["state"]) == ("angaza", "3", "intended")
    account = api.wiring.accounts.get("C1")
    assert account is not None
    record = account.device("AN1")
    assert record is not None and record.counter is None


def test_the_old_bike_is_looked_at_and_the_new_one_too(api: Api, home: Place) -> None:
    bike = shs(serial_number="BIKE1", manufacturer="daly_bms", technical={})
    assert api.post("/registrations", registration(person(home), bike), "office").status == 201
    assert replaced(api, "BIKE1", "BIKE2").status == 201
    for serial_number in ("BIKE1", "BIKE2"):
        device = api.wiring.devices.get(serial_number)
        assert device is not None and device.switch_off_at == api.clock.now()


@pytest.mark.parametrize(
    ("by", "more", "field"),
    [
        ("", {}, "serial_number"),
        ("?!", {}, "serial_number"),
        ("47001", {}, "serial_number"),
        ("SHS1", {}, "serial_number"),
        ("SHS2", {}, "technical.secret_key"),
        ("SHS2", {"technical": {**KEYS, "secret_key": "x"}}, "technical.secret_key"),
        ("SHS2", {"technical": KEYS, "manufacturer": "nobody"}, "manufacturer"),
        ("SHS2", {"technical": KEYS, "manufacturer": "calin"}, "manufacturer"),
        ("SHS2", {"technical": KEYS, "units": "3"}, "units"),
        ("SHS2", {"technical": KEYS, "units": "x"}, "units"),
    ],
)
def test_what_cannot_take_the_place_is_refused(
    api: Api, home: Place, by: str, more: dict[str, Any], field: str
) -> None:
    before = entries(api, "C1")
    reply = replaced(api, "SHS1", by, **more)
    assert (reply.status, reply.fields) == (422, [field])
    assert entries(api, "C1") == before


@pytest.mark.parametrize("units", ["0", "-1", "0.05"])
def test_kwh_that_no_token_can_bring_are_refused(api: Api, home: Place, units: str) -> None:
    reply = replaced(api, "47001", "47002", units=units)
    assert (reply.status, reply.fields) == (422, ["units"])


def test_a_device_in_stock_keeps_its_manufacturer(api: Api, home: Place) -> None:
    replaced(api, "SHS1", "SHS2", technical=KEYS)
    reply = replaced(api, "SHS2", "SHS1", manufacturer="angaza")
    assert reply.fields == ["manufacturer"]


def test_a_number_whose_fees_were_left_behind_does_not_come_back_by_replacement(
    api: Api, home: Place
) -> None:
    fee = {"amount": "100.00", "period_days": 7}
    tariff = {"name": "Fees", "price_per_kwh": "100.00", "access_rate": fee}
    made = api.post("/tariffs", tariff, "admin")
    assert made.status == 201, made.text
    other = meter(home, serial_number="47009", tariff_id=made.json["id"])
    assert api.post("/registrations", registration(person(home), other), "field").status == 201
    api.clock.move(timedelta(days=30))
    gone = {"customer_id": None, **WHY}
    assert api.put("/devices/47009/owner", gone, "office").status == 200
    reply = replaced(api, "47001", "47009")
    assert reply.fields == ["serial_number"] and "fees" in reply.text


def test_a_device_that_is_not_there_or_nobody_s_is_not_replaced(api: Api, home: Place) -> None:
    assert replaced(api, "NONE", "47002").status == 404
    api.put("/devices/47001/owner", {"customer_id": None, **WHY}, "office")
    assert replaced(api, "47001", "47002").code == "device_unassigned"


@pytest.mark.parametrize("lost", [VersionConflict("C1"), ConditionFailed("device")])
def test_who_loses_a_race_replaces_once_all_the_same(
    api: Api, home: Place, monkeypatch: pytest.MonkeyPatch, lost: Exception
) -> None:
    accounts = api.wiring.accounts
    change, failures = accounts.change, [lost]

    def overtaken(*given: Any, **more: Any) -> None:
        if failures:
            raise failures.pop()
        change(*given, **more)

    monkeypatch.setattr(accounts, "change", overtaken)
    assert replaced(api, "SHS1", "SHS2", technical=KEYS).status == 201
    assert books_are_right(api)
    assert [e.what for e in entries(api, "C1")].count("device_replaced") == 1


def test_who_never_wins_is_told_to_come_back(
    api: Api, home: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_: Any, **__: Any) -> None:
        raise VersionConflict("C1")

    monkeypatch.setattr(api.wiring.accounts, "change", overtaken)
    assert replaced(api, "47001", "47002").code == "version_conflict"
    monkeypatch.setattr(api.wiring.accounts, "get", lambda _: None)
    assert replaced(api, "47001", "47002").code == "version_conflict"


def test_a_replacement_is_made_by_staff_who_may(api: Api, home: Place) -> None:
    body = {"serial_number": "47002", **WHY}
    assert api.post("/devices/47001/replacement", body, "field").status == 403
    assert api.post("/devices/47001/replacement", body, "office").status == 201
