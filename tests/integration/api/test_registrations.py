"""A customer and a device become known together, or not at all."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from chalicelib.domain.account import DeviceAccount, Kind
from chalicelib.services.ports import (
    ConditionFailed,
    OutcomeUnknown,
    Registration,
    VendRefused,
)
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
from tests.integration.conftest import Cloud
from tests.integration.vendor import NO_CONNECTION, FakeSunKing, unclear

DEVICE_FIELDS = {
    "serial_number",
    "kind",
    "manufacturer",
    "village_id",
    "customer_id",
    "tariff_id",
    "plan",
    "registered_on",
    "paid_until",
    "state",
}


def register(api: Api, body: object, role: str | tuple[str, ...] = "field") -> Reply:
    return api.post("/registrations", body, role)


def test_a_new_customer_and_a_meter_are_registered_together(api: Api, place: Place) -> None:
    answer = register(api, registration(person(place), meter(place, serial_number=" 047-001 ")))
    assert answer.status == 201
    assert answer.json["customer"] == {
        "id": "C1",
        "number": 1,
        "name": "Asha",
        "surname": "Mushi",
        "phone": "+254712345678",
        "village_id": place.village_id,
        "needs_review": [],
    }
    assert answer.json["device"] == {
        "serial_number": "047001",
        "kind": "meter",
        "manufacturer": "calin",
        "village_id": place.village_id,
        "customer_id": "C1",
        "tariff_id": place.tariff_id,
        "plan": None,
        "registered_on": "2026-03-10",
        "paid_until": None,
        "state": "active",
    }
    assert api.get("/devices/047001").json == answer.json["device"]
    assert api.get("/customers/C1").json == answer.json["customer"]


def test_an_shs_is_registered_with_its_plan(api: Api, place: Place) -> None:
    answer = register(api, registration(person(place), shs()), "office")
    assert answer.status == 201
    device = answer.json["device"]
    assert set(device) == DEVICE_FIELDS
    assert (device["kind"], device["state"], device["tariff_id"]) == ("shs", "active", None)
    assert device["plan"]["total"] == "7000.00"
    assert device["plan"]["schedule"][0] == {
        "number": 1,
        "due_on": "2026-03-17",
        "amount": "700.00",
        "paid": "0.00",
    }


def test_an_e_bike_may_be_sold_on_its_appliance_s_default_plan(api: Api, place: Place) -> None:
    bike = {
        "name": "Bike",
        "kind": "e_bike",
        "price": "9000",
        "default_plan": {
            "down_payment": "1000",
            "instalments": 8,
            "every": "month",
            "first_due_after_days": 20,
        },
    }
    appliance_id = api.post("/appliances", bike).json["id"]
    device = {
        "serial_number": "BIKE1",
        "manufacturer": "openpaygo_ebike",
        "appliance_id": appliance_id,
        "technical": TECHNICAL,
    }
    answer = register(api, registration(person(place), device), "office")
    plan = answer.json["device"]["plan"]
    assert (plan["name"], plan["total"], plan["down_payment"]) == ("Bike", "9000.00", "1000.00")
    assert plan["first_due"] == "2026-03-30"
    assert [row["number"] for row in plan["schedule"]][:2] == [0, 1]


def test_a_plan_of_its_own_goes_before_the_default_one(api: Api, place: Place) -> None:
    device = shs(appliance_id=place.shs_id, plan={**PLAN, "total": "5000"})
    plan = register(api, registration(person(place), device), "office").json["device"]["plan"]
    assert (plan["name"], plan["total"]) == ("Home 60", "5000.00")


def test_secrets_are_sealed_and_never_shown(api: Api, place: Place, cloud: Cloud) -> None:
    answer = register(api, registration(person(place), shs()), "office")
    stored = cloud.item("devices", serial_number="SHS1")
    for text in (answer.text, api.get("/devices/SHS1").text, str(stored)):
        assert TECHNICAL["secret_key"] not in text.lower()
    assert stored is not None and "sealed_key" in stored["technical"]["M"]


def test_portfolios_move_in_with_past_dates(api: Api, place: Place) -> None:
    api.post(
        "/tariffs",
        {
            "name": "With fee",
            "price_per_kwh": "100",
            "access_rate": {"amount": "150", "period_days": 7},
        },
    )
    body = registration(person(place), meter(place, tariff_id=2), registered_on="2026-02-24")
    answer = register(api, body)
    assert answer.json["device"]["registered_on"] == "2026-02-24"
    account = api.get("/customers/C1/account").json
    assert [debt["due_on"] for debt in account["debts"]] == ["2026-03-03", "2026-03-10"]
    plan = {**PLAN, "first_due": "2026-01-06", "already_paid": "2100", "down_payment": "700"}
    body = registration({"customer_id": "C1"}, shs(plan=plan), registered_on="2026-01-01")
    sold = register(api, body, "office").json["device"]["plan"]
    assert sold["schedule"][0]["due_on"] == "2026-01-01"
    assert (sold["paid"], sold["open"]) == ("2100.00", "4900.00")


def test_a_village_other_than_the_customer_s_can_be_named(api: Api, place: Place) -> None:
    other = api.post("/villages", {"name": "Homa", "mini_grid_id": 1}).json["id"]
    answer = register(api, registration(person(place), meter(place, village_id=other)))
    assert answer.json["device"]["village_id"] == other
    assert answer.json["customer"]["village_id"] == place.village_id


# --- who it is --------------------------------------------------------------------------------


def test_the_same_person_is_one_customer_however_it_is_written(api: Api, place: Place) -> None:
    register(api, registration(person(place), meter(place)))
    same = person(place, name=" aSHA ", surname="MUSHI", phone="+254 (712) 345-678")
    second = register(api, registration(same, meter(place, serial_number="47002")))
    assert second.status == 201
    assert second.json["customer"]["id"] == "C1"
    assert second.json["customer"]["name"] == "Asha"


def test_another_name_on_the_same_phone_is_a_new_customer_to_look_at(
    api: Api, place: Place
) -> None:
    register(api, registration(person(place), meter(place)))
    juma = person(place, name="Juma")
    second = register(api, registration(juma, meter(place, serial_number="47002")))
    assert second.json["customer"]["id"] == "C2"
    assert second.json["customer"]["needs_review"] == ["possible_duplicate"]


def test_a_customer_may_be_named_by_id(api: Api, place: Place) -> None:
    register(api, registration(person(place), meter(place)))
    second = register(api, registration({"customer_id": "C1"}, shs()), "office")
    assert (second.status, second.json["customer"]["id"]) == (201, "C1")


# --- the same again ---------------------------------------------------------------------------


def test_the_same_registration_again_answers_what_is_stored(api: Api, place: Place) -> None:
    body = registration(person(place), shs())
    first = register(api, body, "office")
    again = register(api, body, "office")
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert api.get("/customers/C1/account").json["version"] == 1


def test_a_known_device_is_told_to_its_owner_whatever_else_is_said_of_it(
    api: Api, place: Place
) -> None:
    register(api, registration(person(place), meter(place)))
    again = register(api, registration({"customer_id": "C1"}, meter(place, tariff_id=None)))
    assert (again.status, again.json["device"]["tariff_id"]) == (200, place.tariff_id)


@pytest.mark.parametrize("device", ["meter", "shs"])
def test_somebody_else_s_serial_number_is_refused(api: Api, place: Place, device: str) -> None:
    register(api, registration(person(place), meter(place)))
    mine = meter(place) if device == "meter" else shs(serial_number="47001")
    answer = register(api, registration(person(place, name="Juma"), mine))
    assert (answer.status, answer.fields) == (422, ["device.serial_number"])
    assert api.get("/customers?name=Juma").json["items"] == []


def test_parallel_posts_of_one_registration_give_one(api: Api, place: Place) -> None:
    body = registration(person(place), shs())
    others = [another_client(api) for _ in range(4)]
    api.token("office")
    answers: list[Reply] = []
    barrier = threading.Barrier(len(others))

    def post(other: Api) -> None:
        barrier.wait()
        answers.append(other.post("/registrations", body, "office"))

    threads = [threading.Thread(target=post, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201]
    assert len({answer.text for answer in answers}) == 1
    assert api.get("/customers").json["items"] == [answers[0].json["customer"]]


def test_parallel_devices_of_one_new_person_make_one_customer(api: Api, place: Place) -> None:
    others = [another_client(api) for _ in range(3)]
    answers: list[Reply] = []
    api.token("field")

    def post(other: Api, number: int) -> None:
        body = registration(person(place), meter(place, serial_number=f"4700{number}"))
        answers.append(other.post("/registrations", body, "field"))

    threads = [threading.Thread(target=post, args=(o, n)) for n, o in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [201, 201, 201]
    assert len({answer.json["customer"]["id"] for answer in answers}) == 1


def test_a_registration_that_loses_every_race_leaves_nothing_and_says_try_again(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(registration: Registration) -> None:
        raise ConditionFailed("account")

    monkeypatch.setattr(api.wiring.registry, "register", lost)
    monkeypatch.setattr(api.wiring.register, "_pause", lambda seconds: None)
    answer = register(api, registration(person(place), meter(place)))
    assert (answer.status, answer.code) == (503, "try_again")
    assert api.get("/customers").json["items"] == []


def test_a_registration_whose_answer_was_lost_is_found_when_it_comes_again(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = api.wiring.registry.register

    def written_but_unknown(registration: Registration) -> None:
        write(registration)
        raise OutcomeUnknown

    body = registration(person(place), meter(place))
    with monkeypatch.context() as broken:
        broken.setattr(api.wiring.registry, "register", written_but_unknown)
        answer = register(api, body)
    assert (answer.status, answer.code) == (503, "try_again")
    assert answer.headers["retry-after"]
    assert register(api, body).status == 200


# --- who may ----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["field", ("admin", "field")])
def test_field_staff_register_meters(api: Api, place: Place, role: str | tuple[str, ...]) -> None:
    assert register(api, registration(person(place), meter(place)), role).status == 201


@pytest.mark.parametrize("role", ["admin", "office", "field"])
def test_all_who_register_may_register_an_shs(api: Api, place: Place, role: str) -> None:
    assert register(api, registration(person(place), shs()), role).status == 201


# --- what is refused --------------------------------------------------------------------------


def test_an_appliance_without_a_default_plan_needs_one(api: Api, place: Place) -> None:
    bare = api.post("/appliances", {"name": "Bare", "kind": "shs", "price": "1"}).json["id"]
    answer = register(api, registration(person(place), shs(plan=None, appliance_id=bare)), "office")
    assert answer.fields == ["device.plan"]


def test_today_is_the_company_s_today(api: Api, place: Place) -> None:
    body = registration(person(place), meter(place), registered_on="2026-03-10")
    assert register(api, body).status == 201


def test_a_full_account_takes_no_further_device(api: Api, place: Place) -> None:
    register(api, registration(person(place), meter(place)))
    account = api.wiring.accounts.get("C1")
    assert account is not None
    full = tuple(DeviceAccount(f"X{n}", Kind.METER) for n in range(100))
    put_account(api, replace(account, devices=full))
    answer = register(api, registration({"customer_id": "C1"}, meter(place, serial_number="2")))
    assert (answer.status, answer.code) == (422, "account_full")


def test_a_device_whose_key_cannot_be_sealed_now_is_not_registered(
    api: Api, place: Place, cloud: Cloud
) -> None:
    cloud.put_secret("device-keys", {"current": "gone", "keys": {}})
    answer = register(api, registration(person(place), shs()), "office")
    assert (answer.status, answer.code) == (503, "try_again")
    assert api.get("/customers").json["items"] == []


# --- paid off before --------------------------------------------------------------------------


def test_a_device_that_was_paid_before_is_unlocked_at_once(api: Api, place: Place) -> None:
    plan = {**PLAN, "already_paid": "7000"}
    answer = register(api, registration(person(place), shs(plan=plan)), "office")
    assert answer.status == 201
    device = answer.json["device"]
    assert (device["state"], device["plan"]["state"]) == ("unlocked", "paid")
    assert api.get("/devices/SHS1").json == device
    account = api.wiring.accounts.get("C1")
    assert account is not None and account.plans == ()
    [record] = account.devices
    assert record.counter is not None and record.counter > 1
    [entry] = entries(api, "C1")
    assert entry.changes["vend"] == "entry-C1.1"
    [payment] = api.get("/payments?customer_id=C1").json["items"]
    assert (payment["payment_id"], payment["channel"]) == ("entry-C1.1", "entry")
    assert (payment["amount"], payment["status"], payment["lines"]) == ("0.00", "completed", [])
    [token] = payment["tokens"]
    assert (token["kind"], token["serial_number"], len(token["value"])) == ("unlock", "SHS1", 9)
    assert token["value"] not in str(entry)
    assert books_differ(api, "C1") == []


def test_a_device_that_was_paid_before_but_gets_no_token_is_refused(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise VendRefused("count_out_of_range")

    monkeypatch.setattr(api.wiring.manufacturers.get("openpaygo"), "issue", refused)
    plan = {**PLAN, "already_paid": "7000"}
    answer = register(api, registration(person(place), shs(plan=plan)), "office")
    assert (answer.status, answer.fields) == (422, ["device.plan.already_paid"])
    assert api.get("/customers").json["items"] == []


def test_a_device_of_a_manufacturer_that_is_called_may_have_been_paid_before_too(
    api: Api, place: Place
) -> None:
    plan = {**PLAN, "already_paid": "7000"}
    device = shs(manufacturer="angaza", plan=plan, technical=None)
    answer = register(api, registration(person(place), device), "office")
    assert (answer.status, answer.json["device"]["state"]) == (201, "unlocked")
    [payment] = api.get("/payments?customer_id=C1").json["items"]
    assert (payment["status"], payment["tokens"]) == ("vending", [])
    [vend] = payment["vends"]
    assert (vend["kind"], vend["manufacturer"], vend["state"]) == ("unlock", "angaza", "intended")


# --- the books --------------------------------------------------------------------------------


def test_every_registration_is_an_entry_that_the_books_can_post(api: Api, place: Place) -> None:
    register(api, registration(person(place), meter(place)))
    plan = {**PLAN, "already_paid": "1400"}
    register(api, registration(person(place), shs(plan=plan)), "office")
    made = entries(api, "C1")
    assert [(e.account_version, e.what, e.actor) for e in made] == [
        (1, "registered", "field@example.com"),
        (2, "registered", "office@example.com"),
    ]
    assert books_differ(api, "C1") == []


# --- a manufacturer that knows its devices ----------------------------------------------------


def test_a_serial_number_that_its_manufacturer_denies_is_refused_and_one_it_knows_is_not(
    api: Api, cloud: Cloud, place: Place
) -> None:
    with FakeSunKing() as vendor:
        vendor.put_secrets(cloud)
        slip = shs(serial_number="01234", manufacturer="sunking", technical={})
        answer = register(api, registration(person(place), slip), "office")
        assert (answer.status, answer.fields) == (422, ["device.serial_number"])
        assert "does not know it" in answer.text
        assert api.get("/customers?q=Asha").json["items"] == []
        right = shs(serial_number="SK1", manufacturer="sunking", technical={})
        assert register(api, registration(person(place), right), "office").status == 201
        looks = len(vendor.looks)
        assert register(api, registration(person(place), right), "office").status == 200
        assert len(vendor.looks) == looks, "what is registered already is not asked for"


@pytest.mark.parametrize("trouble", ["no secret", "no connection", "no clear answer"])
def test_a_manufacturer_that_does_not_answer_stops_nobody_from_registering(
    api: Api, cloud: Cloud, place: Place, trouble: str
) -> None:
    with FakeSunKing() as vendor:
        if trouble != "no secret":
            vendor.put_secrets(cloud, NO_CONNECTION if trouble == "no connection" else None)
        vendor.look_behaviours = [unclear]
        unit = shs(serial_number="SK1", manufacturer="sunking", technical={})
        assert register(api, registration(person(place), unit), "office").status == 201
