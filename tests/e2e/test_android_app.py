"""The registration app, unchanged, against this server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.local.client import Cloud
from tests.e2e.android_app import LISTS, AndroidApp
from tests.e2e.company import Company, created, phone, serial, unique


@pytest.fixture
def app(cloud: Cloud) -> AndroidApp:
    """A phone whose user has logged in."""
    app = AndroidApp(cloud.stack["app_url"] + "/")
    field = cloud.stack["staff"]["field"]
    assert app.log_in(field["email"], field["password"])
    return app


def form(app: AndroidApp, company: Company, **changes: object) -> dict[str, object]:
    """A form, every field of it filled from the app's own lists."""
    filled = {
        "name": "Asha",
        "surname": unique("Mwangi "),
        "phone": phone(),
        "tariff_id": company.tariff(),
        "city_id": company.village_id,
        "connection_group_id": app.fetch("connection-groups")[0]["id"],
        "connection_type_id": app.fetch("connection-types")[0]["id"],
        "sub_connection_type_id": app.fetch("sub-connection-types")[0]["id"],
        "geo_points": "-0.4321,34.2059",
        "serial_number": serial(),
        "manufacturer": app.pick("manufacturers", "Calin"),
        "meter_type": app.pick("meter-types", "60A 1P Offline"),
    }
    return {**filled, **changes}


def registered(cloud: Cloud, row: dict[str, object]) -> dict[str, object]:
    """The device of a form and the customer who owns it, as the office sees them."""
    office = cloud.staff("office")
    device = office.get(f"/devices/{row['serial_number']}").body
    customer = office.get(f"/customers/{device['customer_id']}").body
    return {"kind": device["kind"], "phone": customer["phone"], "name": customer["surname"]}


def test_the_app_logs_in_and_reads_all_its_lists(app: AndroidApp, company: Company) -> None:
    company.tariff("0.35")

    lists = {name: app.fetch(name) for name in LISTS}
    people = app.people()

    assert all(lists.values())
    assert any(city["id"] == company.village_id for city in lists["cities"])
    assert people["current_page"] == 1
    assert app.people(people["last_page"])["next_page_url"] is None


def test_a_wrong_password_is_shown_in_our_words(cloud: Cloud) -> None:
    app = AndroidApp(cloud.stack["app_url"])

    assert not app.log_in("nobody@mwanga.example", "not the password")
    assert app.shown == ["The e-mail or the password is wrong. After several tries, wait a minute."]


def test_rows_that_are_synced_twice_in_parallel_are_registered_once_and_leave_the_phone(
    app: AndroidApp, cloud: Cloud, company: Company
) -> None:
    person = {"surname": unique("Otieno "), "phone": phone()}
    forms = [form(app, company), form(app, company, **person), form(app, company, **person)]
    for each in forms:
        app.save(**each)

    first = app.sync()
    again = app.sync()
    app.restart()

    assert app.shown == []
    assert [customer["id"] for customer in first] == [1, 2, 3], "its own ids come back"
    assert again == first
    assert (app.rows, app.sync()) == ({}, [])
    for each in forms:
        assert registered(cloud, each) == {
            "kind": "meter",
            "phone": each["phone"],
            "name": each["surname"],
        }
    found = cloud.staff("office").get("/customers", phone=person["phone"]).body["items"]
    assert len(found) == 1, "two rows of one person are one customer"


def test_a_session_that_ends_during_a_sync_loses_only_what_the_app_itself_loses(
    app: AndroidApp, cloud: Cloud, company: Company
) -> None:
    row = form(app, company)
    app.save(**row)
    app.sync()
    requests_token = app.token
    cloud.api.call("POST", "/auth/logout", headers={"Authorization": f"Bearer {requests_token}"})

    app.sync()

    assert app.token is None, "the app shows its log-in"
    assert app.shown == ["Log in: the token is missing, unknown or has expired."]
    assert registered(cloud, row)["kind"] == "meter"


def test_an_shs_by_the_app_is_an_shs_that_the_office_completes(
    app: AndroidApp, cloud: Cloud, company: Company
) -> None:
    row = form(app, company, manufacturer=app.pick("manufacturers", "Angaza"))
    usual = {
        "name": unique("Home 60 "),
        "kind": "shs",
        "price": "7000",
        "manufacturer": "angaza",
        "default_plan": {"instalments": 10, "every": "week", "first_due_after_days": 7},
    }
    created(cloud.staff("admin").post("/appliances", usual))
    app.save(**row)

    (answer,) = app.sync()

    device = cloud.staff("office").get(f"/devices/{row['serial_number']}").body
    assert (device["kind"], device["plan"]["total"]) == ("shs", "7000.00")
    assert answer["status"] == "registered"


def test_what_the_agent_cannot_put_right_waits_for_the_office(
    app: AndroidApp, cloud: Cloud, company: Company
) -> None:
    taken = form(app, company)
    app.save(**taken)
    app.save(**form(app, company, serial_number=taken["serial_number"]))
    app.sync()

    answers = app.sync()

    assert app.shown == []
    assert app.rows == {}
    waiting = [answer for answer in answers if answer["status"] == "needs_review"]
    assert [answer["needs_review"] for answer in waiting] == [["serial_taken"]]
    office = cloud.staff("office")
    resolved = office.post(
        f"/registrations/{waiting[0]['registration_id']}/resolve",
        {
            "reason": "the photo shows another number",
            "outcome": "register",
            "corrections": {"serial_number": serial()},
        },
    )
    assert resolved.body["status"] == "resolved"
    assert resolved.body["resolved_at"] <= datetime.now(UTC).isoformat()


def test_a_true_mistake_is_shown_by_its_field(app: AndroidApp, company: Company) -> None:
    app.save(**form(app, company, phone="12345"))

    app.sync()

    assert app.shown == ["must be a phone number such as +254712345678 or 0712 345 678"]
