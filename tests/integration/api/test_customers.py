"""Customers: made, found, changed; and what they owe and have."""

from __future__ import annotations

import threading

import pytest

from chalicelib.services.ports import ConditionFailed
from tests.integration.api.conftest import (
    PLAN,
    Api,
    Place,
    Reply,
    another_client,
    meter,
    person,
    registration,
    shs,
)


def test_the_office_makes_a_customer_without_a_device(api: Api, place: Place) -> None:
    made = api.post("/customers", person(place), "office")
    assert made.status == 201
    assert api.get("/customers/C1").json == made.json


def test_making_the_same_customer_again_answers_the_one_there_is(api: Api, place: Place) -> None:
    first = api.post("/customers", person(place), "office")
    again = api.post("/customers", person(place, name="ASHA"), "office")
    assert (again.status, again.json) == (200, first.json)


def test_parallel_posts_of_one_customer_make_one(api: Api, place: Place) -> None:
    others = [another_client(api) for _ in range(3)]
    api.token("office")
    answers: list[Reply] = []

    def post(other: Api) -> None:
        answers.append(other.post("/customers", person(place), "office"))

    threads = [threading.Thread(target=post, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200, 200, 201]
    assert len({answer.text for answer in answers}) == 1


def test_a_customer_who_cannot_be_written_says_try_again(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise ConditionFailed("guard")

    monkeypatch.setattr(api.wiring.registry, "create_customer", lost)
    answer = api.post("/customers", person(place), "office")
    assert (answer.status, answer.code) == (503, "try_again")


def made(api: Api, place: Place, **changes: object) -> str:
    """The id of a customer."""
    customer_id: str = api.post("/customers", person(place, **changes), "office").json["id"]
    return customer_id


# --- finding ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "phone=%2B254712345678",
        "phone=254712345678",
        "phone=+254712345678",
        "phone=0712345678",
        "phone=00254%20712%20345%20678",
        "name=asha",
        "name=As",
        "name=ASHA%20%20mush",
        "number=1",
    ],
)
def test_a_customer_is_found_by_phone_name_and_number(api: Api, place: Place, query: str) -> None:
    made(api, place)
    made(api, place, name="Juma", phone="+254700000001")
    assert [c["id"] for c in api.get(f"/customers?{query}").json["items"]] == ["C1"]


def test_all_customers_are_listed_in_parts(api: Api, place: Place) -> None:
    for number in range(3):
        made(api, place, name=f"Asha{'abc'[number]}")
    first = api.get("/customers?limit=2").json
    rest = api.get(f"/customers?limit=2&cursor={first['next']}").json
    assert [c["id"] for c in [*first["items"], *rest["items"]]] == ["C1", "C2", "C3"]


# --- changing ---------------------------------------------------------------------------------


def test_a_customer_is_changed(api: Api, place: Place) -> None:
    made(api, place)
    village = api.post("/villages", {"name": "Homa", "mini_grid_id": 1}).json["id"]
    after = person(place, surname="Juma", phone="0799 000 000", village_id=village)
    changed = api.put("/customers/C1", after, "office")
    assert (changed.status, changed.json["surname"]) == (200, "Juma")
    assert changed.json["phone"] == "+254799000000"
    assert api.get("/customers?phone=0712345678").json["items"] == []
    assert api.get("/customers?phone=0799000000").json["items"] == [changed.json]
    assert api.send("DELETE", f"/villages/{place.village_id}").status == 204


def test_a_customer_cannot_become_another_one(api: Api, place: Place) -> None:
    made(api, place)
    made(api, place, name="Juma")
    answer = api.put("/customers/C2", person(place), "office")
    assert (answer.status, answer.code) == (409, "name_taken")


def test_who_changes_to_a_phone_in_use_is_looked_at(api: Api, place: Place) -> None:
    made(api, place)
    made(api, place, name="Juma", phone="+254700000001")
    answer = api.put("/customers/C2", person(place, name="Juma"), "office")
    assert answer.json["needs_review"] == ["possible_duplicate"]
    again = api.put("/customers/C2", person(place, name="Jumah"), "office")
    assert again.json["needs_review"] == ["possible_duplicate"]


# --- accounts ---------------------------------------------------------------------------------


def test_an_account_without_anything_is_empty(api: Api, place: Place) -> None:
    made(api, place)
    assert api.get("/customers/C1/account").json == {
        "customer_id": "C1",
        "at": "2026-03-10",
        "currency": "KES",
        "version": 0,
        "owed": "0.00",
        "credit": "0.00",
        "debts": [],
        "plans": [],
        "devices": [],
    }


@pytest.fixture
def asha(api: Api, place: Place) -> str:
    """A customer with a meter that has an access rate, an SHS and a TV; the TV is overdue."""
    fee = {
        "name": "Fee",
        "price_per_kwh": "100",
        "access_rate": {"amount": "150", "period_days": 7},
    }
    tariff_id = api.post("/tariffs", fee).json["id"]
    api.post(
        "/registrations", registration(person(place), meter(place, tariff_id=tariff_id)), "field"
    )
    api.post("/registrations", registration({"customer_id": "C1"}, shs()), "office")
    tv = {
        "appliance_id": place.tv_id,
        "total": "3000",
        "instalments": 10,
        "every": "month",
        "first_due": "2026-03-01",
    }
    sold = api.send(
        "POST", "/customers/C1/plans", tv, role="office", headers={"Idempotency-Key": "k1"}
    )
    return str(sold.json["plan_id"])


def test_an_account_shows_debts_in_the_order_of_clearing(api: Api, asha: str) -> None:
    account = api.get("/customers/C1/account?at=2026-03-18").json
    assert account["at"] == "2026-03-18"
    assert account["debts"] == [
        {
            "kind": "appliance",
            "ref": asha,
            "name": "TV",
            "serial_number": None,
            "due_on": "2026-03-01",
            "amount": "300.00",
        },
        {
            "kind": "access_rate",
            "ref": "47001",
            "name": "Fee",
            "serial_number": "47001",
            "due_on": "2026-03-17",
            "amount": "150.00",
        },
        {
            "kind": "device",
            "ref": "SHS1",
            "name": "OpenPAYGO",
            "serial_number": "SHS1",
            "due_on": "2026-03-17",
            "amount": "700.00",
        },
    ]
    assert account["owed"] == "1150.00"
    assert [(p["name"], p["overdue"]) for p in account["plans"]] == [
        ("OpenPAYGO", "700.00"),
        ("TV", "300.00"),
    ]


def test_an_account_shows_what_each_device_has_and_owes_next(api: Api, asha: str) -> None:
    account = api.get("/customers/C1/account").json
    shs_plan = account["plans"][0]["plan_id"]
    assert account["devices"] == [
        {
            "serial_number": "47001",
            "kind": "meter",
            "tariff_id": 2,
            "carry": {"amount": "0.00"},
            "access_rate": {"next_due_on": "2026-03-17", "amount": "150.00"},
        },
        {"serial_number": "SHS1", "kind": "shs", "plan_id": shs_plan, "carry": {"days": "0"}},
    ]
    later = api.get("/customers/C1/account?at=2026-03-17").json
    assert later["devices"][0]["access_rate"]["next_due_on"] == "2026-03-24"


def test_looking_at_an_account_changes_nothing(api: Api, asha: str) -> None:
    before = api.wiring.accounts.get("C1")
    api.get("/customers/C1/account?at=2030-01-01")
    assert api.wiring.accounts.get("C1") == before


def test_a_plan_shape_has_all_that_was_promised(api: Api, asha: str) -> None:
    plan = api.get("/customers/C1/account").json["plans"][1]
    assert set(plan) == {
        "plan_id",
        "kind",
        "name",
        "serial_number",
        "total",
        "down_payment",
        "already_paid",
        "instalments",
        "every",
        "first_due",
        "paid",
        "open",
        "overdue",
        "state",
        "schedule",
    }
    assert PLAN["every"] == "week" and plan["every"] == "month"
