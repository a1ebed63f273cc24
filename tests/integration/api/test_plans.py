"""Selling on plans: appliances to customers, devices to their owners."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.domain.account import Account
from chalicelib.domain.plan import Plan
from chalicelib.services.ports import VersionConflict
from chalicelib.store.models import EndedPlanRow
from tests.integration.api.conftest import (
    PLAN,
    TECHNICAL,
    Api,
    Place,
    Reply,
    another_client,
    books_differ,
    entries,
    meter,
    person,
    put_account,
    registration,
    shs,
)

TV = {"total": "3000", "instalments": 10, "every": "month", "first_due": "2026-04-10"}


@pytest.fixture
def asha(api: Api, place: Place) -> str:
    """A customer without devices."""
    return str(api.post("/customers", person(place), "office").json["id"])


def sell(
    api: Api, body: dict[str, Any], key: str = "k1", customer_id: str = "C1", role: str = "office"
) -> Reply:
    path = f"/customers/{customer_id}/plans"
    return api.send("POST", path, body, role=role, headers={"Idempotency-Key": key})


def test_an_appliance_is_sold_on_a_plan(api: Api, place: Place, asha: str) -> None:
    sold = sell(api, {**TV, "appliance_id": place.tv_id, "down_payment": "300"})
    assert sold.status == 201
    plan = sold.json
    assert (plan["kind"], plan["name"], plan["serial_number"]) == ("appliance", "TV", None)
    assert (plan["total"], plan["open"], plan["overdue"]) == ("3000.00", "3000.00", "300.00")
    assert plan["schedule"][0] == {
        "number": 0,
        "due_on": "2026-03-10",
        "amount": "300.00",
        "paid": "0.00",
    }
    assert api.get("/customers/C1/account").json["plans"] == [plan]
    assert books_differ(api, "C1") == []


def test_what_has_no_number_is_sold_by_its_name(api: Api, asha: str) -> None:
    assert sell(api, {**TV, "name": "  Sewing   machine "}).json["name"] == "Sewing machine"


def test_the_same_sale_again_answers_the_same_plan(api: Api, place: Place, asha: str) -> None:
    body = {**TV, "appliance_id": place.tv_id}
    first, again = sell(api, body), sell(api, body)
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    assert again.headers["idempotency-hit"] == "true"
    assert len(api.get("/customers/C1/account").json["plans"]) == 1


def test_another_sale_under_the_same_key_is_a_conflict(api: Api, place: Place, asha: str) -> None:
    sell(api, {**TV, "appliance_id": place.tv_id})
    answer = sell(api, {**TV, "appliance_id": place.tv_id, "total": "4000"})
    assert (answer.status, answer.code) == (409, "reference_conflict")


def test_another_key_is_another_sale(api: Api, place: Place, asha: str) -> None:
    first, second = sell(api, {**TV, "name": "TV"}, "k1"), sell(api, {**TV, "name": "TV"}, "k2")
    assert first.json["plan_id"] != second.json["plan_id"]
    assert len(api.get("/customers/C1/account").json["plans"]) == 2


def test_two_customers_may_use_one_key(api: Api, place: Place, asha: str) -> None:
    api.post("/customers", person(place, name="Juma"), "office")
    assert sell(api, {**TV, "name": "TV"}).status == 201
    assert sell(api, {**TV, "name": "TV"}, customer_id="C2").status == 201


def test_a_plan_that_was_paid_before_ends_at_once_and_is_found_by_its_key(
    api: Api, asha: str
) -> None:
    body = {**TV, "name": "TV", "already_paid": "3000"}
    sold = sell(api, body)
    assert (sold.status, sold.json["state"], sold.json["open"]) == (201, "paid", "0.00")
    account = api.get("/customers/C1/account").json
    assert (account["plans"], account["version"]) == ([], 1)
    assert sell(api, body).json == sold.json
    assert books_differ(api, "C1") == []


def test_zero_may_stand_for_nothing_paid(api: Api, asha: str) -> None:
    body = {**TV, "name": "TV", "already_paid": "0.00", "down_payment": "0"}
    assert sell(api, body).json["paid"] == "0.00"


def test_an_account_takes_fifty_open_plans(api: Api, asha: str) -> None:
    first = sell(api, {**TV, "name": "TV"}).json["plan_id"]
    account = api.wiring.accounts.get("C1")
    assert account is not None
    [plan] = account.plans
    assert plan.plan_id == first
    full = tuple(replace(plan, plan_id=f"p-{n}") for n in range(50))
    put_account(api, replace(account, plans=full))
    answer = sell(api, {**TV, "name": "TV"}, "k2")
    assert (answer.status, answer.code) == (422, "account_full")


def test_a_sale_that_loses_a_race_is_made_anew(
    api: Api, asha: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, lost = api.wiring.accounts.change, [1]

    def flaky(*args: Any, **more: Any) -> None:
        if lost:
            lost.pop()
            raise VersionConflict
        change(*args, **more)

    monkeypatch.setattr(api.wiring.accounts, "change", flaky)
    assert sell(api, {**TV, "name": "TV"}).status == 201
    assert len(entries(api, "C1")) == 1


def test_a_sale_that_loses_every_race_is_not_made(
    api: Api, asha: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise VersionConflict

    monkeypatch.setattr(api.wiring.accounts, "change", lost)
    monkeypatch.setattr(api.wiring.sell_plans, "_pause", lambda seconds: None)
    answer = sell(api, {**TV, "name": "TV"})
    assert (answer.status, answer.code) == (409, "version_conflict")


def test_a_sale_whose_plan_is_just_ending_asks_to_come_back(
    api: Api, asha: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(api, {**TV, "name": "TV"})
    monkeypatch.setattr(api.wiring.accounts, "get", lambda customer_id: None)
    assert sell(api, {**TV, "name": "TV"}).code == "version_conflict"


# --- devices ----------------------------------------------------------------------------------


def sell_device(api: Api, body: dict[str, Any], serial_number: str = "SHS1") -> Reply:
    return api.post(f"/devices/{serial_number}/plan", body, "office")


def end_plan(api: Api) -> Plan:
    """Let the open plan of C1 end, as a last payment would."""
    account = api.wiring.accounts.get("C1")
    assert account is not None
    [plan] = account.plans
    [record] = account.devices
    paid = replace(plan, paid_minor=plan.total_minor)
    EndedPlanRow.of(paid).save()
    unlocked = account.with_device(replace(record, unlocked=True))
    put_account(api, unlocked.without_plan(plan.plan_id))
    return paid


@pytest.fixture
def device(api: Api, place: Place) -> str:
    """An SHS of C1 whose plan has ended."""
    body = registration(person(place), shs(appliance_id=place.shs_id))
    api.post("/registrations", body, "office")
    end_plan(api)
    return "SHS1"


def test_a_device_whose_plan_has_ended_is_sold_again(api: Api, device: str) -> None:
    assert api.get("/devices/SHS1").json["state"] == "unlocked"
    sold = sell_device(api, {**PLAN, "total": "1000"})
    assert sold.status == 201
    assert (sold.json["kind"], sold.json["serial_number"]) == ("device", "SHS1")
    assert sold.json["name"] == "Home 60"
    shown = api.get("/devices/shs-1").json
    assert (shown["state"], shown["plan"]) == ("active", sold.json)


def test_a_device_without_an_appliance_is_sold_under_its_maker_s_name(
    api: Api, place: Place
) -> None:
    api.post("/registrations", registration(person(place), shs()), "office")
    end_plan(api)
    assert sell_device(api, PLAN).json["name"] == "OpenPAYGO"


def test_a_device_with_an_open_plan_is_not_sold(api: Api, place: Place) -> None:
    api.post("/registrations", registration(person(place), shs()), "office")
    answer = sell_device(api, PLAN)
    assert (answer.status, answer.code) == (409, "device_has_open_plan")


def test_a_device_that_was_paid_before_is_unlocked_with_its_sale(api: Api, device: str) -> None:
    before = api.wiring.accounts.get("C1")
    sold = sell_device(api, {**PLAN, "already_paid": "7000"})
    assert (sold.status, sold.json["state"]) == (201, "paid")
    after = api.wiring.accounts.get("C1")
    assert before is not None and after is not None
    counters = [account.devices[0].counter for account in (before, after)]
    assert counters[0] is not None and counters[1] is not None and counters[0] < counters[1]
    assert entries(api, "C1")[-1].changes["vend"] == "entry-C1.2"
    assert after.devices[0].unlocked


def test_a_meter_is_not_sold_on_a_plan(api: Api, place: Place) -> None:
    api.post("/registrations", registration(person(place), meter(place)), "field")
    answer = sell_device(api, PLAN, "47001")
    assert (answer.status, answer.fields) == (422, ["serial_number"])


def test_a_device_of_nobody_is_not_sold(api: Api, device: str) -> None:
    api.put("/devices/SHS1/owner", {"customer_id": None, "reason": "returned"}, "office")
    answer = sell_device(api, PLAN)
    assert (answer.status, answer.code) == (422, "device_unassigned")


def test_terms_that_contradict_each_other_are_refused(api: Api, device: str) -> None:
    answer = sell_device(api, {**PLAN, "down_payment": "7000"})
    assert (answer.status, answer.fields) == (422, ["down_payment"])


@pytest.mark.parametrize("account", [None, Account("C1", 9)])
def test_a_device_that_is_changing_hands_is_not_sold(
    api: Api, device: str, account: Account | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.wiring.accounts, "get", lambda customer_id: account)
    monkeypatch.setattr(api.wiring.sell_plans, "_pause", lambda seconds: None)
    answer = sell_device(api, PLAN)
    assert (answer.status, answer.code) == (409, "version_conflict")


def test_two_sales_of_one_device_at_once_make_one_plan(
    api: Api, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = api.wiring.accounts.change

    def second_clerk(*args: Any, **more: Any) -> None:
        monkeypatch.setattr(api.wiring.accounts, "change", change)
        assert sell_device(another_client(api), PLAN).status == 201
        change(*args, **more)

    monkeypatch.setattr(api.wiring.accounts, "change", second_clerk)
    assert sell_device(api, PLAN).code == "device_has_open_plan"
    account = api.wiring.accounts.get("C1")
    assert account is not None and len(account.plans) == 1


def test_technical_data_is_part_of_no_answer(api: Api, device: str) -> None:
    assert TECHNICAL["secret_key"] not in api.get("/devices/SHS1").text
