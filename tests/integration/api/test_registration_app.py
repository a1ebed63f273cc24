"""The registration app's routes, spoken to in the words of its own contract."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.errors import AccountFull
from chalicelib.services.ports import FieldRegistration, OutcomeUnknown, TryAgain, VersionConflict
from tests.integration.api.conftest import (
    PLAN,
    TECHNICAL,
    Api,
    Place,
    Reply,
    another_client,
    books_differ,
    entries,
    person,
)

OPENPAYGO, CALIN = 1, 10
PATH = "/customer-registration-app"


def form(place: Place, **changes: object) -> dict[str, object]:
    """A row of the app: a meter, as its form has it."""
    row = {
        "id": 7,
        "name": "Asha",
        "surname": "Mushi",
        "phone": "+255 712 345 678",
        "tariff_id": place.tariff_id,
        "city_id": place.village_id,
        "connection_group_id": 1,
        "connection_type_id": 1,
        "sub_connection_type_id": 1,
        "geo_points": "-0.09,34.76",
        "serial_number": "047001",
        "manufacturer": CALIN,
        "meter_type": 1,
        "local": True,
    }
    return {**row, **changes}


def post(api: Api, row: object, role: str = "field") -> Reply:
    """Post a row, as the app does."""
    return api.post(PATH, row, role)


def waiting(api: Api, status: str = "needs_review") -> list[dict[str, Any]]:
    """The registrations in that status."""
    items: list[dict[str, Any]] = api.get(f"/registrations?status={status}").json["items"]
    return items


def usual_shs(api: Api, name: str = "Home 60 of OpenPAYGO") -> None:
    """What the devices of OpenPAYGO are sold as."""
    appliance = {
        "name": name,
        "kind": "shs",
        "price": "7000",
        "manufacturer": "openpaygo",
        "default_plan": {"instalments": 10, "every": "week", "first_due_after_days": 7},
    }
    assert api.post("/appliances", appliance).status == 201


# --- a registration that fits -----------------------------------------------------------------


def test_a_meter_is_registered_with_its_customer(api: Api, place: Place) -> None:
    reply = post(api, form(place))

    assert reply.status == 201
    assert reply.json["data"] == {
        **form(place),
        "phone": "+255712345678",
        "person_id": "C1",
        "device_id": "047001",
        "registration_id": reply.json["data"]["registration_id"],
        "status": "registered",
        "needs_review": [],
    }
    device = api.get("/devices/047001").json
    assert (device["kind"], device["state"], device["tariff_id"]) == (
        "meter",
        "active",
        place.tariff_id,
    )
    assert [(entry.what, entry.reason) for entry in entries(api, "C1")] == [
        ("registered", "registration in the app")
    ]
    assert waiting(api) == []


def test_the_device_of_an_shs_manufacturer_is_an_shs_on_its_usual_plan(
    api: Api, place: Place
) -> None:
    usual_shs(api)

    reply = post(api, form(place, manufacturer=OPENPAYGO))

    device = api.get("/devices/047001").json
    assert device["kind"] == "shs"
    assert (device["plan"]["total"], device["plan"]["name"]) == ("7000.00", "Home 60 of OpenPAYGO")
    assert device["tariff_id"] is None, "the app always sends a tariff; an SHS has none"
    assert reply.json["data"]["needs_review"] == ["no_key"]
    assert books_differ(api, "C1") == []


@pytest.mark.parametrize("others", [(), ("Home 60 again", "Home 60 once more")])
def test_without_one_usual_plan_an_shs_is_registered_to_be_reviewed(
    api: Api, place: Place, others: tuple[str, ...]
) -> None:
    for name in others:
        usual_shs(api, name)

    reply = post(api, form(place, manufacturer=OPENPAYGO))

    assert reply.status == 201
    assert reply.json["data"]["needs_review"] == ["no_key", "no_plan"]
    device = api.get("/devices/047001").json
    assert (device["state"], device["plan"]) == ("needs_review", None)
    assert books_differ(api, "C1") == []


def test_a_manufacturer_is_named_for_appliances_of_its_kind_only(api: Api) -> None:
    bike = {"name": "Bike", "kind": "e_bike", "price": "10", "manufacturer": "openpaygo"}

    assert api.post("/appliances", bike).fields == ["manufacturer"]
    assert api.post("/appliances", {**bike, "manufacturer": "nobody"}).fields == ["manufacturer"]
    assert api.post("/appliances", {**bike, "manufacturer": "openpaygo_ebike"}).status == 201
    assert api.get("/appliances").json["items"][0]["manufacturer"] == "openpaygo_ebike"


# --- rows that come again ---------------------------------------------------------------------


def test_the_same_row_again_is_answered_with_what_is_stored(api: Api, place: Place) -> None:
    first = post(api, form(place))

    again = post(api, form(place, id=8, phone="00255 712-345-678", name=" asha "))

    assert again.status == 200
    assert again.json["data"] == {**first.json["data"], "id": 8}
    assert len(api.get("/customers").json["items"]) == 1


def test_two_rows_of_one_person_make_one_customer(api: Api, place: Place) -> None:
    post(api, form(place))
    post(api, form(place, id=8, serial_number="047002"))

    assert [c["number"] for c in api.get("/customers").json["items"]] == [1]
    assert len(api.get("/customers/C1/account").json["devices"]) == 2


def test_a_burst_of_rows_some_of_them_twice_makes_each_once(api: Api, place: Place) -> None:
    rows = [
        form(place, id=number, serial_number=serial_number)
        for number, serial_number in enumerate(["A1", "A2", "A3", "A1", "A2", "A3"])
    ]
    clients = [another_client(api) for _ in rows]
    api.token("field")

    with ThreadPoolExecutor(len(rows)) as pool:
        replies = list(pool.map(post, clients, rows))

    assert {reply.status for reply in replies} <= {200, 201}
    assert [reply.json["data"]["id"] for reply in replies] == list(range(6))
    assert len({reply.json["data"]["person_id"] for reply in replies}) == 1
    assert len(api.get("/customers").json["items"]) == 1
    assert sorted(item["serial_number"] for item in waiting(api, "registered")) == [
        "A1",
        "A2",
        "A3",
    ]


@pytest.mark.parametrize("local_id", [None, "7", True, 1.5])
def test_a_row_without_an_id_of_its_own_gets_a_number_all_the_same(
    api: Api, place: Place, local_id: object
) -> None:
    assert post(api, form(place, id=local_id)).json["data"]["id"] == 0


# --- what field staff cannot put right --------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"manufacturer": 999}, "unknown_manufacturer"),
        ({"tariff_id": 999}, "unknown_tariff"),
        ({"city_id": 999}, "unknown_village"),
        ({"city_id": -1}, "unknown_village"),
    ],
)
def test_a_choice_from_an_old_list_is_kept_for_the_office(
    api: Api, place: Place, changes: dict[str, object], reason: str
) -> None:
    reply = post(api, form(place, **changes))

    assert reply.status == 201
    assert (reply.json["data"]["status"], reply.json["data"]["needs_review"]) == (
        "needs_review",
        [reason],
    )
    assert "person_id" not in reply.json["data"]
    assert api.get("/customers").json["items"] == []
    assert api.get("/devices/047001").status == 404
    kept = waiting(api)
    assert [(item["reasons"], item["form"]["phone"], item["posted_by"]) for item in kept] == [
        ([reason], "+255712345678", "field@example.com")
    ]


def test_a_serial_number_that_is_somebody_else_s_is_kept_for_the_office(
    api: Api, place: Place
) -> None:
    post(api, form(place))

    reply = post(api, form(place, id=8, name="Baraka", phone="0799 345 678"))

    assert reply.status == 201
    assert reply.json["data"]["needs_review"] == ["serial_taken"]
    assert len(api.get("/customers").json["items"]) == 1, "no customer without a device"


def test_another_person_of_that_phone_is_registered_and_to_be_looked_at(
    api: Api, place: Place
) -> None:
    post(api, form(place))

    reply = post(api, form(place, id=8, name="Neema", serial_number="047002"))

    assert reply.json["data"]["needs_review"] == ["possible_duplicate"]
    assert api.get("/devices/047002").json["customer_id"] == "C2"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AccountFull("too many"), "account_full"),
        (TryAgain("busy"), "unfinished"),
        (OutcomeUnknown("lost"), "unfinished"),
    ],
)
def test_whatever_else_goes_wrong_the_row_is_kept_and_tried_again_when_it_comes_again(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(api.wiring.register, "register", refuse)
        assert post(api, form(place)).json["data"]["needs_review"] == [reason]

    again = post(api, form(place))

    assert (again.status, again.json["data"]["status"]) == (200, "registered")
    assert waiting(api) == []


def test_a_corrected_row_is_tried_anew(api: Api, place: Place) -> None:
    post(api, form(place, city_id=999))

    corrected = post(api, form(place))

    assert corrected.json["data"]["status"] == "registered"
    assert api.get("/devices/047001").json["village_id"] == place.village_id


def test_a_row_that_always_loses_the_race_is_told_to_come_again(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(registration: FieldRegistration) -> FieldRegistration:
        raise VersionConflict(registration.registration_id)

    monkeypatch.setattr(api.wiring.field_registrations, "save", overtaken)

    reply = post(api, form(place))

    assert (reply.status, reply.code) == (503, "try_again")
    assert len(waiting(api)) == 1, "what was posted is kept"


def test_a_row_that_cannot_be_read_is_told_to_come_again(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(api, form(place))
    monkeypatch.setattr(api.wiring.field_registrations, "get", lambda _: None)

    assert post(api, form(place)).status == 503


# --- true refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phone", "+12"),
        ("phone", "call me"),
        ("serial_number", "§§§"),
        ("serial_number", "9" * 41),
        ("name", "   "),
        ("surname", "\x07"),
        ("name", 12),
        ("tariff_id", "1"),
        ("tariff_id", None),
        ("city_id", 1.5),
        ("manufacturer", True),
        ("manufacturer", 10**30),
    ],
)
def test_what_can_be_put_right_on_the_spot_is_refused_in_the_app_s_words(
    api: Api, place: Place, field: str, value: object
) -> None:
    reply = post(api, form(place, **{field: value}))

    assert reply.status == 422
    assert list(reply.json["errors"]) == [field]
    assert all(isinstance(text, str) for text in reply.json["errors"][field])
    assert isinstance(reply.json["message"], str)
    assert waiting(api) == []


def test_a_field_that_is_missing_is_named(api: Api, place: Place) -> None:
    row = form(place)
    del row["phone"]

    assert list(post(api, row).json["errors"]) == ["phone"]


def test_keys_that_are_not_known_are_ignored(api: Api, place: Place) -> None:
    assert post(api, form(place, is_active=1, title=None)).status == 201


def test_an_expired_session_is_told_so(api: Api, place: Place) -> None:
    api.token("field")
    api.clock.move(timedelta(days=3651))

    reply = post(api, form(place))

    assert reply.status == 401
    assert reply.json["data"]["message"] == reply.json["message"]


def test_an_admin_registers_no_meter_here_either(api: Api, place: Place) -> None:
    reply = post(api, form(place), role="admin")

    assert reply.status == 403
    assert list(reply.json["errors"]) == ["meter_registration_requires_app"]
    assert waiting(api) == []


# --- the lists --------------------------------------------------------------------------------


def test_the_lists_have_the_types_that_the_app_parses(api: Api, place: Place) -> None:
    lists = {
        name: api.get(f"{PATH}/{name}", "field").json["data"]
        for name in (
            "manufacturers",
            "meter-types",
            "tariffs",
            "cities",
            "connection-groups",
            "connection-types",
            "sub-connection-types",
        )
    }

    assert lists["tariffs"] == [
        {"id": place.tariff_id, "name": "Home", "price": 100, "currency": "KES"}
    ]
    assert lists["cities"] == [{"id": place.village_id, "name": "Kisumu", "country_id": 1}]
    assert {"id": OPENPAYGO, "name": "OpenPAYGO"} in lists["manufacturers"]
    for name, items in lists.items():
        assert items, f"the form insists on a choice of {name}"
        labels = [item.get("name") or _meter_type_label(item) for item in items]
        assert len(set(labels)) == len(labels), f"the app finds {name} again by their text"


def _meter_type_label(item: dict[str, Any]) -> str:
    line = {1: "Online", 0: "Offline"}[item["online"]]
    return f"{item['max_current']}A {item['phase']}P {line}"


@pytest.mark.parametrize(("price", "rounded"), [("0.35", 0), ("99.50", 100), ("100.4999", 100)])
def test_a_price_with_decimals_does_not_break_the_app(
    api: Api, place: Place, price: str, rounded: int
) -> None:
    api.post("/tariffs", {"name": "Exact", "price_per_kwh": price})

    tariffs = api.get(f"{PATH}/tariffs", "field").json["data"]

    assert tariffs[1]["price"] == rounded
    assert type(tariffs[1]["price"]) is int


def test_a_list_is_not_cut_however_long_it_is(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.api.registration_app.AT_ONCE", 1)
    monkeypatch.setattr("chalicelib.services.field_registrations.APPLIANCES_AT_ONCE", 1)
    for name in ("Bondo", "Siaya"):
        assert api.post("/villages", {"name": name, "mini_grid_id": 1}).status == 201
    usual_shs(api)

    cities = api.get(f"{PATH}/cities", "field").json["data"]
    post(api, form(place, manufacturer=OPENPAYGO))

    assert [city["name"] for city in cities] == ["Kisumu", "Bondo", "Siaya"]
    assert api.get("/devices/047001").json["plan"]["total"] == "7000.00"


def test_the_customers_come_in_pages_newest_first(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.api.registration_app.PEOPLE_PER_PAGE", 2)
    for name in ("Asha", "Baraka", "Chausiku"):
        api.post("/customers", person(place, name=name, phone="0712 345 678"), "office")

    first = api.get(f"{PATH}/people", "field").json
    second = api.get(f"{PATH}/people?page=2", "field").json

    assert [each["name"] for each in first["data"]] == ["Chausiku", "Baraka"]
    assert [each["name"] for each in second["data"]] == ["Asha"]
    assert first["data"][1] == {
        "id": 2,
        "name": "Baraka",
        "surname": "Mushi",
        "phone": "+254712345678",
        "city_id": place.village_id,
        "local": False,
    }
    told = ("current_page", "last_page", "per_page", "total", "from", "to")
    assert [first[name] for name in told] == [1, 2, 2, 3, 1, 2]
    assert [second[name] for name in told] == [2, 2, 2, 3, 3, 3]
    assert (first["prev_page_url"], second["next_page_url"]) == (None, None)
    assert first["next_page_url"] == second["path"] + "?page=2"
    assert all(set(link) == {"url", "label", "active"} for link in first["links"])


@pytest.mark.parametrize("page", ["0", "-3", "x", "9999"])
def test_a_page_that_is_not_there_is_an_empty_or_the_first_one(api: Api, page: str) -> None:
    reply = api.get(f"{PATH}/people?page={page}", "field")

    assert reply.status == 200
    assert reply.json["data"] == []
    assert reply.json["last_page"] == 1


# --- the office -------------------------------------------------------------------------------


def resolve(api: Api, outcome: str, registration_id: str = "", **corrections: object) -> Reply:
    """Decide about a registration; by default the one that waits."""
    registration_id = registration_id or waiting(api)[0]["registration_id"]
    body = {"reason": "called them", "outcome": outcome, "corrections": corrections}
    return api.post(f"/registrations/{registration_id}/resolve", body, "office")


def test_the_office_registers_what_it_has_corrected(api: Api, place: Place) -> None:
    post(api, form(place, city_id=999, tariff_id=998))

    reply = resolve(api, "register", village_id=place.village_id, tariff_id=place.tariff_id)

    assert reply.status == 200
    resolved = reply.json
    assert (resolved["status"], resolved["reasons"]) == ("resolved", [])
    assert (resolved["customer_id"], resolved["serial_number"]) == ("C1", "047001")
    assert (resolved["resolved_by"], resolved["resolution"]) == (
        "office@example.com",
        "called them",
    )
    assert api.get("/devices/047001").json["kind"] == "meter"
    assert entries(api, "C1")[0].reason == (
        "registration in the app by field@example.com, completed: called them"
    )
    assert waiting(api) == []
    assert post(api, form(place, city_id=999, tariff_id=998)).json["data"]["status"] == "resolved"


def test_the_office_may_correct_everything(api: Api, place: Place) -> None:
    post(api, form(place, manufacturer=999, serial_number="TYPO"))

    reply = resolve(
        api,
        "register",
        name="Neema",
        surname="Otieno",
        phone="0733 000 111",
        serial_number="SHS-1",
        manufacturer="openpaygo",
        plan=PLAN,
        technical=TECHNICAL,
    )

    assert reply.json["serial_number"] == "SHS1"
    assert api.get("/customers/C1").json["phone"] == "+254733000111"
    assert api.get("/devices/SHS1").json["plan"]["total"] == "7000.00"


def test_the_device_may_be_of_a_customer_who_is_known(api: Api, place: Place) -> None:
    api.post("/customers", person(place), "office")
    post(api, form(place, manufacturer=999, phone="0799 000 111"))

    resolve(
        api,
        "register",
        customer_id="C1",
        manufacturer="openpaygo",
        appliance_id=place.shs_id,
        technical=TECHNICAL,
    )

    assert api.get("/devices/047001").json["customer_id"] == "C1"


@pytest.mark.parametrize(
    ("corrections", "field"),
    [
        ({}, "corrections.manufacturer"),
        ({"manufacturer": "calin", "phone": "12"}, "corrections.phone"),
        ({"manufacturer": "calin", "tariff_id": 999}, "device.tariff_id"),
        ({"manufacturer": "openpaygo"}, "device.technical.secret_key"),
    ],
)
def test_what_still_does_not_fit_is_told_and_waits_on(
    api: Api, place: Place, corrections: dict[str, object], field: str
) -> None:
    post(api, form(place, manufacturer=999))

    reply = resolve(api, "register", **corrections)

    assert (reply.status, reply.fields) == (422, [field])
    assert [item["reasons"] for item in waiting(api)] == [["unknown_manufacturer"]]
    assert api.get("/customers").json["items"] == []


def test_a_device_is_done_once_its_key_and_its_plan_are_there(api: Api, place: Place) -> None:
    post(api, form(place, manufacturer=OPENPAYGO))

    early = resolve(api, "done")
    sold = api.post("/devices/047001/plan", PLAN, "office")
    half = api.get("/devices/047001").json["state"]
    entered = api.put("/devices/047001/technical", TECHNICAL, "office")
    done = resolve(api, "done")

    assert (early.status, early.fields) == (422, ["outcome"])
    assert "no_key, no_plan" in early.json["detail"]
    assert (sold.status, half) == (201, "needs_review")
    assert entered.json["state"] == "active"
    assert (done.json["status"], done.json["reasons"]) == ("resolved", [])
    assert books_differ(api, "C1") == []


def test_a_key_alone_does_not_complete_a_device_without_a_plan(api: Api, place: Place) -> None:
    post(api, form(place, manufacturer=OPENPAYGO))

    entered = api.put("/devices/047001/technical", TECHNICAL, "office")
    sold = api.post("/devices/047001/plan", PLAN, "office")

    assert entered.json["state"] == "needs_review"
    assert sold.status == 201
    assert api.get("/devices/047001").json["state"] == "active"


def test_a_possible_duplicate_is_done_when_a_person_has_looked(api: Api, place: Place) -> None:
    post(api, form(place))
    post(api, form(place, name="Neema", serial_number="047002"))

    assert resolve(api, "done").json["status"] == "resolved"
    assert api.get("/customers/C2").json["needs_review"] == []


def test_a_registration_of_nothing_may_be_dismissed(api: Api, place: Place) -> None:
    row = form(place, manufacturer=999)
    post(api, row)

    assert resolve(api, "dismiss").json["status"] == "dismissed"
    assert post(api, row).json["data"]["status"] == "dismissed", "the app may post it for weeks"
    assert waiting(api) == []


def test_a_dismissed_row_that_was_corrected_is_tried_anew(api: Api, place: Place) -> None:
    post(api, form(place, manufacturer=999))
    resolve(api, "dismiss")

    assert post(api, form(place)).json["data"]["status"] == "registered"


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ({"manufacturer": 999}, "done"),
        ({"manufacturer": OPENPAYGO}, "dismiss"),
        ({"manufacturer": OPENPAYGO}, "register"),
    ],
)
def test_an_outcome_that_does_not_fit_is_refused(
    api: Api, place: Place, row: dict[str, object], outcome: str
) -> None:
    post(api, form(place, **row))

    reply = resolve(api, outcome)

    assert (reply.status, reply.fields) == (422, ["outcome"])
    assert len(waiting(api)) == 1


def test_what_is_decided_is_not_decided_again(api: Api, place: Place) -> None:
    registration_id = post(api, form(place)).json["data"]["registration_id"]

    reply = resolve(api, "dismiss", registration_id)

    assert (reply.status, reply.code) == (409, "not_in_review")
    assert resolve(api, "dismiss", "r-none").status == 404


def test_a_decision_that_is_overtaken_looks_again(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(api, form(place, manufacturer=999))
    registrations = api.wiring.field_registrations
    save, overtaken = registrations.save, []

    def save_late(registration: FieldRegistration) -> FieldRegistration:
        if not overtaken:
            overtaken.append(save(replace(registration, status=registration.status)))
            raise VersionConflict(registration.registration_id)
        return save(registration)

    monkeypatch.setattr(registrations, "save", save_late)

    assert resolve(api, "dismiss").status == 409, "the other one had decided already"


def test_a_decision_that_is_always_overtaken_is_told_so(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(api, form(place, manufacturer=999))

    def overtaken(registration: FieldRegistration) -> FieldRegistration:
        raise VersionConflict(registration.registration_id)

    monkeypatch.setattr(api.wiring.field_registrations, "save", overtaken)
    monkeypatch.setattr(api.wiring.review, "_pause", lambda _: None)

    assert resolve(api, "dismiss").code == "version_conflict"


def test_the_list_of_a_status_comes_in_parts_oldest_first(api: Api, place: Place) -> None:
    for number in range(3):
        post(api, form(place, manufacturer=999, serial_number=f"S{number}"))
        api.clock.move(timedelta(seconds=1))

    first = api.get("/registrations?limit=2").json
    second = api.get(f"/registrations?limit=2&cursor={first['next']}").json

    listed = [*first["items"], *second["items"]]
    assert [item["form"]["serial_number"] for item in listed] == ["S0", "S1", "S2"]
    assert second["next"] is None
    assert api.get("/registrations?status=lost").fields == ["status"]
