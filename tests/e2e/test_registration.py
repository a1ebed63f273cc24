"""Registration: customer and device together or not at all, by whom the rules allow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.local.client import Cloud
from infra.local.devices import SimulatedDevice
from tests.e2e.company import Company, created, day, phone, serial, unique


def meter_fields(company: Company, **changes: object) -> dict[str, object]:
    fields = {
        "serial_number": serial(),
        "manufacturer": "calin",
        "tariff_id": company.tariff(),
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def shs_fields(company: Company, **changes: object) -> dict[str, object]:
    device = SimulatedDevice(serial("SHS"))
    return {
        "serial_number": device.serial_number,
        "manufacturer": "openpaygo",
        "technical": device.technical,
        "plan": company.terms(),
        **changes,
    }


def found_by_phone(company: Company, number: str) -> list[dict[str, object]]:
    items: list[dict[str, object]] = (
        company.cloud.staff("office").get("/customers", phone=number).body["items"]
    )
    return items


def test_a_meter_is_registered_in_the_field(company: Company) -> None:
    person = company.person(name="  Asha ", phone="0712 345-678")
    fields = meter_fields(company, serial_number=" 00-47 ab/" + unique("x"))
    body = created(company.register(person, fields))

    assert body["customer"]["name"] == "Asha"
    assert body["customer"]["phone"] == "+254712345678"
    assert isinstance(body["customer"]["number"], int)
    device = body["device"]
    assert device["serial_number"].startswith("0047AB/")
    assert (device["kind"], device["state"], device["plan"]) == ("meter", "active", None)
    assert device["customer_id"] == body["customer"]["id"]
    assert device["village_id"] == company.village_id
    read = company.cloud.staff("office").get(
        f"/devices/{device['serial_number'].replace('/', '%2F')}"
    )
    assert read.body == device


def test_the_office_may_not_register_a_meter(company: Company) -> None:
    person = company.person()
    answer = company.register(person, meter_fields(company), role="office")
    assert (answer.status, answer.code) == (403, "meter_registration_requires_app")
    assert found_by_phone(company, person["phone"]) == []


@pytest.mark.parametrize("role", ["office", "field"])
@pytest.mark.parametrize(
    ("manufacturer", "kind"), [("openpaygo", "shs"), ("openpaygo_ebike", "e_bike")]
)
def test_office_and_field_register_shs_and_e_bikes(
    company: Company, role: str, manufacturer: str, kind: str
) -> None:
    body = created(
        company.register(company.person(), shs_fields(company, manufacturer=manufacturer), role)
    )
    device = body["device"]
    assert device["kind"] == kind
    assert (device["plan"]["state"], device["plan"]["open"]) == ("open", "7000.00")
    assert "secret" not in str(body).lower()
    assert "technical" not in device


def test_an_appliance_brings_its_default_plan(company: Company) -> None:
    appliance = created(
        company.cloud.staff("admin").post(
            "/appliances",
            {
                "name": unique("SHS 50 W "),
                "kind": "shs",
                "price": "6000.00",
                "default_plan": {
                    "down_payment": "1000.00",
                    "instalments": 10,
                    "every": "month",
                    "first_due_after_days": 30,
                },
            },
        )
    )
    fields = shs_fields(company, appliance_id=appliance["id"])
    del fields["plan"]
    plan = created(company.register(company.person(), fields, "office"))["device"]["plan"]
    assert (plan["total"], plan["down_payment"], plan["instalments"]) == ("6000.00", "1000.00", 10)
    assert [row["amount"] for row in plan["schedule"][:2]] == ["1000.00", "500.00"]
    assert plan["schedule"][0]["number"] == 0
    assert plan["first_due"] == day(30)


def test_the_same_again_is_answered_with_what_is_stored(company: Company) -> None:
    person, fields = company.person(), meter_fields(company)
    first = created(company.register(person, fields))
    again = company.register(person, fields)
    assert again.status == 200
    assert again.body["customer"]["id"] == first["customer"]["id"]
    assert again.body["device"] == first["device"]
    assert company.cloud.account(first["customer"]["id"])["version"] == 1


def test_six_at_once_make_one(company: Company) -> None:
    person, fields = company.person(), meter_fields(company)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: company.register(person, fields), range(6)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [201]
    assert len({answer.body["customer"]["id"] for answer in answers}) == 1
    assert len(found_by_phone(company, person["phone"])) == 1


def test_a_serial_that_somebody_else_has_is_refused_and_leaves_nothing(company: Company) -> None:
    taken = company.meter()
    person = company.person()
    answer = company.register(person, meter_fields(company, serial_number=taken.serial_number))
    assert (answer.status, answer.fields) == (422, {"device.serial_number"})
    assert found_by_phone(company, person["phone"]) == []


def test_the_same_phone_and_name_is_the_same_customer(company: Company) -> None:
    person = company.person(name="Asha", surname=unique("Wanjiru "))
    first = created(company.register(person, meter_fields(company)))
    spelled = {**person, "name": " ASHA ", "surname": person["surname"].upper()}
    second = created(company.register(spelled, meter_fields(company)))
    assert second["customer"]["id"] == first["customer"]["id"]
    account = company.cloud.account(first["customer"]["id"])
    assert (len(account["devices"]), account["version"]) == (2, 2)


def test_the_same_phone_with_another_name_is_a_new_customer_to_be_looked_at(
    company: Company,
) -> None:
    person = company.person()
    first = created(company.register(person, meter_fields(company)))
    other = {**person, "name": "Juma"}
    second = created(company.register(other, meter_fields(company)))
    assert second["customer"]["id"] != first["customer"]["id"]
    assert second["customer"]["needs_review"] == ["possible_duplicate"]


def test_a_second_device_is_registered_for_a_customer_by_id(company: Company) -> None:
    household = company.meter()
    shs = company.shs(customer_id=household.customer_id)
    assert shs.customer_id == household.customer_id


REFUSED_METERS: dict[str, tuple[dict[str, object], str]] = {
    "no tariff": ({"tariff_id": None}, "device.tariff_id"),
    "unknown tariff": ({"tariff_id": 999_999}, "device.tariff_id"),
    "unknown manufacturer": ({"manufacturer": "nobody"}, "device.manufacturer"),
    "no serial": ({"serial_number": "- -"}, "device.serial_number"),
    "emoji in the serial": ({"serial_number": "47💡"}, "device.serial_number"),
    "serial too long": ({"serial_number": "4" * 41}, "device.serial_number"),
    "unknown village": ({"village_id": 999_999}, "device.village_id"),
    "unknown field": ({"colour": "red"}, "device.colour"),
}


@pytest.mark.parametrize("what", REFUSED_METERS)
def test_a_meter_that_is_not_right_is_refused_and_leaves_nothing(
    company: Company, what: str
) -> None:
    changes, field = REFUSED_METERS[what]
    person = company.person()
    answer = company.register(person, meter_fields(company, **changes))
    assert (answer.status, answer.fields) == (422, {field}), answer.body
    assert found_by_phone(company, person["phone"]) == []


REFUSED_PERSONS: dict[str, tuple[dict[str, object], str]] = {
    "no name": ({"name": "  "}, "customer.name"),
    "phone that is none": ({"phone": "12"}, "customer.phone"),
    "unknown village": ({"village_id": 999_999}, "customer.village_id"),
}


@pytest.mark.parametrize("what", REFUSED_PERSONS)
def test_a_person_that_is_not_right_is_refused_and_leaves_no_device(
    company: Company, what: str
) -> None:
    changes, field = REFUSED_PERSONS[what]
    fields = meter_fields(company)
    answer = company.register(company.person(**changes), fields)
    assert (answer.status, answer.fields) == (422, {field}), answer.body
    assert company.cloud.staff("office").get(f"/devices/{fields['serial_number']}").status == 404


REFUSED_PLANS: dict[str, tuple[dict[str, object], str]] = {
    "total of nothing": ({"total": "0.00"}, "total"),
    "down payment of all": ({"down_payment": "7000.00"}, "down_payment"),
    "more paid than the total": ({"already_paid": "7000.01"}, "already_paid"),
    "more instalments than cents": ({"total": "0.09"}, "instalments"),
    "too many instalments": ({"instalments": 601}, "instalments"),
    "instalment above what is financed": (
        {"instalments": None, "instalment_amount": "7000.01"},
        "instalment_amount",
    ),
    "neither form": ({"instalments": None}, "instalments"),
    "both forms": ({"instalment_amount": "700.00"}, "instalments"),
    "another rhythm": ({"every": "day"}, "every"),
}


@pytest.mark.parametrize("what", REFUSED_PLANS)
def test_a_plan_that_contradicts_itself_is_refused(company: Company, what: str) -> None:
    changes, field = REFUSED_PLANS[what]
    fields = shs_fields(company, plan=company.terms(**changes))
    answer = company.register(company.person(), fields, "office")
    assert (answer.status, answer.fields) == (422, {f"device.plan.{field}"}), answer.body
    assert company.cloud.staff("office").get(f"/devices/{fields['serial_number']}").status == 404


def test_a_device_without_what_its_maker_needs_is_refused(company: Company) -> None:
    fields = shs_fields(company, technical={"secret_key": "short", "starting_code": 1})
    answer = company.register(company.person(), fields, "office")
    assert (answer.status, answer.fields) == (422, {"device.technical.secret_key"})
    assert "short" not in str(answer.body)


def test_places_in_use_are_not_deleted_and_names_are_unique(cloud: Cloud, company: Company) -> None:
    admin = cloud.staff("admin")
    name = unique("cluster ")
    cluster = created(admin.post("/clusters", {"name": name}))
    assert (admin.post("/clusters", {"name": name.upper()}).code) == "name_taken"
    grid = created(admin.post("/mini-grids", {"name": unique("g "), "cluster_id": cluster["id"]}))
    assert admin.delete(f"/clusters/{cluster['id']}").code == "in_use"
    assert admin.delete(f"/mini-grids/{grid['id']}").status == 204
    assert admin.delete(f"/clusters/{cluster['id']}").status == 204
    assert admin.delete(f"/clusters/{cluster['id']}").status == 404
    created(admin.post("/clusters", {"name": name}))
    company.meter()
    assert admin.delete(f"/villages/{company.village_id}").code == "in_use"


def test_customers_are_found_by_phone_name_and_number(company: Company) -> None:
    number, surname = phone(), unique("Zawadi")
    body = created(
        company.register(
            company.person(name="Tatu", surname=surname, phone=number), meter_fields(company)
        )
    )
    customer = body["customer"]
    office = company.cloud.staff("office")
    for query in (
        {"phone": number},
        {"phone": number.removeprefix("+254").join(["0", ""])},
        {"name": f"tatu {surname.lower()}"},
        {"number": customer["number"]},
    ):
        items = office.get("/customers", **query).body["items"]
        assert [item["id"] for item in items] == [customer["id"]], query


def test_lists_come_in_pages(company: Company) -> None:
    for _ in range(3):
        company.meter()
    office = company.cloud.staff("office")
    first = office.get("/customers", limit=2).body
    assert len(first["items"]) == 2
    second = office.get("/customers", limit=2, cursor=first["next"]).body
    assert {item["id"] for item in first["items"]}.isdisjoint(i["id"] for i in second["items"])
    wrong = office.get("/customers", cursor="nonsense")
    assert (wrong.status, wrong.code) == (422, "invalid_cursor")
    assert office.get("/customers", limit=101).status == 422
